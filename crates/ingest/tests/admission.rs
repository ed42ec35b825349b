//! Which records become rows: the same answer whoever asks and however they are cut into batches.

use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use twinfold_client::WriterSchema;
use twinfold_ingest::Batch;
use twinfold_ingest::admission::Admission;
use twinfold_model::{
    EventTime, FeatureGroup, Offset, Operation, PartitionId, QuarantinedRecord, SchemaId,
};
use twinfold_store_topic::{Record, RecordBatch};
use twinfold_testkit::{bench_group, bench_rows};
use twinfold_wire::record::{Encoder, Headers, avro_schema};
use twinfold_wire::row::KeyEncoder;

const SCHEMA: SchemaId = SchemaId(3);
const SKEW: Duration = Duration::from_secs(300);
const NOW: EventTime = EventTime::from_micros(1_800_000_000_000_000);

fn admission(group: &FeatureGroup) -> Admission {
    let mut admission = Admission::new(group.clone(), group.id().resource_name(2), SKEW);
    let schema = WriterSchema {
        id: SCHEMA,
        avro_json: avro_schema(group),
    };
    admission.learn(SCHEMA, Some(&schema));
    admission
}

fn good_values(count: usize) -> Vec<Bytes> {
    let mut encoder = Encoder::new(&bench_group(), SCHEMA).expect("encoder");
    let rows = encoder.encode(&bench_rows(0, count, 0)).expect("rows");
    rows.iter().collect()
}

fn batch(
    first: u64,
    operation: Operation,
    event_time: Option<EventTime>,
    values: &[Bytes],
) -> RecordBatch {
    let record = |(index, value): (usize, &Bytes)| Record {
        offset: Offset(first + index as u64),
        key: Bytes::new(),
        value: value.clone(),
    };
    RecordBatch {
        partition: PartitionId(0),
        first: Offset(first),
        appended_at: NOW,
        headers: Ok(Headers {
            operation,
            ingestion_id: None,
            event_time,
        }),
        records: values.iter().enumerate().map(record).collect(),
    }
}

fn codes(admitted: &Batch) -> Vec<&str> {
    let quarantined = admitted.quarantined.iter();
    quarantined.map(|record| record.code.as_str()).collect()
}

#[test]
fn a_row_carries_the_key_and_time_of_its_value() {
    let values = good_values(3);
    let keys = KeyEncoder::new(&bench_group());
    let keys = keys.encode(&bench_rows(0, 3, 0)).expect("keys");
    let upserts = vec![batch(10, Operation::Upsert, None, &values)];
    let admitted = admission(&bench_group()).admit(upserts, NOW);
    assert_eq!(admitted.positions.get(PartitionId(0)), Some(Offset(13)));
    for (index, row) in admitted.rows.iter().enumerate() {
        assert_eq!(row.key, keys.key(index));
        assert_eq!(row.version.offset, Offset(10 + index as u64));
        assert_eq!(row.body(), values[index].slice(5..));
    }
    assert!(admitted.rows[0].version.event_time < admitted.rows[1].version.event_time);
}

#[test]
fn a_delete_takes_its_time_from_the_header_or_from_the_log() {
    let values = good_values(1);
    let told = EventTime::from_micros(77);
    for (header, wanted) in [(Some(told), told), (None, NOW)] {
        let deletes = vec![batch(0, Operation::Delete, header, &values)];
        let admitted = admission(&bench_group()).admit(deletes, NOW);
        assert_eq!(admitted.rows[0].version.event_time, wanted);
        assert_eq!(admitted.rows[0].version.operation, Operation::Delete);
    }
}

#[test]
fn the_edge_of_the_future_is_still_the_present() {
    let values = good_values(1);
    let edge = NOW.micros() + 300_000_000;
    for (at, wanted) in [(edge, vec![]), (edge + 1, vec!["future_event_time"])] {
        let at = Some(EventTime::from_micros(at));
        let deletes = vec![batch(0, Operation::Delete, at, &values)];
        let admitted = admission(&bench_group()).admit(deletes, EventTime::MIN);
        assert_eq!(
            codes(&admitted),
            wanted,
            "judged by the log's clock, not the consumer's"
        );
    }
}

#[test]
fn schemas_that_are_unknown_or_unfit_refuse_their_records_only() {
    let group = bench_group();
    let mut admission = admission(&group);
    let unfit = WriterSchema {
        id: SchemaId(5),
        avro_json: r#"{"type":"record","name":"r","fields":[{"name":"id","type":"double"}]}"#
            .to_owned(),
    };
    admission.learn(SchemaId(5), Some(&unfit));
    admission.learn(SchemaId(6), None);
    let good = good_values(1).remove(0);
    let with_schema = |id: u8| {
        let mut value = good.to_vec();
        value[4] = id;
        Bytes::from(value)
    };
    let values = [with_schema(5), with_schema(6), good.clone()];
    let batches = vec![batch(0, Operation::Upsert, None, &values)];
    assert_eq!(admission.unknown_schema(&batches), None);
    let admitted = admission.admit(batches.clone(), NOW);
    assert_eq!(codes(&admitted), ["incompatible_schema", "unknown_schema"]);
    let topic = group.id().resource_name(2);
    let is_of_topic = |record: &QuarantinedRecord| record.resource == topic;
    assert!(admitted.quarantined.iter().all(is_of_topic));
    assert_eq!(admitted.rows.len(), 1);
    // An unknown schema may have been registered since: it is asked for again.
    admission.forget_refused();
    assert_eq!(admission.unknown_schema(&batches), Some(SchemaId(5)));
    admission.learn(SchemaId(5), None);
    assert_eq!(admission.unknown_schema(&batches), Some(SchemaId(6)));
}

#[test]
fn a_bad_record_takes_more_than_a_row() {
    let good = good_values(1).remove(0);
    let bytes = |value: &Bytes| {
        let batches = vec![batch(
            0,
            Operation::Upsert,
            None,
            std::slice::from_ref(value),
        )];
        admission(&bench_group()).admit(batches, NOW).bytes
    };
    let bad = good.slice(..good.len() - 1);
    assert!(bytes(&bad) >= bytes(&good) + size_of::<QuarantinedRecord>());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Bad records among good ones, cut anywhere: every good one is a row, every bad one quarantined.
    #[test]
    fn a_bad_record_never_poisons_its_neighbours(
        bad in proptest::collection::vec(any::<bool>(), 1..40),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut values = good_values(bad.len());
        for (value, _) in values.iter_mut().zip(&bad).filter(|(_, bad)| **bad) {
            value.truncate(value.len() / 2);
        }
        let cut = cut.index(bad.len());
        let batches = vec![
            batch(0, Operation::Upsert, None, &values[..cut]),
            batch(cut as u64, Operation::Upsert, None, &values[cut..]),
        ];
        let admitted = admission(&bench_group()).admit(batches, NOW);
        let offsets_of = |wanted: bool| -> Vec<u64> {
            (0..bad.len() as u64).filter(|index| bad[*index as usize] == wanted).collect()
        };
        let rows: Vec<u64> = admitted.rows.iter().map(|row| row.version.offset.0).collect();
        prop_assert_eq!(rows, offsets_of(false));
        let quarantined = admitted.quarantined.iter();
        let quarantined: Vec<u64> = quarantined.map(|record| record.position.offset.0).collect();
        prop_assert_eq!(quarantined, offsets_of(true));
        let keys: std::collections::HashSet<_> = admitted.rows.iter().map(|row| row.key.clone()).collect();
        prop_assert_eq!(keys.len(), admitted.rows.len());
    }
}
