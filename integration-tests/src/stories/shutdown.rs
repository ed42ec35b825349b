use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::JoinSet;
use twinfold_client::{Platform, newest_commits};
use twinfold_testkit::{bench_group, bench_rows};

use crate::{Way, column_i64, history, insert_and_wait, latest};

const ENDS: usize = 2;
const ROWS_PER_INSERT: usize = 100;
/// An end comes when so many more rows were acknowledged, and finds others under way.
const ROWS_PER_END: i64 = 1_000;

/// Inserts one batch after the other until one is refused, or may be. `acknowledged` has the first id of
/// that one.
async fn insert_until_refused(platform: Arc<dyn Platform>, acknowledged: watch::Sender<i64>) {
    let group = bench_group();
    loop {
        let first = *acknowledged.borrow();
        let rows = bench_rows(first, ROWS_PER_INSERT, 0);
        let inserted = platform.insert(group.id(), vec![rows], &|_| ()).await;
        if inserted.is_err() {
            return;
        }
        acknowledged.send_replace(first + ROWS_PER_INSERT as i64);
    }
}

/// What was acknowledged is there once after each end, and what was not is inserted again.
pub async fn an_end_in_the_middle_of_inserts_loses_and_doubles_nothing(way: Way) {
    let mut deployment = way.deployment().await;
    let group = bench_group();
    let created = deployment.platform().create_feature_group(group.clone());
    created.await.expect("create");
    let mut next = 0;
    for _ in 0..ENDS {
        let (acknowledged, mut seen) = watch::channel(next);
        let mut inserting = JoinSet::new();
        let caller = deployment.another_caller().await;
        inserting.spawn(insert_until_refused(caller, acknowledged));
        let enough = seen.wait_for(|rows| *rows >= next + ROWS_PER_END).await;
        drop(enough.expect("inserts go on"));
        deployment.restart().await;
        let refused = inserting.join_next().await.expect("a caller");
        refused.expect("it ends by being refused");
        next = *seen.borrow();
    }
    let platform = deployment.platform();
    // In every partition behind all that came before.
    let last = bench_rows(next, ROWS_PER_INSERT, 0);
    insert_and_wait(platform, group.id(), last).await;
    let expected = Vec::from_iter(0..next + ROWS_PER_INSERT as i64);
    let offline = history(platform, &group, None).await;
    assert_eq!(column_i64(&offline, "id"), expected);
    let online = latest(platform, group.id()).await;
    assert_eq!(column_i64(&online, "id"), expected);

    // Reads show a row that was inserted twice once; the history has each record of the topic once.
    let progress = platform.progress(group.id()).await.expect("progress");
    let records: u64 = progress.topic.iter().map(|(_, next)| next.0).sum();
    let commits = newest_commits(platform, group.id(), usize::MAX).await;
    let commits = commits.expect("commits");
    let kept: u64 = commits.iter().map(|commit| commit.rows_upserted).sum();
    assert_eq!(kept, records);
}
