use std::collections::HashSet;

use twinfold_client::WaitTarget;
use twinfold_model::{EventTime, Value};
use twinfold_testkit::{BENCH_START_US, batch, bench_group, bench_rows, group};

use crate::{WAIT_MAX, Way, column_i64, history, insert_and_wait, latest};

pub async fn rows_reach_both_stores_once(way: Way) {
    let deployment = way.deployment().await;
    let platform = deployment.platform();
    let group = bench_group();
    platform
        .create_feature_group(group.clone())
        .await
        .expect("create");

    insert_and_wait(platform, group.id(), bench_rows(0, 1_000, 0)).await;
    insert_and_wait(platform, group.id(), bench_rows(500, 1_000, 1)).await;

    let online = column_i64(&latest(platform, group.id()).await, "id");
    assert_eq!(online, (0..1_500).collect::<Vec<_>>());
    let offline = history(platform, &group, None).await;
    assert_eq!(offline.num_rows(), 2_000);
    let distinct: HashSet<i64> = column_i64(&offline, "id").into_iter().collect();
    assert_eq!(distinct.len(), 1_500);
}

pub async fn late_rows_go_to_history_and_leave_the_newest_alone(way: Way) {
    let deployment = way.deployment().await;
    let platform = deployment.platform();
    let group = bench_group();
    platform
        .create_feature_group(group.clone())
        .await
        .expect("create");

    insert_and_wait(platform, group.id(), bench_rows(0, 100, 1)).await;
    let newest = latest(platform, group.id()).await;
    // The rows of round 0 are an hour older than those of round 1.
    insert_and_wait(platform, group.id(), bench_rows(0, 100, 0)).await;

    assert_eq!(sorted(&latest(platform, group.id()).await), sorted(&newest));
    assert_eq!(history(platform, &group, None).await.num_rows(), 200);
}

pub async fn rows_without_a_time_are_as_old_as_their_callers_say(way: Way) {
    let deployment = way.deployment().await;
    let platform = deployment.platform();
    let features = [("id", "bigint"), ("level", "bigint")];
    let group = group("levels", &features, &["id"], None);
    platform
        .create_feature_group(group.clone())
        .await
        .expect("create");

    let insert = async |level: i64, at_us: i64| {
        let rows = batch(&group, &[vec![Value::BigInt(7), Value::BigInt(level)]]);
        let at = EventTime::from_micros(at_us);
        let inserted = platform.insert_at(group.id(), vec![rows], Some(at), &|_| ());
        inserted.await.expect("insert")
    };
    insert(1, BENCH_START_US + 1).await;
    // Of the same key, and so of the same partition: the wait for it is a wait for both.
    let last = insert(2, BENCH_START_US).await;
    let both = WaitTarget {
        online: true,
        offline: true,
    };
    platform.wait(&last, both, WAIT_MAX).await.expect("wait");

    let newest = latest(platform, group.id()).await;
    assert_eq!(column_i64(&newest, "level"), [1]);
    let history = history(platform, &group, None).await;
    assert_eq!(column_i64(&history, "level"), [1, 2]);
}

pub async fn a_restart_loses_and_doubles_nothing(way: Way) {
    let mut deployment = way.deployment().await;
    let group = bench_group();
    deployment
        .platform()
        .create_feature_group(group.clone())
        .await
        .expect("create");
    for round in 0..3 {
        let platform = deployment.platform();
        let rows = bench_rows(round * 1_000, 1_000, 0);
        // Not waited for: closing must carry the rows to the stores, or the next start must.
        platform
            .insert(group.id(), vec![rows], &|_| ())
            .await
            .expect("insert");
        deployment.restart().await;
    }
    // Enough rows to follow the earlier ones in every partition: each is read in order, so that
    // the wait for these is a wait for all.
    insert_and_wait(
        deployment.platform(),
        group.id(),
        bench_rows(3_000, 1_000, 0),
    )
    .await;
    let expected: Vec<i64> = (0..4_000).collect();
    let offline = history(deployment.platform(), &group, None).await;
    assert_eq!(column_i64(&offline, "id"), expected);
    let online = latest(deployment.platform(), group.id()).await;
    assert_eq!(column_i64(&online, "id"), expected);
}

/// One line per row, in an order that does not depend on where the rows came from.
fn sorted(batch: &arrow::record_batch::RecordBatch) -> Vec<String> {
    let mut lines: Vec<String> = (0..batch.num_rows())
        .map(|row| format!("{:?}", batch.slice(row, 1)))
        .collect();
    lines.sort_unstable();
    lines
}
