//! The stories on a deployment: every service a process of its own, over Kafka, Cassandra, PostgreSQL and
//! S3, and what only several processes can show.

use std::collections::BTreeMap;

use twinfold_client::remote::RemotePlatform;
use twinfold_client::{Error, Platform, WaitTarget};
use twinfold_integration_tests::{WAIT_MAX, Way, column_i64, insert_and_wait, latest, read_all};
use twinfold_model::{
    DatasetFormat, DatasetSource, DatasetSpec, DatasetSplit, FeatureGroup, FeatureGroupId, Name,
    ProjectName, Query, Selection,
};
use twinfold_testkit::{bench_group, bench_rows};

twinfold_integration_tests::platform_stories!(Deployed);

const BOTH: WaitTarget = WaitTarget {
    online: true,
    offline: true,
};

fn spec(format: DatasetFormat) -> DatasetSpec {
    let split = |name: &str| DatasetSplit {
        name: name.to_owned(),
        share: 0.5,
    };
    DatasetSpec {
        project: ProjectName::new("default").expect("name"),
        name: Name::new("training dataset", "measured").expect("name"),
        version: None,
        source: DatasetSource::Query(Query {
            left: Selection {
                group: bench_group().id().clone(),
                features: vec!["id".to_owned()],
                as_of: None,
            },
            joins: Vec::new(),
            filter: None,
        }),
        labels: Vec::new(),
        defaults: BTreeMap::new(),
        format,
        splits: vec![split("train"), split("test")],
        seed: 7,
        event_time_start: None,
        event_time_end: None,
        description: String::new(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn training_datasets_are_kept_in_the_bucket_for_every_api() {
    let mut deployment = Way::Deployed.deployment().await;
    let platform = deployment.platform();
    let group = bench_group();
    platform
        .create_feature_group(group.clone())
        .await
        .expect("create");
    insert_and_wait(platform, group.id(), bench_rows(0, 1_000, 0)).await;
    for format in [DatasetFormat::Parquet, DatasetFormat::Csv] {
        platform.create_dataset(spec(format)).await.expect("made");
    }

    deployment.restart().await;
    let platform = deployment.platform();
    for version in [1, 2] {
        let rows = platform.read_dataset("measured", version, None).await;
        assert_eq!(read_all(rows.expect("there")).await.num_rows(), 1_000);
        let check = platform.verify_dataset("measured", version).await;
        assert!(check.expect("check").is_proved());
        platform
            .delete_dataset("measured", version)
            .await
            .expect("delete");
    }
    assert!(platform.datasets().await.expect("none").is_empty());
    let next = platform.create_dataset(spec(DatasetFormat::Csv)).await;
    assert_eq!(next.expect("made").version, 3);
}

/// A second api sees at once what it needs of a group that the first one has changed.
#[tokio::test(flavor = "multi_thread")]
async fn several_apis_serve_one_platform() {
    let deployment = Way::Deployed.deployment().await;
    let group = bench_group();
    deployment
        .platform()
        .create_feature_group(group.clone())
        .await
        .expect("create");
    let mut second = deployment.second_api().await;
    let other = RemotePlatform::connect(&second.url()).await;
    let other: &dyn Platform = &other.expect("it answers");
    insert_and_wait(other, group.id(), bench_rows(0, 10, 0)).await;
    insert_and_wait(deployment.platform(), group.id(), bench_rows(10, 10, 0)).await;
    let progress = other.progress(group.id()).await.expect("progress");
    let online = progress.online.expect("it is online");
    assert!(online.covers(&progress.topic) && progress.offline.covers(&progress.topic));
    second.stop();
}

/// Rows that bring no event time are stamped by their writer, so a group without one is the harder case.
#[tokio::test(flavor = "multi_thread")]
async fn rows_may_go_straight_to_the_topic() {
    let deployment = Way::Deployed.deployment().await;
    let (url, topic) = deployment.addresses();
    let platform = RemotePlatform::connect_beside_topic(&url, &topic).await;
    let platform: &dyn Platform = &platform.expect("both answer");
    let mut spec = bench_group().to_spec();
    spec.event_time = None;
    let group = FeatureGroup::new(spec).expect("valid");
    platform
        .create_feature_group(group.clone())
        .await
        .expect("create");
    let receipt = insert_and_wait(platform, group.id(), bench_rows(0, 1_000, 0)).await;
    assert_eq!(receipt.rows, 1_000);
    let keys = bench_rows(0, 10, 0);
    let deleted = platform.delete(group.id(), vec![keys], None).await;
    let deleted = deleted.expect("delete");
    platform
        .wait(&deleted, BOTH, WAIT_MAX)
        .await
        .expect("passes");
    let through = deployment.platform();
    let newest = column_i64(&latest(through, group.id()).await, "id");
    assert_eq!(newest, Vec::from_iter(10..1_000));

    let other = FeatureGroupId::new("elsewhere", "bench", 1).expect("valid");
    let refused = platform.insert(&other, vec![bench_rows(0, 1, 0)], &|_| ());
    assert!(matches!(refused.await, Err(Error::NotFound { .. })));
    platform.close().await.expect("close");
    let refused = platform.insert(group.id(), vec![bench_rows(0, 1, 0)], &|_| ());
    assert!(matches!(refused.await, Err(Error::Closed)));
}
