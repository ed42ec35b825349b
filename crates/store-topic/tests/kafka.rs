//! Kafka keeps every guarantee of the port.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use twinfold_model::{Offset, PartitionId, Positions};
use twinfold_store_topic::conformance::Harness;
use twinfold_store_topic::{
    Append, Error, Event, FetchLimits, KafkaOptions, KafkaTopics, NewRecord, Result, Subscription,
    TopicConfig, TopicStore,
};
use twinfold_wire::record::Headers;
use uuid::Uuid;

/// The cluster that all tests share, seen through names of their own.
struct Cluster;

#[async_trait]
impl Harness for Cluster {
    async fn open(&self) -> Result<Arc<dyn TopicStore>> {
        Ok(Arc::new(KafkaTopics::connect(options()).await?))
    }

    fn keeps_appends_together(&self) -> bool {
        false
    }
}

fn options() -> KafkaOptions {
    static RUN: LazyLock<Uuid> = LazyLock::new(Uuid::new_v4);
    let mut options = KafkaOptions::new(&twinfold_testkit::servers().kafka_bootstrap_servers);
    // The servers may have topics of an earlier run.
    options.topic_prefix = format!("conformance.{}.", RUN.simple());
    options
}

twinfold_store_topic::topic_store_conformance!(Cluster);

/// Long enough for a group to settle.
const WAIT_MAX: Duration = Duration::from_secs(30);
const RECORDS: usize = 9;

/// A topic of two partitions with some records in each.
async fn topic_with_records(topic: &str) -> Arc<dyn TopicStore> {
    let topics = Cluster.open().await.expect("a cluster");
    let config = TopicConfig {
        partitions: 2,
        retention: None,
        retention_bytes_max: None,
    };
    topics.create(topic, &config).await.expect("a topic");
    let record = NewRecord {
        key: Bytes::from_static(b"key"),
        value: Bytes::from_static(b"value"),
    };
    let append = |partition| Append {
        partition: PartitionId(partition),
        headers: Headers::default(),
        records: vec![record.clone(); RECORDS],
    };
    let appended = topics.append(topic, vec![append(0), append(1)]).await;
    appended.expect("appended");
    topics
}

async fn next_event(member: &mut dyn Subscription) -> Event {
    let limits = FetchLimits {
        bytes_max: 1,
        wait_max: WAIT_MAX,
    };
    member.next(limits).await.expect("an event")
}

/// The first partitions that the member is given.
async fn given(member: &mut dyn Subscription) -> Vec<PartitionId> {
    loop {
        match next_event(member).await {
            Event::Assigned(partitions) if partitions.is_empty() => {}
            Event::Assigned(partitions) => return partitions,
            event => panic!("before the partitions: {event:?}"),
        }
    }
}

/// Tells progress until it is taken.
async fn tell(member: &mut dyn Subscription, partition: PartitionId, next: u64) {
    let progress = Positions::from_iter([(partition, Offset(next))]);
    while !member.commit(&progress).await.expect("told") {}
}

/// Returns when the partition is the member's, which need not have heard of it.
async fn is_given_back(member: &mut dyn Subscription, partition: PartitionId) {
    let asking = async {
        while let Err(error) = member.seek(partition, Offset::ZERO).await {
            assert!(matches!(error, Error::NotAssigned { .. }), "{error}");
        }
    };
    let asked = tokio::time::timeout(WAIT_MAX, asking).await;
    asked.expect("it is given back in time");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_another_member_told_is_not_taken_back() {
    let topic = "what_another_member_told_is_not_taken_back";
    let topics = topic_with_records(topic).await;
    let stored = async |partition| {
        let progress = topics.progress(topic, "reader").await;
        progress.expect("progress").get(partition)
    };
    let mut first = topics.subscribe(topic, "reader").await.expect("a member");
    for partition in given(&mut *first).await {
        tell(&mut *first, partition, 2).await;
    }

    // From here on the first hears of nothing.
    let mut second = topics.subscribe(topic, "reader").await.expect("a member");
    let moved = given(&mut *second).await[0];
    tell(&mut *second, moved, 5).await;
    drop(second);
    is_given_back(&mut *first, moved).await;
    tell(&mut *first, moved, 3).await;
    assert_eq!(stored(moved).await, Some(Offset(5)));

    let event = next_event(&mut *first).await;
    assert!(
        matches!(&event, Event::Revoked(gone) if *gone == [moved]),
        "{event:?}"
    );
    assert_eq!(given(&mut *first).await, [moved]);
    tell(&mut *first, moved, 7).await;
    assert_eq!(stored(moved).await, Some(Offset(7)));
    topics.close().await.expect("closed");
}
