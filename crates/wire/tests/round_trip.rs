//! Rows of generated groups, written and read back, with `apache-avro` as the judge of the bytes.

mod avro_oracle;

use arrow::array::RecordBatch;
use proptest::prelude::*;
use twinfold_model::{EventTime, FeatureGroup, SchemaId, Value};
use twinfold_testkit::{batch, strategies};
use twinfold_wire::record::{
    Decoder, Encoder, Inspector, avro_schema, coerce, coerce_keys, parse_frame,
};
use twinfold_wire::row::{KeyEncoder, Projection, decode_key};

use avro_oracle::comparable;

const SCHEMA: SchemaId = SchemaId(0x0102_0304);

fn group_and_values(rows_max: usize) -> impl Strategy<Value = (FeatureGroup, Vec<Vec<Value>>)> {
    strategies::feature_group().prop_flat_map(move |group| {
        let rows = prop::collection::vec(strategies::row(&group), 0..=rows_max);
        (Just(group), rows)
    })
}

/// Also some features of the group, in any order.
fn group_values_and_wanted() -> impl Strategy<Value = (FeatureGroup, Vec<Vec<Value>>, Vec<usize>)> {
    group_and_values(4).prop_flat_map(|(group, rows)| {
        let indices: Vec<usize> = (0..group.features().len()).collect();
        let counts = 0..=indices.len();
        let wanted = prop::sample::subsequence(indices, counts).prop_shuffle();
        (Just(group), Just(rows), wanted)
    })
}

fn encoded(group: &FeatureGroup, rows: &RecordBatch) -> Vec<Vec<u8>> {
    let mut encoder = Encoder::new(group, SCHEMA).expect("encoder");
    let records = encoder.encode(rows).expect("encodes");
    records.iter().map(|record| record.to_vec()).collect()
}

fn body(record: &[u8]) -> &[u8] {
    let (schema, body) = parse_frame(record).expect("a frame");
    assert_eq!(schema, SCHEMA);
    body
}

fn key_values(group: &FeatureGroup, row: &[Value]) -> Vec<Value> {
    group
        .primary_key()
        .iter()
        .map(|index| row[*index].clone())
        .collect()
}

fn has_map(group: &FeatureGroup) -> bool {
    group
        .features()
        .iter()
        .any(|feature| feature.r#type.to_string().contains("map<"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn records_decode_to_the_rows_they_were_made_of((group, rows) in group_and_values(8)) {
        let rows = batch(&group, &rows);
        let records = encoded(&group, &rows);
        let mut decoder = Decoder::new(&group).expect("decoder");
        decoder.add_schema(SCHEMA, &avro_schema(&group)).expect("compiles");
        let decoded = decoder.decode(&records).expect("decodes");
        prop_assert_eq!(&decoded.defects, &[]);
        prop_assert_eq!(decoded.rows, (0..rows.num_rows() as u32).collect::<Vec<_>>());
        prop_assert_eq!(&decoded.batch.schema(), &rows.schema());
        prop_assert_eq!(encoded(&group, &decoded.batch), records);
    }

    #[test]
    fn apache_avro_reads_our_records_and_we_read_its((group, rows) in group_and_values(4)) {
        let json = avro_schema(&group);
        let schema = avro_oracle::schema(&json);
        let all = Projection::compile(&json, group.features()).expect("compiles");
        for (row, record) in rows.iter().zip(encoded(&group, &batch(&group, &rows))) {
            let theirs = avro_oracle::decode(&schema, body(&record));
            let read = avro_oracle::row_of(&group, &theirs);
            prop_assert_eq!(comparable(&read), comparable(row));
            let written = avro_oracle::encode(&schema, avro_oracle::record(&group, row));
            if !has_map(&group) {
                prop_assert_eq!(&written, body(&record));
            }
            let mut values = Vec::new();
            all.decode(&written, &mut values).expect("valid");
            prop_assert_eq!(comparable(&values), comparable(row));
        }
    }

    #[test]
    fn the_key_is_the_same_from_columns_values_and_records((group, rows) in group_and_values(6)) {
        let rows_batch = batch(&group, &rows);
        let encoder = KeyEncoder::new(&group);
        let keys = encoder.encode(&rows_batch).expect("keys");
        let inspector = Inspector::compile(&avro_schema(&group), &group).expect("compiles");
        prop_assert_eq!(keys.len(), rows.len());
        for (index, record) in encoded(&group, &rows_batch).iter().enumerate() {
            let values = key_values(&group, &rows[index]);
            let mut key = b"p".to_vec();
            encoder.encode_values(&values, &mut key).expect("fits");
            prop_assert_eq!(&key[1..], &keys.key(index)[..]);
            let mut inspected = b"p".to_vec();
            let event_time = inspector.inspect(body(record), &mut inspected).expect("valid");
            prop_assert_eq!(&inspected, &key);
            prop_assert_eq!(decode_key(&key[1..], &group), Ok(values));
            let expected = group.event_time().map(|index_of| match rows[index][index_of] {
                Value::Date(days) => EventTime::from_days(days),
                Value::Timestamp(micros) => EventTime::from_micros(micros),
                _ => unreachable!("no event time has another type"),
            });
            prop_assert_eq!(event_time, expected);
        }
    }

    #[test]
    fn a_projection_is_the_full_row_restricted((group, rows, wanted) in group_values_and_wanted()) {
        let features: Vec<_> = wanted.iter().map(|n| group.features()[*n].clone()).collect();
        let projection = Projection::compile(&avro_schema(&group), &features).expect("compiles");
        for (row, record) in rows.iter().zip(encoded(&group, &batch(&group, &rows))) {
            let mut values = Vec::new();
            projection.decode(body(&record), &mut values).expect("valid");
            let expected: Vec<_> = wanted.iter().map(|n| row[*n].clone()).collect();
            prop_assert_eq!(comparable(&values), comparable(&expected));
        }
    }

    #[test]
    fn canonical_rows_coerce_to_themselves((group, rows) in group_and_values(6)) {
        let rows = batch(&group, &rows);
        let coerced = coerce(&rows, &group, 0).expect("canonical");
        prop_assert_eq!(encoded(&group, &coerced), encoded(&group, &rows));
        prop_assert_eq!(coerced.schema(), rows.schema());
    }

    #[test]
    fn deletes_carry_the_key_alone_and_are_valid((group, rows) in group_and_values(4)) {
        let rows = batch(&group, &rows);
        let keys: Vec<usize> = group.primary_key().to_vec();
        let deletes = coerce_keys(&rows.project(&keys).expect("exist"), &group, 0).expect("keys");
        let inspector = Inspector::compile(&avro_schema(&group), &group).expect("compiles");
        let expected = KeyEncoder::new(&group).encode(&rows).expect("keys");
        for (index, record) in encoded(&group, &deletes).iter().enumerate() {
            let mut key = Vec::new();
            inspector.inspect_key(body(record), &mut key).expect("valid");
            prop_assert_eq!(&key[..], &expected.key(index)[..]);
        }
    }

    #[test]
    fn the_group_schema_is_one_that_apache_avro_can_read_itself(
        group in strategies::feature_group(),
    ) {
        let schema = avro_oracle::schema(&avro_schema(&group));
        apache_avro::schema_compatibility::SchemaCompatibility::can_read(&schema, &schema)
            .expect("reads itself");
    }
}
