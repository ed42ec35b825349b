//! Records are decoded in parts whose memory is bounded, whatever their bytes stand for.

use arrow::array::{Array, RecordBatch};
use arrow::compute::concat_batches;
use twinfold_model::{Feature, FeatureGroup, FeatureType, SchemaId, Value, evolve};
use twinfold_testkit::{all_types_group, batch, group, rows, weather_group};
use twinfold_wire::record::{Decoder, Encoder, arrow_schema, avro_schema};

const SCHEMA: SchemaId = SchemaId(1);
/// Floats of an embedding.
const LENGTH: u32 = 1_000;

fn encoded(group: &FeatureGroup, rows: &RecordBatch) -> Vec<Vec<u8>> {
    let mut encoder = Encoder::new(group, SCHEMA).expect("encoder");
    let records = encoder.encode(rows).expect("encodes");
    records.iter().map(|record| record.to_vec()).collect()
}

fn decoder(group: &FeatureGroup, writer: &FeatureGroup) -> Decoder {
    let mut decoder = Decoder::new(group).expect("decoder");
    let added = decoder.add_schema(SCHEMA, &avro_schema(writer));
    added.expect("compiles");
    decoder
}

/// Decodes everything, part by part.
fn parts(decoder: &mut Decoder, mut records: &[Vec<u8>], bytes_max: usize) -> Vec<RecordBatch> {
    let mut parts = Vec::new();
    while !records.is_empty() {
        let part = decoder.decode_up_to(records, bytes_max).expect("decodes");
        assert!(part.taken() > 0, "{} records are left", records.len());
        records = &records[part.taken()..];
        parts.push(part.batch);
    }
    parts
}

fn bytes(batch: &RecordBatch) -> usize {
    let columns = batch.columns().iter().map(|column| column.to_data());
    columns
        .map(|data| data.get_slice_memory_size().expect("known"))
        .sum()
}

#[test]
fn parts_are_together_what_all_is() {
    let group = all_types_group();
    let mut records = encoded(&group, &rows(&group, 3, 200));
    records[17].truncate(9);
    records[18] = vec![7];
    let mut decoder = decoder(&group, &group);
    let all = decoder.decode(&records).expect("decodes");
    assert_eq!((all.rows.len(), all.taken()), (198, 200));
    for bytes_max in [0, 1, 4_096, usize::MAX] {
        let parts = parts(&mut decoder, &records, bytes_max);
        let joined = concat_batches(&arrow_schema(&group), &parts).expect("one schema");
        assert_eq!(joined, all.batch);
        let all_in_one = parts.len() == 1;
        assert_eq!(all_in_one, bytes_max == usize::MAX, "{}", parts.len());
    }
}

#[test]
fn a_null_embedding_counts_with_all_its_floats() {
    let old = weather_group();
    let added = Feature::new("embedded", FeatureType::Embedding(LENGTH)).expect("valid");
    let new = evolve(&old, vec![added]).expect("nullable");
    let nulls = batch(&new, &vec![null_row(Value::Null); 50]);
    let lists = group(
        "lists",
        &[("id", "bigint"), ("found", "array<embedding(1000)>")],
        &["id"],
        None,
    );
    let one_null = Value::Array(vec![Value::Null]);
    let in_lists = batch(&lists, &vec![vec![Value::BigInt(1), one_null]; 50]);
    let cases = [
        ("absent", &new, &old, encoded(&old, &rows(&old, 1, 50))),
        ("null", &new, &new, encoded(&new, &nulls)),
        ("null in lists", &lists, &lists, encoded(&lists, &in_lists)),
    ];
    for (case, reader, writer, records) in cases {
        let encoded_bytes = records.iter().map(Vec::len).sum::<usize>();
        assert!(encoded_bytes < 20_000, "{case}: {encoded_bytes} bytes");
        let parts = parts(&mut decoder(reader, writer), &records, 40_000);
        assert!((5..=6).contains(&parts.len()), "{case}: {}", parts.len());
        for part in &parts {
            assert!(bytes(part) < 46_000, "{case}: {} bytes", bytes(part));
        }
    }
}

/// A row of `weather` with an embedding.
fn null_row(embedded: Value) -> Vec<Value> {
    vec![
        Value::String("JFK".to_owned()),
        Value::Timestamp(5),
        Value::Null,
        Value::Null,
        Value::Null,
        embedded,
    ]
}
