use std::num::NonZeroU64;

use twinfold_client::newest_commits;
use twinfold_model::AsOf;
use twinfold_testkit::{bench_group, bench_rows, eventually};

use crate::{WAIT_MAX, Way, column_i64, history, insert_and_wait};

/// Merging files must show in no answer, neither now nor at any commit.
pub async fn a_history_of_many_small_inserts_is_merged_and_reads_the_same(way: Way) {
    let deployment = way
        .deployment_with(|config| {
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
            .commits(group.id(), None, 100)
            .await
            .expect("commits")
            .len()
            > 13
    };
    eventually(WAIT_MAX, is_merged).await;

    let mut commits = newest_commits(platform, group.id(), usize::MAX)
        .await
        .expect("commits");
    let fifth = commits[4].id;
    let behind = platform.commits(group.id(), Some(fifth), 3).await;
    assert_eq!(behind.expect("commits"), commits[5..8]);
    commits.reverse();
    let mut rows = 0;
    for commit in commits {
        rows += i64::try_from(commit.rows_upserted).expect("few");
        let at = history(platform, &group, Some(AsOf::Commit(commit.id))).await;
        assert_eq!(column_i64(&at, "id"), Vec::from_iter(0..rows), "{commit:?}");
    }
    assert_eq!(rows, 12);
}
