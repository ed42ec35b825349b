//! Rows of the topic as rows of the history table: pure.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Int32Array, Int64Array, TimestampMicrosecondArray, UInt64Array,
};
use arrow::compute::{nullif, take};
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use twinfold_ingest::Row;
use twinfold_model::{FeatureGroup, Operation};
use twinfold_wire::record::Decoded;

/// Puts decoded features and the system columns of their rows side by side.
///
/// `decoded.rows[i]` says which of `rows` stands in place `i`. A delete keeps its key and loses every
/// other feature.
pub fn history_batch(
    group: &FeatureGroup,
    schema: &SchemaRef,
    rows: &[Row],
    decoded: &Decoded,
) -> Result<RecordBatch, ArrowError> {
    let placed: Vec<&Row> = decoded
        .rows
        .iter()
        .map(|index| &rows[*index as usize])
        .collect();
    let deleted: BooleanArray = placed
        .iter()
        .map(|row| Some(row.version.operation == Operation::Delete))
        .collect();
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(schema.fields().len());
    for (index, column) in decoded.batch.columns().iter().enumerate() {
        if group.primary_key().contains(&index) || deleted.true_count() == 0 {
            columns.push(Arc::clone(column));
        } else {
            columns.push(without(column, &deleted)?);
        }
    }
    let event_times = placed.iter().map(|row| row.version.event_time.micros());
    let partitions = placed.iter().map(|row| row.partition.0 as i32);
    let schemas = placed.iter().map(|row| row.schema.0 as i32);
    let offsets = placed.iter().map(|row| row.version.offset.0 as i64);
    columns.push(Arc::new(
        TimestampMicrosecondArray::from_iter_values(event_times).with_timezone("UTC"),
    ));
    columns.push(Arc::new(Int32Array::from_iter_values(partitions)));
    columns.push(Arc::new(Int64Array::from_iter_values(offsets)));
    columns.push(Arc::new(Int32Array::from_iter_values(schemas)));
    columns.push(Arc::new(deleted));
    RecordBatch::try_new(Arc::clone(schema), columns)
}

/// The column with nulls where `deleted` is true.
fn without(column: &ArrayRef, deleted: &BooleanArray) -> Result<ArrayRef, ArrowError> {
    if !column.data_type().is_nested() {
        return nullif(column, deleted);
    }
    // `nullif` keeps the children of nested arrays; taking by nullable indices is defined for all.
    let indices: UInt64Array = deleted
        .iter()
        .enumerate()
        .map(|(index, deleted)| (deleted != Some(true)).then_some(index as u64))
        .collect();
    take(column, &indices, None)
}
