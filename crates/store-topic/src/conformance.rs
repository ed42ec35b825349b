//! The guarantees of [`TopicStore`] as cases that every backend must pass.
//!
//! A backend implements [`Harness`] and calls [`topic_store_conformance!`](crate::topic_store_conformance)
//! in a test file. Every case makes a topic of its own, so all may run against one server.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use twinfold_model::{EventTime, Offset, Operation, PartitionId, Positions};
use twinfold_wire::record::Headers;

use crate::{
    Append, Appended, Bounds, Error, Event, FetchLimits, NewRecord, RecordBatch, Result,
    Subscription, TopicConfig, TopicStore,
};

/// How the cases get at the backend under test.
#[async_trait]
pub trait Harness: Send + Sync {
    /// Opens the store. Called again, after the store before was closed or dropped, it opens the
    /// same data.
    async fn open(&self) -> Result<Arc<dyn TopicStore>>;
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
            what_was_appended_survives_reopening
            what_was_synced_survives_reopening
            a_refused_call_appends_nothing
            creating_again_is_harmless
            a_dropped_topic_is_forgotten
            progress_is_kept_and_only_moves_forward
            members_share_the_partitions
            a_member_that_leaves_hands_over
            waiting_ends_with_an_append
            a_dropped_wait_loses_nothing
            times_never_decrease
            concurrent_appends_stay_whole
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

/// Subscribes alone and seeks every partition to its beginning.
async fn read_from_start(store: &dyn TopicStore, topic: &str) -> Result<Box<dyn Subscription>> {
    let mut subscription = store.subscribe(topic, "reader").await?;
    let Event::Assigned(partitions) = subscription.next(limits(1)).await? else {
        panic!("the first event is not `Assigned`");
    };
    for partition in partitions {
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

/// Order: offsets count from 0 per partition, in the order of the appends.
pub async fn appends_get_consecutive_offsets(harness: &dyn Harness, topic: &str) -> Result<()> {
    let store = open_with(harness, topic, 2).await?;
    let appends = vec![
        append_of(P0, "a", 3),
        append_of(P1, "b", 2),
        append_of(P0, "c", 1),
    ];
    let appended = store.append(topic, appends).await?;
    let places = |partition, first, count| Appended {
        partition,
        first: Offset(first),
        count,
    };
    assert_eq!(
        appended,
        [places(P0, 0, 3), places(P1, 0, 2), places(P0, 3, 1)]
    );
    let again = store
        .append(topic, vec![append_of(P1, "d", 4), append_of(P1, "none", 0)])
        .await?;
    assert_eq!(again, [places(P1, 2, 4), places(P1, 6, 0)]);
    let bounds = |partition, next| Bounds {
        partition,
        earliest: Offset::ZERO,
        next: Offset(next),
    };
    assert_eq!(store.bounds(topic).await?, [bounds(P0, 4), bounds(P1, 6)]);
    store.close().await
}

/// No invention: keys, values and headers come back byte for byte, empty ones too.
pub async fn records_come_back_as_appended(harness: &dyn Harness, topic: &str) -> Result<()> {
    let store = open_with(harness, topic, 1).await?;
    let record = |key: &[u8], value: Vec<u8>| NewRecord {
        key: Bytes::copy_from_slice(key),
        value: value.into(),
    };
    let delete = Headers {
        operation: Operation::Delete,
        ingestion_id: Some([9; 16]),
        event_time: Some(EventTime::from_micros(-1)),
    };
    let records = vec![
        record(b"", vec![1]),
        record(b"key", vec![0, 255, 10, 13]),
        record(b"large", vec![7; 300_000]),
    ];
    let appends = vec![
        Append {
            partition: P0,
            headers: delete.clone(),
            records,
        },
        append_of(P0, "plain", 2),
    ];
    store.append(topic, appends.clone()).await?;
    let mut reader = read_from_start(&*store, topic).await?;
    let batches = take(&mut *reader, 5, 1 << 20).await?;
    assert_eq!(contents(&batches), content_of(&appends));
    for batch in &batches {
        let is_delete = batch.first < Offset(3);
        assert_eq!(
            batch.headers,
            if is_delete {
                delete.clone()
            } else {
                no_headers()
            }
        );
    }
    store.close().await
}

/// Nothing is delivered before a seek; then exactly from the offset sought, also within an append.
pub async fn delivery_follows_seek(harness: &dyn Harness, topic: &str) -> Result<()> {
    let store = open_with(harness, topic, 2).await?;
    let appends = vec![
        append_of(P0, "a", 10),
        append_of(P0, "b", 10),
        append_of(P1, "c", 10),
    ];
    store.append(topic, appends.clone()).await?;
    let mut reader = store.subscribe(topic, "reader").await?;
    let first = reader.next(limits(1 << 20)).await?;
    assert!(
        matches!(first, Event::Assigned(ref ids) if *ids == [P0, P1]),
        "{first:?}"
    );
    let short = FetchLimits {
        bytes_max: 1 << 20,
        wait_max: Duration::from_millis(20),
    };
    assert!(
        matches!(reader.next(short).await?, Event::Idle),
        "delivered before a seek"
    );

    reader.seek(P0, Offset(7)).await?;
    let batches = take(&mut *reader, 13, 1 << 20).await?;
    assert_eq!(batches[0].first, Offset(7));
    let wanted = content_of(&appends)[&P0][7..].to_vec();
    assert_eq!(contents(&batches), BTreeMap::from([(P0, wanted.clone())]));
    reader.seek(P0, Offset(19)).await?;
    let last = take(&mut *reader, 1, 1 << 20).await?;
    assert_eq!(contents(&last)[&P0], wanted[12..]);

    // Beyond the end: waits until the partition has come that far.
    reader.seek(P0, Offset(22)).await?;
    store
        .append(topic, vec![append_of(P0, "d", 2), append_of(P0, "e", 2)])
        .await?;
    let beyond = take(&mut *reader, 2, 1 << 20).await?;
    assert_eq!(beyond[0].first, Offset(22));
    let unknown = reader.seek(PartitionId(2), Offset::ZERO).await;
    assert!(
        matches!(unknown, Err(Error::UnknownPartition { .. })),
        "{unknown:?}"
    );
    store.close().await
}

/// A fetch smaller than a stored block still brings it; nothing is skipped or doubled.
pub async fn small_fetches_lose_nothing(harness: &dyn Harness, topic: &str) -> Result<()> {
    let store = open_with(harness, topic, 3).await?;
    let appends: Vec<Append> = (0..60)
        .map(|at| {
            append_of(
                PartitionId(at % 3),
                &format!("append {at}"),
                1 + at as usize % 9,
            )
        })
        .collect();
    let records = appends.iter().map(|append| append.records.len()).sum();
    store.append(topic, appends.clone()).await?;
    for bytes_max in [1, 100, 1_000, 10_000] {
        let mut reader = read_from_start(&*store, topic).await?;
        let batches = take(&mut *reader, records, bytes_max).await?;
        assert_eq!(
            contents(&batches),
            content_of(&appends),
            "bytes_max {bytes_max}"
        );
    }
    store.close().await
}

/// A partition with much to deliver does not keep the others waiting.
pub async fn partitions_take_turns(harness: &dyn Harness, topic: &str) -> Result<()> {
    let store = open_with(harness, topic, 2).await?;
    let mut appends: Vec<Append> = (0..300).map(|_| append_of(P0, "much", 50)).collect();
    appends.push(append_of(P1, "little", 1));
    store.append(topic, appends).await?;
    let mut reader = read_from_start(&*store, topic).await?;
    let mut ahead = 0;
    loop {
        match reader.next(limits(2_000)).await? {
            Event::Records(batches) => {
                if batches.iter().any(|batch| batch.partition == P1) {
                    break;
                }
                ahead += batches
                    .iter()
                    .map(|batch| batch.records.len())
                    .sum::<usize>();
                assert!(
                    ahead < 15_000,
                    "the busy partition was read to its end first"
                );
            }
            event => panic!("{event:?}"),
        }
    }
    store.close().await
}

/// Durability without a close, as after the end of the process.
pub async fn what_was_appended_survives_reopening(
    harness: &dyn Harness,
    topic: &str,
) -> Result<()> {
    survives(harness, topic, false).await
}

/// Durability with `sync` and a close.
pub async fn what_was_synced_survives_reopening(harness: &dyn Harness, topic: &str) -> Result<()> {
    survives(harness, topic, true).await
}

async fn survives(harness: &dyn Harness, topic: &str, closes: bool) -> Result<()> {
    let store = open_with(harness, topic, 2).await?;
    let mut appends = vec![append_of(P0, "a", 5), append_of(P1, "b", 6)];
    store.append(topic, appends.clone()).await?;
    if closes {
        store.sync(topic).await?;
        store.sync(topic).await?;
        store.close().await?;
    }
    drop(store);

    let store = harness.open().await?;
    let more = append_of(P0, "c", 2);
    let appended = store.append(topic, vec![more.clone()]).await?;
    assert_eq!(appended[0].first, Offset(5));
    appends.push(more);
    let mut reader = read_from_start(&*store, topic).await?;
    let batches = take(&mut *reader, 13, 1 << 20).await?;
    assert_eq!(contents(&batches), content_of(&appends));
    store.close().await
}

/// A call that names what does not exist changes nothing.
pub async fn a_refused_call_appends_nothing(harness: &dyn Harness, topic: &str) -> Result<()> {
    let store = open_with(harness, topic, 1).await?;
    let unknown_partition = store
        .append(topic, vec![append_of(P0, "a", 1), append_of(P1, "b", 1)])
        .await;
    assert!(
        matches!(
            unknown_partition,
            Err(Error::UnknownPartition {
                partition: 1,
                partitions: 1,
                ..
            })
        ),
        "{unknown_partition:?}"
    );
    assert_eq!(store.bounds(topic).await?[0].next, Offset::ZERO);
    let missing = format!("{topic}-missing");
    let unknown_topic = store.append(&missing, vec![append_of(P0, "a", 1)]).await;
    assert!(
        matches!(unknown_topic, Err(Error::UnknownTopic { .. })),
        "{unknown_topic:?}"
    );
    assert!(store.bounds(&missing).await.is_err());
    assert!(store.subscribe(&missing, "reader").await.is_err());
    for name in ["", "../up", ".hidden", "Upper", "a/b", "a b"] {
        let invalid = store.create(name, &config(1)).await;
        assert!(
            matches!(invalid, Err(Error::InvalidTopicName { .. })),
            "{name}: {invalid:?}"
        );
    }
    let none = store.create(&missing, &config(0)).await;
    assert!(
        matches!(none, Err(Error::InvalidPartitions { found: 0, .. })),
        "{none:?}"
    );
    store.close().await
}

/// `create` is idempotent and never changes the number of partitions.
pub async fn creating_again_is_harmless(harness: &dyn Harness, topic: &str) -> Result<()> {
    let store = open_with(harness, topic, 2).await?;
    store.append(topic, vec![append_of(P1, "a", 3)]).await?;
    let longer = TopicConfig {
        retention: Some(Duration::from_secs(3600)),
        ..config(2)
    };
    store.create(topic, &longer).await?;
    assert_eq!(store.bounds(topic).await?[1].next, Offset(3));
    let mismatch = store.create(topic, &config(3)).await;
    assert!(
        matches!(
            mismatch,
            Err(Error::TopicMismatch {
                found: 2,
                wanted: 3,
                ..
            })
        ),
        "{mismatch:?}"
    );
    store.close().await
}

/// A dropped topic ends its subscriptions; made again it is empty.
pub async fn a_dropped_topic_is_forgotten(harness: &dyn Harness, topic: &str) -> Result<()> {
    let store = open_with(harness, topic, 1).await?;
    store.append(topic, vec![append_of(P0, "a", 3)]).await?;
    let mut reader = read_from_start(&*store, topic).await?;
    take(&mut *reader, 3, 1 << 20).await?;
    reader
        .commit(&Positions::from_iter([(P0, Offset(3))]))
        .await?;
    store.drop_topic(topic).await?;
    let ended = reader.next(limits(1)).await;
    assert!(
        matches!(ended, Err(Error::UnknownTopic { .. })),
        "{ended:?}"
    );
    drop(reader);
    assert!(store.bounds(topic).await.is_err());
    store.drop_topic(topic).await?;

    store.create(topic, &config(1)).await?;
    assert_eq!(store.bounds(topic).await?[0].next, Offset::ZERO);
    assert!(store.progress(topic, "reader").await?.is_empty());
    store.close().await
}

/// Progress survives a restart, is kept per consumer and never moves backward.
pub async fn progress_is_kept_and_only_moves_forward(
    harness: &dyn Harness,
    topic: &str,
) -> Result<()> {
    let store = open_with(harness, topic, 2).await?;
    store
        .append(topic, vec![append_of(P0, "a", 9), append_of(P1, "b", 9)])
        .await?;
    let mut reader = read_from_start(&*store, topic).await?;
    take(&mut *reader, 18, 1 << 20).await?;
    assert!(store.progress(topic, "reader").await?.is_empty());
    reader
        .commit(&Positions::from_iter([(P0, Offset(5))]))
        .await?;
    reader
        .commit(&Positions::from_iter([(P0, Offset(4)), (P1, Offset(2))]))
        .await?;
    let beyond = reader
        .commit(&Positions::from_iter([(P0, Offset(10))]))
        .await;
    assert!(
        matches!(
            beyond,
            Err(Error::UnknownOffset {
                found: 10,
                next: 9,
                ..
            })
        ),
        "{beyond:?}"
    );
    drop(reader);
    store.close().await?;

    let store = harness.open().await?;
    let wanted = Positions::from_iter([(P0, Offset(5)), (P1, Offset(2))]);
    assert_eq!(store.progress(topic, "reader").await?, wanted);
    assert!(store.progress(topic, "other").await?.is_empty());
    let invalid = store.subscribe(topic, "../up").await.err();
    assert!(
        matches!(invalid, Some(Error::InvalidConsumerName { .. })),
        "{invalid:?}"
    );
    store.close().await
}

/// Calls `next` on both members until they own, between them, all of `partitions`.
async fn settle(
    members: &mut [(&mut dyn Subscription, Vec<PartitionId>)],
    partitions: u32,
) -> Result<()> {
    let short = FetchLimits {
        bytes_max: 1,
        wait_max: Duration::from_millis(50),
    };
    let tries_max = WAIT_MAX.as_millis() / short.wait_max.as_millis();
    for _ in 0..tries_max {
        for (member, owned) in members.iter_mut() {
            match member.next(short).await? {
                Event::Assigned(new) => owned.extend(new),
                Event::Revoked(gone) => owned.retain(|partition| !gone.contains(partition)),
                Event::Records(_) => panic!("records without a seek"),
                Event::Idle => {}
            }
        }
        let mut all: Vec<_> = members
            .iter()
            .flat_map(|(_, owned)| owned.clone())
            .collect();
        all.sort_unstable();
        let is_shared = members.iter().all(|(_, owned)| !owned.is_empty());
        if is_shared && all == (0..partitions).map(PartitionId).collect::<Vec<_>>() {
            return Ok(());
        }
    }
    panic!("the members do not settle");
}

/// Members of one name never own a partition both; consumers of other names are not concerned.
pub async fn members_share_the_partitions(harness: &dyn Harness, topic: &str) -> Result<()> {
    let store = open_with(harness, topic, 4).await?;
    let mut first = store.subscribe(topic, "group").await?;
    let mut alone = Vec::new();
    settle(&mut [(&mut *first, Vec::new())], 4).await?;
    alone.extend((0..4).map(PartitionId));
    let mut second = store.subscribe(topic, "group").await?;
    settle(&mut [(&mut *first, alone), (&mut *second, Vec::new())], 4).await?;

    let mut other = store.subscribe(topic, "other").await?;
    settle(&mut [(&mut *other, Vec::new())], 4).await?;
    store.close().await
}

/// What a member owned goes to those that stay, from its committed progress on.
pub async fn a_member_that_leaves_hands_over(harness: &dyn Harness, topic: &str) -> Result<()> {
    let store = open_with(harness, topic, 2).await?;
    store
        .append(topic, vec![append_of(P0, "a", 4), append_of(P1, "b", 4)])
        .await?;
    let mut first = read_from_start(&*store, topic).await?;
    take(&mut *first, 8, 1 << 20).await?;
    first
        .commit(&Positions::from_iter([(P0, Offset(3)), (P1, Offset(2))]))
        .await?;
    let mut second = store.subscribe(topic, "reader").await?;
    let joined = second.next(limits(1)).await?;
    assert!(matches!(joined, Event::Assigned(_)), "{joined:?}");
    drop(first);
    let mut owned = match joined {
        Event::Assigned(partitions) => partitions,
        _ => Vec::new(),
    };
    while owned.len() < 2 {
        match second.next(limits(1)).await? {
            Event::Assigned(more) => owned.extend(more),
            event => panic!("{event:?}"),
        }
    }
    for (partition, offset) in store.progress(topic, "reader").await?.iter() {
        second.seek(partition, offset).await?;
    }
    let rest = contents(&take(&mut *second, 3, 1 << 20).await?);
    assert_eq!((rest[&P0].len(), rest[&P1].len()), (1, 2));
    store.close().await
}

/// A reader at the end is woken by what comes; without anything it gets `Idle`.
pub async fn waiting_ends_with_an_append(harness: &dyn Harness, topic: &str) -> Result<()> {
    let store = open_with(harness, topic, 1).await?;
    let mut reader = read_from_start(&*store, topic).await?;
    let short = FetchLimits {
        bytes_max: 1 << 20,
        wait_max: Duration::from_millis(10),
    };
    assert!(matches!(reader.next(short).await?, Event::Idle));
    let (event, appended) = tokio::join!(
        reader.next(limits(1 << 20)),
        store.append(topic, vec![append_of(P0, "late", 2)]),
    );
    appended?;
    match event? {
        Event::Records(batches) => assert_eq!(batches[0].records.len(), 2),
        event => panic!("{event:?}"),
    }
    store.close().await
}

/// `next` is cancel-safe.
pub async fn a_dropped_wait_loses_nothing(harness: &dyn Harness, topic: &str) -> Result<()> {
    let store = open_with(harness, topic, 1).await?;
    let appends: Vec<Append> = (0..50)
        .map(|at| append_of(P0, &format!("{at}"), 20))
        .collect();
    store.append(topic, appends.clone()).await?;
    let mut reader = read_from_start(&*store, topic).await?;
    let mut batches = Vec::new();
    let mut left = 1_000;
    for turn in 0_u64.. {
        // Sometimes the time is over before the fetch is, sometimes not.
        let patience = Duration::from_micros(turn * 20);
        if let Ok(event) = tokio::time::timeout(patience, reader.next(limits(3_000))).await
            && let Event::Records(new) = event?
        {
            left -= new.iter().map(|batch| batch.records.len()).sum::<usize>();
            batches.extend(new);
        }
        if left == 0 {
            break;
        }
    }
    assert_eq!(contents(&batches), content_of(&appends));
    store.close().await
}

/// `appended_at` never decreases within a partition.
pub async fn times_never_decrease(harness: &dyn Harness, topic: &str) -> Result<()> {
    let store = open_with(harness, topic, 1).await?;
    for _ in 0..20 {
        store
            .append(topic, vec![append_of(P0, "a", 1), append_of(P0, "b", 1)])
            .await?;
    }
    let mut reader = read_from_start(&*store, topic).await?;
    let batches = take(&mut *reader, 40, 1 << 20).await?;
    assert!(batches.is_sorted_by_key(|batch| batch.appended_at));
    assert!(batches[0].appended_at > EventTime::from_micros(0));
    store.close().await
}

/// Atomicity and order: appends that run at the same time do not mix, each caller's stay in order.
pub async fn concurrent_appends_stay_whole(harness: &dyn Harness, topic: &str) -> Result<()> {
    const APPENDS_EACH: usize = 40;
    const RECORDS_EACH: usize = 7;
    let store = open_with(harness, topic, 1).await?;
    let writer = |name: &'static str| {
        let store = Arc::clone(&store);
        async move {
            for at in 0..APPENDS_EACH {
                let append = append_of(P0, &format!("{name}-{at}"), RECORDS_EACH);
                store.append(topic, vec![append]).await?;
            }
            store.sync(topic).await
        }
    };
    let mut reader = read_from_start(&*store, topic).await?;
    let records = 3 * APPENDS_EACH * RECORDS_EACH;
    let (a, b, c, batches) = tokio::join!(
        writer("a"),
        writer("b"),
        writer("c"),
        take(&mut *reader, records, 5_000),
    );
    (a?, b?, c?);
    let found = contents(&batches?);
    let mut next_of: BTreeMap<String, usize> = BTreeMap::new();
    for append in found[&P0].chunks(RECORDS_EACH) {
        let first = String::from_utf8_lossy(&append[0].0).into_owned();
        let name = first[..1].to_owned();
        let at = next_of.entry(name.clone()).or_default();
        let wanted = content_of(&[append_of(P0, &format!("{name}-{at}"), RECORDS_EACH)]);
        assert_eq!(append, wanted[&P0]);
        *at += 1;
    }
    assert!(next_of.values().all(|count| *count == APPENDS_EACH));
    store.close().await
}

/// What retention leaves is complete from `earliest` on, and a reader behind it goes on there.
pub async fn retention_leaves_a_suffix(harness: &dyn Harness, topic: &str) -> Result<()> {
    let store = harness.open().await?;
    let nothing = TopicConfig {
        retention: Some(Duration::ZERO),
        ..config(1)
    };
    store.create(topic, &nothing).await?;
    let appends: Vec<Append> = (0..100)
        .map(|at| append_of(P0, &format!("{at}"), 50))
        .collect();
    for append in &appends {
        store.append(topic, vec![append.clone()]).await?;
    }
    store.enforce_retention(topic).await?;
    let bounds = store.bounds(topic).await?[0];
    assert_eq!(bounds.next, Offset(5_000));
    assert!(bounds.earliest <= bounds.next);
    let left = (bounds.next.0 - bounds.earliest.0) as usize;
    let mut reader = read_from_start(&*store, topic).await?;
    let batches = take(&mut *reader, left, 1 << 20).await?;
    let all = &content_of(&appends)[&P0];
    if left > 0 {
        assert_eq!(batches[0].first, bounds.earliest);
        assert_eq!(contents(&batches)[&P0], all[all.len() - left..]);
    }
    store.close().await
}

/// `close` may be called twice, refuses what comes after and keeps all.
pub async fn close_refuses_and_keeps(harness: &dyn Harness, topic: &str) -> Result<()> {
    let store = open_with(harness, topic, 1).await?;
    store.append(topic, vec![append_of(P0, "a", 3)]).await?;
    let mut reader = read_from_start(&*store, topic).await?;
    store.close().await?;
    store.close().await?;
    let refused = store.append(topic, vec![append_of(P0, "b", 1)]).await;
    assert!(matches!(refused, Err(Error::Closed)), "{refused:?}");
    let ended = reader.next(limits(1)).await;
    assert!(matches!(ended, Err(Error::Closed)), "{ended:?}");
    drop(reader);

    let store = harness.open().await?;
    assert_eq!(store.bounds(topic).await?[0].next, Offset(3));
    store.close().await
}
