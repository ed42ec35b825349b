use std::num::NonZeroU64;
use std::path::Path;

use twinfold_integration_tests::{Deployment, WAIT_MAX, column_i64, history, insert_and_wait};
use twinfold_model::AsOf;
use twinfold_testkit::{bench_group, bench_rows, eventually};

/// Merging files must show in no answer, neither now nor at any commit.
#[tokio::test(flavor = "multi_thread")]
async fn a_history_of_many_small_inserts_is_merged_and_reads_the_same() {
    let deployment = Deployment::embedded_with(|config| {
        config.history.compaction_commits = NonZeroU64::new(5).expect("not zero");
        config.platform.maintenance_interval_s = NonZeroU64::MIN;
    })
    .await;
    let platform = deployment.platform();
    let group = bench_group();
    platform
        .create_feature_group(group.clone())
        .await
        .expect("create");
    for row in 0..12 {
        insert_and_wait(platform, group.id(), bench_rows(row, 1, 0)).await;
    }
    let is_merged = || async {
        platform
            .commits(group.id(), 100)
            .await
            .expect("commits")
            .len()
            > 13
    };
    eventually(WAIT_MAX, is_merged).await;

    let mut commits = platform.commits(group.id(), 100).await.expect("commits");
    commits.reverse();
    let mut rows = 0;
    for commit in commits {
        rows += i64::try_from(commit.rows_upserted).expect("few");
        let at = history(platform, &group, Some(AsOf::Commit(commit.id))).await;
        assert_eq!(column_i64(&at, "id"), Vec::from_iter(0..rows), "{commit:?}");
    }
    assert_eq!(rows, 12);
}

/// Files that were merged are deleted after the retention, by whichever process comes then.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_merged_is_deleted_after_the_retention() {
    let mut deployment = Deployment::embedded().await;
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
    let keeps_nothing = |config: &mut twinfold_embedded::Config| {
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
