//! What holds after every fault.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::time::Duration;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{ArrowPrimitiveType, Int32Type, Int64Type, TimestampMicrosecondType};
use bytes::Bytes;
use twinfold_embedded::StoresConfig;
use twinfold_model::{
    EventTime, FeatureGroup, Offset, Operation, PartitionId, Position, RowVersion, Value,
};
use twinfold_store_offline::conformance::collected;
use twinfold_store_topic::{Event, FetchLimits, Record, TopicStore};
use twinfold_wire::record::FRAME_BYTES;
use twinfold_wire::row::{KeyEncoder, ValueView};

use crate::ledger::{Ledger, Sent, text};
use crate::stage::RECOVERY_MAX;

const LIMITS: FetchLimits = FetchLimits {
    bytes_max: 4 << 20,
    wait_max: Duration::from_secs(1),
};
const QUARANTINED_MAX: usize = 1_000_000;

/// A row of history.
struct Row {
    position: Position,
    sent: Sent,
    version: RowVersion,
}

/// `stores` are those of the group, reached without anything in between.
pub async fn holds(topics: &dyn TopicStore, stores: &StoresConfig, ledger: &Ledger) {
    let group = &ledger.group;
    let records = records(topics, &group.id().resource_name(1)).await;
    let rows = history(stores, group).await;
    let quarantined = quarantined(stores, group).await;

    // Each record once: in history, or in quarantine.
    let mut found: Vec<Position> = rows.iter().map(|row| row.position).collect();
    found.extend(&quarantined);
    found.sort_unstable_by_key(place);
    let wanted: Vec<Position> = records.keys().map(|key| position(*key)).collect();
    same("positions of history", &found, &wanted);

    // A call that failed was made again: a row may have two records, but none is missing or invented.
    let sent = |list: &[Sent]| list.iter().copied().collect::<BTreeSet<Sent>>();
    let found: BTreeSet<Sent> = rows.iter().map(|row| row.sent).collect();
    let found: Vec<Sent> = found.into_iter().collect();
    let wanted: Vec<Sent> = sent(&ledger.acknowledged).into_iter().collect();
    same("rows of history", &found, &wanted);
    assert!(quarantined.len() >= sent(&ledger.ahead).len());

    let found = online(stores, group).await;
    let wanted = newest(group, &rows, &records);
    same("online rows", &found, &wanted);
}

/// The first place where they differ says more than all of both.
fn same<T: PartialEq + Debug>(what: &str, found: &[T], wanted: &[T]) {
    let differs = found
        .iter()
        .zip(wanted)
        .position(|(found, wanted)| found != wanted);
    let at = differs.unwrap_or(found.len().min(wanted.len()));
    assert!(
        found == wanted,
        "{what}: {} found, {} wanted; at {at} found {:?}, wanted {:?}",
        found.len(),
        wanted.len(),
        found.get(at),
        wanted.get(at),
    );
}

/// Positions have no order of their own.
fn place(position: &Position) -> (u32, u64) {
    (position.partition.0, position.offset.0)
}

fn position((partition, offset): (u32, u64)) -> Position {
    Position {
        partition: PartitionId(partition),
        offset: Offset(offset),
    }
}

/// The value of every record of a topic.
async fn records(topics: &dyn TopicStore, topic: &str) -> BTreeMap<(u32, u64), Bytes> {
    let bounds = topics.bounds(topic).await.expect("bounds");
    let wanted: u64 = bounds.iter().map(|bounds| bounds.next.0).sum();
    let consumer = format!("check-{}", uuid::Uuid::new_v4().simple());
    let mut subscription = topics.subscribe(topic, &consumer).await.expect("subscribe");
    let mut records = BTreeMap::new();
    let reading = async {
        while (records.len() as u64) < wanted {
            match subscription.next(LIMITS).await.expect("records") {
                Event::Assigned(partitions) => {
                    for partition in partitions {
                        let sought = subscription.seek(partition, Offset::ZERO).await;
                        sought.expect("seek");
                    }
                }
                Event::Records(batches) => {
                    for batch in batches {
                        let place = |offset: Offset| (batch.partition.0, offset.0);
                        let of_batch = batch.records.iter();
                        let entry = |record: &Record| (place(record.offset), record.value.clone());
                        records.extend(of_batch.map(entry));
                    }
                }
                Event::Revoked(_) | Event::Idle => {}
            }
        }
    };
    let read = tokio::time::timeout(RECOVERY_MAX, reading).await;
    read.expect("the topic can be read to its end");
    records
}

async fn history(stores: &StoresConfig, group: &FeatureGroup) -> Vec<Row> {
    let store = twinfold_store_offline::open(&stores.offline).await;
    let store = store.expect("history");
    let snapshot = store.snapshot(&group.id().resource_name(1), None).await;
    let rows = collected(&snapshot.expect("history")).await;
    let ids = column::<Int64Type>(&rows, "id");
    let sequences = column::<Int64Type>(&rows, "sequence");
    let times = column::<TimestampMicrosecondType>(&rows, "_event_time");
    let partitions = column::<Int32Type>(&rows, "_partition");
    let offsets = column::<Int64Type>(&rows, "_offset");
    let texts = rows
        .column_by_name("text")
        .expect("column")
        .as_string::<i32>();
    let deleted = rows
        .column_by_name("_deleted")
        .expect("column")
        .as_boolean();
    let row = |at: usize| {
        let sequence = sequences[at];
        assert_eq!(sequence.is_none(), deleted.value(at));
        if let Some(sequence) = sequence {
            assert_eq!(texts.value(at), text(sequence));
        }
        let at_us = times[at].expect("never null");
        let offset = offsets[at].expect("never null").cast_unsigned();
        let partition = partitions[at].expect("never null").cast_unsigned();
        Row {
            position: position((partition, offset)),
            sent: Sent {
                id: ids[at].expect("never null"),
                at_us,
                sequence,
            },
            version: RowVersion {
                event_time: EventTime::from_micros(at_us),
                operation: match sequence {
                    Some(_) => Operation::Upsert,
                    None => Operation::Delete,
                },
                offset: Offset(offset),
            },
        }
    };
    (0..rows.num_rows()).map(row).collect()
}

fn column<T: ArrowPrimitiveType>(rows: &RecordBatch, name: &str) -> Vec<Option<T::Native>> {
    let column = rows.column_by_name(name).expect("column");
    column.as_primitive::<T>().iter().collect()
}

async fn quarantined(stores: &StoresConfig, group: &FeatureGroup) -> Vec<Position> {
    let metadata = twinfold_store_metadata::open(&stores.metadata).await;
    let metadata = metadata.expect("metadata");
    let listed = metadata
        .quarantined(group.id(), None, QUARANTINED_MAX)
        .await;
    let listed = listed.expect("quarantine");
    metadata.close().await.expect("close");
    for record in &listed {
        assert_eq!(record.code, "future_event_time", "{}", record.reason);
    }
    listed.iter().map(|record| record.position).collect()
}

/// Key, event time, offset and body of every live row.
type OnlineRow = (Bytes, i64, u64, Bytes);

async fn online(stores: &StoresConfig, group: &FeatureGroup) -> Vec<OnlineRow> {
    let store = twinfold_store_online::open(&stores.online).await;
    let store = store.expect("online store");
    let table = group.id().resource_name(1);
    let mut rows = Vec::new();
    let mut cursor = None;
    loop {
        let page = store.scan(&table, cursor, 1_000).await.expect("scan");
        for (key, row) in page.rows {
            let view = ValueView::parse(&row.value).expect("a value");
            let (offset, body) = (view.offset.0, row.value.slice_ref(view.body));
            rows.push((key, row.event_time.micros(), offset, body));
        }
        cursor = page.cursor;
        if cursor.is_none() {
            break;
        }
    }
    store.close().await.expect("close");
    rows.sort_unstable();
    rows
}

/// What the online store has to hold after these rows.
fn newest(
    group: &FeatureGroup,
    rows: &[Row],
    records: &BTreeMap<(u32, u64), Bytes>,
) -> Vec<OnlineRow> {
    let mut newest: BTreeMap<i64, &Row> = BTreeMap::new();
    for row in rows {
        let best = newest.entry(row.sent.id).or_insert(row);
        if row.version > best.version {
            *best = row;
        }
    }
    let keys = KeyEncoder::new(group);
    let live = newest.values().filter(|row| row.sent.sequence.is_some());
    let live = live.map(|row| {
        let mut key = Vec::new();
        let encoded = keys.encode_values(&[Value::BigInt(row.sent.id)], &mut key);
        encoded.expect("a key");
        let body = records[&place(&row.position)].slice(FRAME_BYTES..);
        (
            Bytes::from(key),
            row.sent.at_us,
            row.position.offset.0,
            body,
        )
    });
    let mut live: Vec<OnlineRow> = live.collect();
    live.sort_unstable();
    live
}
