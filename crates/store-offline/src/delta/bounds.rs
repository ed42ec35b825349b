//! What the log says about the values in a data file, so that a scan can skip it.
//!
//! Bounds are kept for keys and system columns of types whose bounds can be written exactly: a
//! rounded or truncated bound could hide rows or answer a query for a minimum wrongly.

use arrow::array::{Array, AsArray};
use arrow::compute::{max, max_string, min, min_string};
use arrow::datatypes::{
    DataType, Date32Type, Int32Type, Int64Type, Schema, TimeUnit, TimestampMicrosecondType,
};
use arrow::record_batch::RecordBatch;
use arrow::temporal_conversions::{date32_to_datetime, timestamp_us_to_datetime};
use serde_json::{Map, Value, json};

/// Longer texts are not worth their bytes in the log.
const TEXT_BOUND_BYTES_MAX: usize = 64;
/// 0001-01-01 to 9999-12-31: what the date format of the log can say.
const TIMES_US: std::ops::RangeInclusive<i64> = -62_135_596_800_000_000..=253_402_300_799_999_999;
const DAYS: std::ops::RangeInclusive<i64> = -719_162..=2_932_896;

/// Row count, and per bounded column its nulls and bounds.
#[derive(Debug)]
pub(super) struct FileStatistics {
    rows: u64,
    columns: Vec<ColumnStatistics>,
}

#[derive(Debug)]
struct ColumnStatistics {
    index: usize,
    name: String,
    data_type: DataType,
    nulls: u64,
    bounds: Bounds,
}

#[derive(Debug, Clone, PartialEq)]
enum Bounds {
    /// Only nulls so far.
    Empty,
    Numbers(i64, i64),
    Texts(String, String),
    /// A value came by that has no exact bound.
    Unbounded,
}

/// True for the columns whose bounds are kept: keys are the columns that cannot be null.
pub(super) fn is_bounded(field: &arrow::datatypes::Field) -> bool {
    let named = !field.is_nullable() || field.name().starts_with('_');
    named
        && matches!(
            field.data_type(),
            DataType::Int32
                | DataType::Int64
                | DataType::Date32
                | DataType::Timestamp(TimeUnit::Microsecond, _)
                | DataType::Utf8
        )
}

impl FileStatistics {
    pub(super) fn new(schema: &Schema) -> Self {
        let columns = schema.fields().iter().enumerate();
        Self {
            rows: 0,
            columns: columns
                .filter(|(_, field)| is_bounded(field))
                .map(|(index, field)| ColumnStatistics {
                    index,
                    name: field.name().clone(),
                    data_type: field.data_type().clone(),
                    nulls: 0,
                    bounds: Bounds::Empty,
                })
                .collect(),
        }
    }

    pub(super) fn add(&mut self, batch: &RecordBatch) {
        self.rows += batch.num_rows() as u64;
        for column in &mut self.columns {
            let array = batch.column(column.index).as_ref();
            column.nulls += array.null_count() as u64;
            let bounds = std::mem::replace(&mut column.bounds, Bounds::Empty);
            column.bounds = bounds.widen(bounds_of(array));
        }
    }

    /// The `stats` of an `add` action.
    pub(super) fn to_json(&self) -> String {
        let (mut least, mut greatest, mut nulls) = (Map::new(), Map::new(), Map::new());
        for column in &self.columns {
            nulls.insert(column.name.clone(), json!(column.nulls));
            if let Some((low, high)) = column.bounds.to_json(&column.data_type) {
                least.insert(column.name.clone(), low);
                greatest.insert(column.name.clone(), high);
            }
        }
        json!({
            "numRecords": self.rows,
            "minValues": least,
            "maxValues": greatest,
            "nullCount": nulls,
        })
        .to_string()
    }
}

impl Bounds {
    fn widen(self, other: Bounds) -> Bounds {
        match (self, other) {
            (Bounds::Empty, other) => other,
            (bounds, Bounds::Empty) => bounds,
            (Bounds::Numbers(a, b), Bounds::Numbers(c, d)) => Bounds::Numbers(a.min(c), b.max(d)),
            (Bounds::Texts(a, b), Bounds::Texts(c, d)) => Bounds::Texts(a.min(c), b.max(d)),
            _ => Bounds::Unbounded,
        }
    }

    fn to_json(&self, data_type: &DataType) -> Option<(Value, Value)> {
        match self {
            Bounds::Empty | Bounds::Unbounded => None,
            Bounds::Numbers(low, high) => {
                Some((number(*low, data_type)?, number(*high, data_type)?))
            }
            Bounds::Texts(low, high) => Some((json!(low), json!(high))),
        }
    }
}

fn bounds_of(array: &dyn Array) -> Bounds {
    fn numbers<T: Into<i64>>(low: Option<T>, high: Option<T>) -> Bounds {
        match (low, high) {
            (Some(low), Some(high)) => Bounds::Numbers(low.into(), high.into()),
            _ => Bounds::Empty,
        }
    }
    match array.data_type() {
        DataType::Int32 => {
            let array = array.as_primitive::<Int32Type>();
            numbers(min(array), max(array))
        }
        DataType::Int64 => {
            let array = array.as_primitive::<Int64Type>();
            numbers(min(array), max(array))
        }
        DataType::Date32 => {
            let array = array.as_primitive::<Date32Type>();
            numbers(min(array), max(array))
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            let array = array.as_primitive::<TimestampMicrosecondType>();
            numbers(min(array), max(array))
        }
        DataType::Utf8 => {
            let array = array.as_string::<i32>();
            match (min_string(array), max_string(array)) {
                (Some(low), Some(high)) if low.len().max(high.len()) <= TEXT_BOUND_BYTES_MAX => {
                    Bounds::Texts(low.to_owned(), high.to_owned())
                }
                (Some(_), Some(_)) => Bounds::Unbounded,
                _ => Bounds::Empty,
            }
        }
        _ => Bounds::Unbounded,
    }
}

fn number(value: i64, data_type: &DataType) -> Option<Value> {
    match data_type {
        DataType::Date32 if DAYS.contains(&value) => {
            let time = date32_to_datetime(i32::try_from(value).ok()?)?;
            Some(json!(time.date().to_string()))
        }
        DataType::Timestamp(..) if TIMES_US.contains(&value) => {
            let time = timestamp_us_to_datetime(value)?;
            Some(json!(format!("{}T{}Z", time.date(), time.time())))
        }
        DataType::Int32 | DataType::Int64 => Some(json!(value)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use arrow::array::{
        ArrayRef, Date32Array, Float64Array, Int64Array, StringArray, TimestampMicrosecondArray,
    };
    use arrow::datatypes::Field;

    fn statistics(fields: Vec<Field>, columns: Vec<ArrayRef>) -> Value {
        let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap();
        let mut statistics = FileStatistics::new(batch.schema_ref());
        statistics.add(&batch.slice(0, 1));
        statistics.add(&batch.slice(1, batch.num_rows() - 1));
        serde_json::from_str(&statistics.to_json()).unwrap()
    }

    #[test]
    fn keys_and_system_columns_are_bounded_over_all_batches() {
        let utc = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        let found = statistics(
            vec![
                Field::new("id", DataType::Int64, false),
                Field::new("city", DataType::Utf8, false),
                Field::new("day", DataType::Date32, false),
                Field::new("_event_time", utc, true),
                Field::new("value", DataType::Float64, true),
            ],
            vec![
                Arc::new(Int64Array::from(vec![7, -3, 5])),
                Arc::new(StringArray::from(vec!["b", "a", "c"])),
                Arc::new(Date32Array::from(vec![0, 1, -1])),
                Arc::new(
                    TimestampMicrosecondArray::from(vec![Some(1_500_001), None, Some(0)])
                        .with_timezone("UTC"),
                ),
                Arc::new(Float64Array::from(vec![1.0, 2.0, 3.0])),
            ],
        );
        assert_eq!(
            found,
            json!({
                "numRecords": 3,
                "minValues": {"id": -3, "city": "a", "day": "1969-12-31", "_event_time": "1970-01-01T00:00:00Z"},
                "maxValues": {"id": 7, "city": "c", "day": "1970-01-02", "_event_time": "1970-01-01T00:00:01.500001Z"},
                "nullCount": {"id": 0, "city": 0, "day": 0, "_event_time": 1},
            })
        );
    }

    #[test]
    fn what_has_no_exact_bound_has_none() {
        let long = "x".repeat(TEXT_BOUND_BYTES_MAX + 1);
        let found = statistics(
            vec![
                Field::new("text", DataType::Utf8, false),
                Field::new(
                    "time",
                    DataType::Timestamp(TimeUnit::Microsecond, None),
                    false,
                ),
                Field::new("day", DataType::Date32, false),
                Field::new("_empty", DataType::Int64, true),
            ],
            vec![
                Arc::new(StringArray::from(vec![long.as_str(), "a"])),
                Arc::new(TimestampMicrosecondArray::from(vec![i64::MAX, 0])),
                Arc::new(Date32Array::from(vec![i32::MIN, 0])),
                Arc::new(Int64Array::from(vec![None, None])),
            ],
        );
        assert_eq!(found["minValues"], json!({}));
        assert_eq!(found["maxValues"], json!({}));
        assert_eq!(found["nullCount"]["_empty"], json!(2));
    }
}
