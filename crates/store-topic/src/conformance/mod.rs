//! The guarantees of [`TopicStore`] as cases that every backend must pass.
//!
//! A backend implements [`Harness`] and calls [`topic_store_conformance!`](crate::topic_store_conformance)
//! in a test file. Every case makes a topic of its own, so all may run against one server.

mod consumers;
mod delivery;
mod keeping;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use twinfold_model::{Offset, Operation, PartitionId};
use twinfold_wire::record::Headers;

use crate::{
    Append, Event, FetchLimits, NewRecord, RecordBatch, Result, Subscription, TopicConfig,
    TopicStore,
};

pub use consumers::{
    a_member_that_leaves_hands_over, members_share_the_partitions,
    progress_is_kept_and_only_moves_forward, progress_told_during_a_rebalance_is_kept_or_refused,
};
pub use delivery::{
    a_dropped_wait_loses_nothing, a_member_knows_where_its_partitions_end,
    appends_get_consecutive_offsets, appends_under_way_stay_in_order,
    concurrent_appends_stay_in_order, delivery_follows_seek, partitions_take_turns,
    records_come_back_as_appended, small_fetches_lose_nothing, times_never_decrease,
    waiting_ends_with_an_append,
};
pub use keeping::{
    a_dropped_topic_is_forgotten, a_refused_call_appends_nothing,
    a_topic_that_is_not_remembered_is_found_again, close_refuses_and_keeps,
    creating_again_is_harmless, retention_leaves_a_suffix, what_was_appended_survives_reopening,
    what_was_synced_survives_reopening,
};

/// How the cases get at the backend under test.
#[async_trait]
pub trait Harness: Send + Sync {
    /// Opens the store. Called again, after the store before was closed or dropped, it opens the
    /// same data.
    async fn open(&self) -> Result<Arc<dyn TopicStore>>;

    /// Whether no other writer's records stand between those of one append.
    fn keeps_appends_together(&self) -> bool;
}

/// Makes one test of each case. The argument is an expression that makes a [`Harness`].
#[macro_export]
macro_rules! topic_store_conformance {
    ($harness:expr) => {
        $crate::topic_store_conformance!($harness;
            appends_get_consecutive_offsets
            records_come_back_as_appended
            delivery_follows_seek
            small_fetches_lose_nothing
            partitions_take_turns
            a_member_knows_where_its_partitions_end
            what_was_appended_survives_reopening
            what_was_synced_survives_reopening
            a_refused_call_appends_nothing
            creating_again_is_harmless
            a_dropped_topic_is_forgotten
            a_topic_that_is_not_remembered_is_found_again
            progress_is_kept_and_only_moves_forward
            members_share_the_partitions
            a_member_that_leaves_hands_over
            progress_told_during_a_rebalance_is_kept_or_refused
            waiting_ends_with_an_append
            a_dropped_wait_loses_nothing
            times_never_decrease
            concurrent_appends_stay_in_order
            appends_under_way_stay_in_order
            retention_leaves_a_suffix
            close_refuses_and_keeps
        );
    };
    ($harness:expr; $($case:ident)+) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                let harness = $harness;
                $crate::conformance::$case(&harness, stringify!($case)).await.expect("no error");
            }
        )+
    };
}

/// Long enough for any backend to bring what is there.
const WAIT_MAX: Duration = Duration::from_secs(20);
const P0: PartitionId = PartitionId(0);
const P1: PartitionId = PartitionId(1);

fn config(partitions: u32) -> TopicConfig {
    TopicConfig {
        partitions,
        retention: None,
        retention_bytes_max: None,
    }
}

fn limits(bytes_max: usize) -> FetchLimits {
    FetchLimits {
        bytes_max,
        wait_max: WAIT_MAX,
    }
}

fn no_headers() -> Headers {
    Headers {
        operation: Operation::Upsert,
        ingestion_id: None,
        event_time: None,
    }
}

/// Records whose bytes tell where they belong.
fn append_of(partition: PartitionId, label: &str, count: usize) -> Append {
    let records = (0..count)
        .map(|at| NewRecord {
            key: Bytes::from(format!("{label}-{at}")),
            value: Bytes::from(format!("{label}-{at}-").repeat(1 + at % 7)),
        })
        .collect();
    Append {
        partition,
        headers: no_headers(),
        records,
    }
}

async fn open_with(
    harness: &dyn Harness,
    topic: &str,
    partitions: u32,
) -> Result<Arc<dyn TopicStore>> {
    let store = harness.open().await?;
    store.create(topic, &config(partitions)).await?;
    Ok(store)
}

/// Subscribes alone and seeks every partition to its beginning. A member that has just left may still
/// have to be missed.
async fn read_from_start(store: &dyn TopicStore, topic: &str) -> Result<Box<dyn Subscription>> {
    let mut subscription = store.subscribe(topic, "reader").await?;
    let mut assigned = Vec::new();
    let partitions = store.bounds(topic).await?.len();
    while assigned.len() < partitions {
        match subscription.next(limits(1)).await? {
            Event::Assigned(partitions) => assigned.extend(partitions),
            event => panic!("before the partitions: {event:?}"),
        }
    }
    for partition in assigned {
        subscription.seek(partition, Offset::ZERO).await?;
    }
    Ok(subscription)
}

/// Takes batches until `records` records have come.
async fn take(
    subscription: &mut dyn Subscription,
    records: usize,
    bytes_max: usize,
) -> Result<Vec<RecordBatch>> {
    let mut taken = Vec::new();
    let mut left = records;
    while left > 0 {
        match subscription.next(limits(bytes_max)).await? {
            Event::Records(batches) => {
                for batch in batches {
                    let count = batch.records.len();
                    assert!(count <= left, "more records came than were appended");
                    left -= count;
                    taken.push(batch);
                }
            }
            Event::Idle => panic!("{left} of {records} records did not come"),
            Event::Assigned(_) | Event::Revoked(_) => {}
        }
    }
    Ok(taken)
}

/// Keys and values per partition, after a look at the order of the offsets.
fn contents(batches: &[RecordBatch]) -> BTreeMap<PartitionId, Vec<(Bytes, Bytes)>> {
    let mut contents: BTreeMap<PartitionId, Vec<(Bytes, Bytes)>> = BTreeMap::new();
    let mut next: BTreeMap<PartitionId, Offset> = BTreeMap::new();
    for batch in batches {
        let next = next.entry(batch.partition).or_insert(batch.first);
        assert_eq!(batch.first, *next, "a batch does not follow the one before");
        for record in &batch.records {
            assert_eq!(record.offset, *next, "offsets are not consecutive");
            *next = next.plus(1);
            let content = (record.key.clone(), record.value.clone());
            contents.entry(batch.partition).or_default().push(content);
        }
    }
    contents
}

fn content_of(appends: &[Append]) -> BTreeMap<PartitionId, Vec<(Bytes, Bytes)>> {
    let mut contents: BTreeMap<PartitionId, Vec<(Bytes, Bytes)>> = BTreeMap::new();
    for append in appends {
        let records = append.records.iter();
        let records = records.map(|record| (record.key.clone(), record.value.clone()));
        contents
            .entry(append.partition)
            .or_default()
            .extend(records);
    }
    contents
}
