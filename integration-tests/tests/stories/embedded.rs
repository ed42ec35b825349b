//! The stories on the embedded platform, and what only its folder can tell.

use std::num::NonZeroU64;
use std::path::Path;

use twinfold_client::Error;
use twinfold_embedded::{Config, Options};
use twinfold_integration_tests::{WAIT_MAX, Way, column_i64, history, insert_and_wait};
use twinfold_testkit::{bench_group, bench_rows, eventually};

twinfold_integration_tests::platform_stories!(Embedded);

#[tokio::test(flavor = "multi_thread")]
async fn a_second_process_is_told_that_the_folder_is_taken() {
    let deployment = Way::Embedded.deployment().await;
    let options = Options::from_env().expect("options");
    let second = twinfold_embedded::open(&deployment.folder(), options).await;
    assert!(matches!(second, Err(Error::Locked { .. })));
    deployment.platform().close().await.expect("close");
    let error = deployment
        .platform()
        .feature_groups()
        .await
        .expect_err("closed");
    assert!(matches!(error, Error::Closed), "{error}");
}

/// Files that were merged are deleted after the retention, by whichever process comes then.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_merged_is_deleted_after_the_retention() {
    let mut deployment = Way::Embedded.deployment().await;
    let group = bench_group();
    deployment
        .platform()
        .create_feature_group(group.clone())
        .await
        .expect("create");
    for row in 0..8 {
        insert_and_wait(deployment.platform(), group.id(), bench_rows(row, 1, 0)).await;
    }
    let folder = deployment.folder().join("offline");
    assert_eq!(data_files(&folder), 8);
    let keeps_nothing = |config: &mut Config| {
        config.history.compaction_commits = NonZeroU64::new(5).expect("not zero");
        config.history.retention_hours = 0;
        config.platform.maintenance_interval_s = NonZeroU64::MIN;
    };
    deployment.restart_with(keeps_nothing).await;
    eventually(WAIT_MAX, || async { data_files(&folder) == 1 }).await;
    let platform = deployment.platform();
    let newest = history(platform, &group, None).await;
    assert_eq!(column_i64(&newest, "id"), Vec::from_iter(0..8));
}

/// Of all tables below the folder.
fn data_files(folder: &Path) -> usize {
    let tables = std::fs::read_dir(folder).expect("tables");
    let files = tables.flat_map(|table| std::fs::read_dir(table.expect("table").path()));
    let names = files.flatten().map(|file| file.expect("file").file_name());
    names
        .filter(|name| name.to_string_lossy().ends_with(".parquet"))
        .count()
}
