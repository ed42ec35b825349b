//! `arrow-avro` as a second judge of the bytes, column by column.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow_avro::reader::ReaderBuilder;
use arrow_avro::schema::{
    AvroSchema, Fingerprint, FingerprintAlgorithm, FingerprintStrategy, SCHEMA_METADATA_KEY,
    SchemaStore,
};
use arrow_avro::writer::WriterBuilder;
use arrow_avro::writer::format::AvroSoeFormat;
use twinfold_model::SchemaId;
use twinfold_testkit::{all_types_group, bench_group, bench_rows, rows};
use twinfold_wire::record::{Encoder, avro_schema, coerce};

const SCHEMA: SchemaId = SchemaId(5);
const ROWS: usize = 500;

#[test]
fn arrow_avro_reads_what_we_write() {
    for (group, rows) in [
        (all_types_group(), rows(&all_types_group(), 3, ROWS)),
        (bench_group(), bench_rows(0, ROWS, 3)),
    ] {
        let mut encoder = Encoder::new(&group, SCHEMA).expect("encoder");
        let records = encoder.encode(&rows).expect("encodes");
        let mut store = SchemaStore::new_with_type(FingerprintAlgorithm::Id);
        let fingerprint = Fingerprint::Id(SCHEMA.0);
        let schema = AvroSchema::new(avro_schema(&group));
        store.set(fingerprint, schema).expect("valid");
        let mut decoder = ReaderBuilder::new()
            .with_batch_size(ROWS)
            .with_writer_schema_store(store)
            .with_active_fingerprint(fingerprint)
            .build_decoder()
            .expect("decoder");
        for record in records.iter() {
            assert_eq!(decoder.decode(&record).expect("valid"), record.len());
        }
        let decoded = decoder.flush().expect("flushes").expect("rows");
        assert_eq!(coerce(&decoded, &group, 0).expect("our types"), rows);
    }
}

#[test]
fn arrow_avro_writes_the_same_bytes() {
    let group = all_types_group();
    let rows = rows(&group, 4, ROWS);
    let metadata = HashMap::from([(SCHEMA_METADATA_KEY.to_owned(), avro_schema(&group))]);
    let schema = rows.schema().as_ref().clone().with_metadata(metadata);
    let mut theirs = WriterBuilder::new(schema.clone())
        .with_fingerprint_strategy(FingerprintStrategy::Id(SCHEMA.0))
        .build_encoder::<AvroSoeFormat>()
        .expect("encoder");
    let with_metadata = RecordBatch::try_new(Arc::new(schema), rows.columns().to_vec());
    theirs
        .encode(&with_metadata.expect("same columns"))
        .expect("encodes");
    let theirs = theirs.flush();
    let ours = Encoder::new(&group, SCHEMA)
        .expect("encoder")
        .encode(&rows)
        .expect("encodes");
    for index in 0..ROWS {
        assert_eq!(
            theirs.row(index).expect("exists"),
            ours.row(index),
            "row {index}"
        );
    }
}
