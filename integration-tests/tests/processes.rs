//! The services as processes: rows flow through them. What they outlive is in `faults`.

use std::collections::HashSet;
use std::time::Duration;

use twinfold_client::FeatureGroups as _;
use twinfold_integration_tests::{
    Client, Deployment, Processes, WAIT_MAX, column_i64, history, latest,
};
use twinfold_model::{EventTime, FeatureGroup, Positions};
use twinfold_testkit::{bench_group, bench_rows, eventually};

const CREATE_MAX: Duration = Duration::from_secs(30);

async fn insert(client: &Client, group: &FeatureGroup, first: i64, count: usize) -> Positions {
    let rows = vec![bench_rows(first, count, 0)];
    let now = EventTime::from_micros(0);
    let inserted = client.writer.insert(group.id(), rows, now, &|_| ()).await;
    inserted.expect("insert").end
}

/// Both materializers have committed that they passed these positions.
async fn passed(client: &Client, group: &FeatureGroup, end: &Positions) {
    let topic = group.id().resource_name(1);
    let has_passed = async |consumer| {
        let progress = client.topics.progress(&topic, consumer).await;
        progress.is_ok_and(|progress| progress.covers(end))
    };
    eventually(WAIT_MAX, || async {
        has_passed("onlinefs").await && has_passed("offlinefs").await
    })
    .await;
}

/// Every row once in history and once online, read by a process of its own.
async fn verify(processes: &Processes, group: &FeatureGroup, rows: i64) {
    let reader = Deployment::over(processes.stores.clone(), |_| ()).await;
    let offline = column_i64(&history(reader.platform(), group, None).await, "id");
    let distinct: HashSet<i64> = offline.iter().copied().collect();
    assert_eq!((offline.len() as i64, distinct.len() as i64), (rows, rows));
    let online = column_i64(&latest(reader.platform(), group.id()).await, "id");
    assert_eq!(online, Vec::from_iter(0..rows));
    reader.platform().close().await.expect("close");
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_flow_through_the_services() {
    let mut processes = Processes::start(2, 2).await;
    let client = processes.client().await;
    let group = bench_group();
    let created = client.registry.create_feature_group(&group, CREATE_MAX);
    created.await.expect("create");
    let end = insert(&client, &group, 0, 5_000).await;
    passed(&client, &group, &end).await;
    processes.stop();
    verify(&processes, &group, 5_000).await;
}
