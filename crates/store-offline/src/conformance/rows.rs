//! The rows of the conformance tests, and how they are read back.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, BinaryArray, BooleanArray, Date32Array, Decimal128Array, FixedSizeListArray,
    Float32Array, Float64Array, Int32Array, Int64Array, ListArray, MapArray, StringArray,
    StructArray, TimestampMicrosecondArray, new_null_array,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use datafusion::prelude::{DataFrame, SessionContext, col};
use twinfold_model::{Offset, PartitionId, Positions};
use twinfold_wire::record::arrow_type_of;

use crate::{AppendRequest, Snapshot};

/// Columns of the test table; the extra ones are embeddings.
pub(super) fn schema(extra: &[&str]) -> SchemaRef {
    let mut fields = vec![
        field("id", "bigint", false),
        field("name", "string", true),
        field("_event_time", "timestamp", false),
        field("_partition", "int", false),
        field("_offset", "bigint", false),
        field("_deleted", "boolean", false),
    ];
    fields.extend(extra.iter().map(|name| field(name, "embedding(2)", true)));
    Arc::new(Schema::new(fields))
}

fn field(name: &str, r#type: &str, nullable: bool) -> Field {
    Field::new(
        name,
        arrow_type_of(&r#type.parse().expect("a type")),
        nullable,
    )
}

/// One row for each offset, which is also its id and its event time in seconds.
pub(super) fn rows(partition: i32, offsets: Range<i64>) -> RecordBatch {
    let offsets: Vec<i64> = offsets.collect();
    let names = offsets.iter().map(|offset| format!("name {offset}"));
    let times = offsets.iter().map(|offset| offset * 1_000_000);
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(offsets.clone())),
        Arc::new(StringArray::from_iter_values(names)),
        Arc::new(TimestampMicrosecondArray::from_iter_values(times).with_timezone("UTC")),
        Arc::new(Int32Array::from(vec![partition; offsets.len()])),
        Arc::new(Int64Array::from(offsets.clone())),
        Arc::new(BooleanArray::from(vec![false; offsets.len()])),
    ];
    RecordBatch::try_new(schema(&[]), columns).expect("valid rows")
}

pub(super) fn append(partition: u32, offsets: Range<i64>) -> AppendRequest {
    let first = u64::try_from(offsets.start).expect("an offset");
    let next = u64::try_from(offsets.end).expect("an offset");
    AppendRequest {
        rows_upserted: u64::try_from(offsets.end - offsets.start).expect("a count"),
        batches: vec![rows(i32::try_from(partition).expect("small"), offsets)],
        follows: positions(partition, first),
        positions: positions(partition, next),
        rows_deleted: 0,
    }
}

pub(super) fn positions(partition: u32, next: u64) -> Positions {
    Positions::from_iter([(PartitionId(partition), Offset(next))])
}

pub(super) fn read(snapshot: &Snapshot) -> DataFrame {
    let session = SessionContext::new();
    session
        .read_table(snapshot.table.clone())
        .expect("a table to read")
}

pub(super) async fn batch_of(frame: DataFrame) -> RecordBatch {
    let schema = Arc::new(frame.schema().as_arrow().clone());
    let batches = frame.collect().await.expect("rows");
    concat_batches(&schema, &batches).expect("batches of one schema")
}

/// All rows with all columns, by their offset.
pub async fn collected(snapshot: &Snapshot) -> RecordBatch {
    let sorted = read(snapshot).sort_by(vec![col("_offset")]).expect("sort");
    batch_of(sorted).await
}

pub(super) async fn ids(snapshot: &Snapshot) -> Vec<i64> {
    sorted_ids(&batch_of(read(snapshot)).await)
}

pub(super) fn sorted_ids(batch: &RecordBatch) -> Vec<i64> {
    let column = batch.column_by_name("id").expect("column");
    let ids = column.as_primitive::<Int64Type>().values().iter().copied();
    let mut ids: Vec<i64> = ids.collect();
    ids.sort_unstable();
    ids
}

pub(super) fn vectors(values: &[Option<[f32; 2]>]) -> ArrayRef {
    let DataType::FixedSizeList(item, length) =
        arrow_type_of(&"embedding(2)".parse().expect("a type"))
    else {
        panic!("an embedding is a fixed-size list");
    };
    let floats = values.iter().flat_map(|value| value.unwrap_or_default());
    let floats = Arc::new(Float32Array::from_iter_values(floats));
    let nulls: NullBuffer = values.iter().map(Option::is_some).collect();
    let vectors = FixedSizeListArray::try_new(item, length, floats, Some(nulls));
    Arc::new(vectors.expect("valid vectors"))
}

/// Three rows of every type: values at the edges, null, ordinary values.
pub(super) fn all_types() -> RecordBatch {
    let mut fields = vec![field("id", "bigint", false)];
    let mut columns: Vec<ArrayRef> = vec![Arc::new(Int64Array::from(vec![i64::MIN, 0, i64::MAX]))];
    let mut add = |name: &str, r#type: &str, column: ArrayRef| {
        fields.push(field(name, r#type, true));
        columns.push(column);
    };
    let double = vec![Some(f64::NAN), None, Some(-0.0)];
    let time = vec![Some(-1), None, Some(253_402_300_799_999_999)];
    let decimal = vec![Some(-(10_i128.pow(38) - 1)), None, Some(12_345)];
    let decimal = Decimal128Array::from(decimal).with_precision_and_scale(38, 4);
    let float = vec![Some(f32::INFINITY), None, Some(f32::MIN_POSITIVE)];
    let text = vec![Some(""), None, Some("Öl, 水, 🜂")];
    let bytes: Vec<Option<&[u8]>> = vec![Some(b""), None, Some(b"\x00\xff")];
    add(
        "c_boolean",
        "boolean",
        Arc::new(BooleanArray::from(vec![Some(true), None, Some(false)])),
    );
    add(
        "c_int",
        "int",
        Arc::new(Int32Array::from(vec![Some(i32::MIN), None, Some(7)])),
    );
    add("c_float", "float", Arc::new(Float32Array::from(float)));
    add("c_double", "double", Arc::new(Float64Array::from(double)));
    add(
        "c_decimal",
        "decimal(38,4)",
        Arc::new(decimal.expect("digits")),
    );
    add("c_string", "string", Arc::new(StringArray::from(text)));
    add("c_binary", "binary", Arc::new(BinaryArray::from(bytes)));
    add(
        "c_date",
        "date",
        Arc::new(Date32Array::from(vec![Some(-1), None, Some(20_000)])),
    );
    let time = TimestampMicrosecondArray::from(time).with_timezone("UTC");
    add("c_timestamp", "timestamp", Arc::new(time));
    add(
        "c_embedding",
        "embedding(2)",
        vectors(&[Some([0.5, f32::NAN]), None, Some([1.0, 2.0])]),
    );
    for (name, r#type) in [
        ("c_array", "array<string>"),
        ("c_map", "map<string,double>"),
        ("c_struct", "struct<a:int,b:array<date>>"),
        (
            "c_deep",
            "array<struct<v:embedding(2),m:map<string,decimal(9,2)>>>",
        ),
    ] {
        let data_type = arrow_type_of(&r#type.parse().expect("a type"));
        add(name, r#type, nested(&data_type, &[true, false, true]));
    }
    let schema = Arc::new(Schema::new(fields));
    RecordBatch::try_new(schema, columns).expect("valid rows")
}

/// A column in which the rows marked `false` are null and the others hold two inner values, the second
/// of them null where the type allows it.
fn nested(data_type: &DataType, valid: &[bool]) -> ArrayRef {
    let nulls = || Some(NullBuffer::from(valid));
    let lengths = || OffsetBuffer::from_lengths(valid.iter().map(|valid| usize::from(*valid) * 2));
    let inner: Vec<bool> = valid
        .iter()
        .filter(|valid| **valid)
        .flat_map(|_| [true, false])
        .collect();
    match data_type {
        DataType::List(item) => {
            let values = nested(item.data_type(), &inner);
            let list = ListArray::try_new(item.clone(), lengths(), values, nulls());
            Arc::new(list.expect("a list"))
        }
        DataType::Map(entries, sorted) => {
            let DataType::Struct(fields) = entries.data_type() else {
                panic!("entries are structs");
            };
            let keys = StringArray::from_iter_values((0..inner.len()).map(|key| format!("k{key}")));
            let values = nested(fields[1].data_type(), &inner);
            let pairs = StructArray::new(fields.clone(), vec![Arc::new(keys), values], None);
            let map = MapArray::try_new(entries.clone(), lengths(), pairs, nulls(), *sorted);
            Arc::new(map.expect("a map"))
        }
        DataType::Struct(fields) => {
            let columns = fields
                .iter()
                .map(|field| nested(field.data_type(), valid))
                .collect();
            Arc::new(StructArray::new(fields.clone(), columns, nulls()))
        }
        DataType::FixedSizeList(..) => {
            let values = valid.iter().map(|valid| valid.then_some([0.25, -1.0]));
            vectors(&values.collect::<Vec<_>>())
        }
        leaf => {
            // Any value will do: a number cast to what is wanted.
            let numbers = valid.iter().enumerate();
            let numbers =
                numbers.map(|(row, valid)| valid.then(|| i32::try_from(row).unwrap_or(0)));
            let numbers = Int32Array::from_iter(numbers);
            arrow::compute::cast(&numbers, leaf)
                .unwrap_or_else(|_| new_null_array(leaf, valid.len()))
        }
    }
}
