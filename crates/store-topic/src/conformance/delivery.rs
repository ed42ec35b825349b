//! What is appended is delivered, all of it, in order.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::TryStreamExt;
use futures::stream::FuturesOrdered;
use twinfold_model::{EventTime, Offset, Operation, PartitionId};
use twinfold_wire::record::Headers;

use super::{
    Harness, P0, P1, append_of, content_of, contents, limits, no_headers, open_with,
    read_from_start, take,
};
use crate::{Append, Appended, Bounds, Error, Event, FetchLimits, NewRecord, Result};

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
        next: Offset(first + count),
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
            Ok(if is_delete {
                delete.clone()
            } else {
                no_headers()
            })
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

/// Order: of appends that run at the same time each caller's stay in order. Where the backend keeps
/// appends together, they do not mix either.
pub async fn concurrent_appends_stay_in_order(harness: &dyn Harness, topic: &str) -> Result<()> {
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
    for written in [a, b, c] {
        written?;
    }
    let mut found = contents(&batches?).remove(&P0).unwrap_or_default();
    if !harness.keeps_appends_together() {
        // Stable: the order of each writer's records stays.
        found.sort_by_key(|(key, _)| key[0]);
    }
    let mut next_of: BTreeMap<String, usize> = BTreeMap::new();
    for append in found.chunks(RECORDS_EACH) {
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

/// One writer's appends, none of which waits for those before it.
pub async fn appends_under_way_stay_in_order(harness: &dyn Harness, topic: &str) -> Result<()> {
    const APPENDS: usize = 60;
    open_with(harness, topic, 2).await?.close().await?;
    // One that has to find out first what the topic is.
    let store = harness.open().await?;
    let appends: Vec<Append> = (0..APPENDS)
        .map(|at| {
            let partition = if at % 3 == 0 { P1 } else { P0 };
            append_of(partition, &at.to_string(), 1 + at * 7 % 30)
        })
        .collect();
    let begun = appends.iter().cloned();
    let begun: FuturesOrdered<_> = begun
        .map(|append| store.append(topic, vec![append]))
        .collect();
    let appended: Vec<Vec<Appended>> = begun.try_collect().await?;
    let mut next_of: BTreeMap<PartitionId, Offset> = BTreeMap::new();
    for (append, appended) in appends.iter().zip(&appended) {
        let next = next_of.entry(append.partition).or_insert(Offset::ZERO);
        assert_eq!(
            (appended[0].partition, appended[0].first),
            (append.partition, *next)
        );
        *next = appended[0].next;
    }
    let records = appends.iter().map(|append| append.records.len()).sum();
    let mut reader = read_from_start(&*store, topic).await?;
    let batches = take(&mut *reader, records, 5_000).await?;
    assert_eq!(contents(&batches), content_of(&appends));
    store.close().await
}

/// A member knows where its partitions end, as far as it has read at least.
pub async fn a_member_knows_where_its_partitions_end(
    harness: &dyn Harness,
    topic: &str,
) -> Result<()> {
    let store = open_with(harness, topic, 2).await?;
    let appends = vec![append_of(P0, "a", 3), append_of(P1, "b", 2)];
    store.append(topic, appends).await?;
    let mut reader = read_from_start(&*store, topic).await?;
    take(&mut *reader, 5, 1 << 20).await?;
    let ends = reader.ends();
    assert_eq!(ends.get(P0), Some(Offset(3)));
    assert_eq!(ends.get(P1), Some(Offset(2)));
    store.close().await
}
