//! Statistics of columns, found in one pass over the batches that are written.
//!
//! They depend on what the digest depends on and on nothing else: values are taken in one at a time in the
//! order of rows, whatever batches these come in, and splits are joined in their order.

mod distinct;
mod moments;

use std::cmp::Ordering;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, PrimitiveArray, StringArray};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int32Type,
    Int64Type, SchemaRef, TimestampMicrosecondType,
};
use arrow::record_batch::RecordBatch;
use twinfold_model::{ColumnStatistics, DatasetStatistics, FeatureType, SplitStatistics, Value};

use self::distinct::Distinct;
use self::moments::Moments;
use super::digest::features_of;
use crate::Result;

/// The statistics of one split while its rows come by.
pub(super) struct RunningStatistics {
    rows: u64,
    columns: Vec<RunningColumn>,
}

impl RunningStatistics {
    pub(super) fn new(schema: &SchemaRef) -> Result<Self> {
        let features = features_of(schema)?.into_iter();
        Ok(Self {
            rows: 0,
            columns: features
                .map(|(name, r#type)| RunningColumn::new(name, r#type))
                .collect(),
        })
    }

    pub(super) fn update(&mut self, batch: &RecordBatch) {
        self.rows += batch.num_rows() as u64;
        for (column, values) in self.columns.iter_mut().zip(batch.columns()) {
            column.update(values);
        }
    }

    fn join(&mut self, other: Self) {
        self.rows += other.rows;
        for (column, other) in self.columns.iter_mut().zip(other.columns) {
            column.join(other);
        }
    }

    fn found(&self) -> SplitStatistics {
        SplitStatistics {
            rows: self.rows,
            columns: self.columns.iter().map(RunningColumn::found).collect(),
        }
    }
}

/// The statistics of a dataset of these splits.
pub(super) fn joined(splits: Vec<(String, RunningStatistics)>) -> DatasetStatistics {
    let mut found = DatasetStatistics::default();
    if splits.len() > 1 {
        let named = splits
            .iter()
            .map(|(name, split)| (name.clone(), split.found()));
        found.splits = named.collect();
    }
    let splits = splits.into_iter().map(|(_, split)| split);
    let whole = splits.reduce(|mut whole, split| {
        whole.join(split);
        whole
    });
    found.whole = whole.map(|whole| whole.found()).unwrap_or_default();
    found
}

/// What a column's type has no use for stays as it began.
struct RunningColumn {
    name: String,
    r#type: FeatureType,
    nulls: u64,
    nans: u64,
    infinities: u64,
    /// The least and the greatest of integers, decimals and times, as they are stored.
    integers: Option<(i128, i128)>,
    /// The same of floating numbers.
    floats: Option<(f64, f64)>,
    moments: Moments,
    distinct: Distinct,
    /// Of the shortest and the longest text.
    lengths: Option<(u64, u64)>,
}

impl RunningColumn {
    fn new(name: String, r#type: FeatureType) -> Self {
        Self {
            name,
            r#type,
            nulls: 0,
            nans: 0,
            infinities: 0,
            integers: None,
            floats: None,
            moments: Moments::default(),
            distinct: Distinct::new(),
            lengths: None,
        }
    }

    fn update(&mut self, values: &ArrayRef) {
        self.nulls += values.null_count() as u64;
        match values.data_type() {
            DataType::Boolean => self.add_booleans(values.as_boolean()),
            DataType::Int32 => self.add_integers(values.as_primitive::<Int32Type>(), f64::from),
            DataType::Int64 => {
                self.add_integers(values.as_primitive::<Int64Type>(), |value| value as f64);
            }
            DataType::Decimal128(_, scale) => {
                let one = 10_i128.pow(scale.unsigned_abs().into()) as f64;
                let values = values.as_primitive::<Decimal128Type>();
                self.add_integers(values, |unscaled| unscaled as f64 / one);
            }
            DataType::Date32 => self.add_times(values.as_primitive::<Date32Type>()),
            DataType::Timestamp(..) => {
                self.add_times(values.as_primitive::<TimestampMicrosecondType>());
            }
            DataType::Float32 => {
                let values = values.as_primitive::<Float32Type>().iter().flatten();
                self.add_floats(values.map(f64::from));
            }
            DataType::Float64 => {
                self.add_floats(values.as_primitive::<Float64Type>().iter().flatten());
            }
            DataType::Utf8 => self.add_texts(values.as_string::<i32>()),
            // Of bytes, and of what is nested, nothing is told but the nulls.
            _ => {}
        }
    }

    fn add_booleans(&mut self, values: &BooleanArray) {
        if values.has_true() {
            self.distinct.add("true");
        }
        if values.has_false() {
            self.distinct.add("false");
        }
    }

    fn add_integers<T: ArrowPrimitiveType>(
        &mut self,
        values: &PrimitiveArray<T>,
        double: impl Fn(T::Native) -> f64,
    ) where
        T::Native: Into<i128>,
    {
        for value in values.iter().flatten() {
            let stored: i128 = value.into();
            widen(&mut self.integers, (stored, stored), i128::cmp);
            self.moments.add(double(value));
        }
    }

    /// Times have no mean: it would say less than the column's first and last do.
    fn add_times<T: ArrowPrimitiveType>(&mut self, values: &PrimitiveArray<T>)
    where
        T::Native: Into<i128>,
    {
        for value in values.iter().flatten() {
            let stored: i128 = value.into();
            widen(&mut self.integers, (stored, stored), i128::cmp);
        }
    }

    /// One that is not finite would make all the others of no account.
    fn add_floats(&mut self, values: impl Iterator<Item = f64>) {
        for value in values {
            if value.is_nan() {
                self.nans += 1;
            } else if value.is_infinite() {
                self.infinities += 1;
            } else {
                widen(&mut self.floats, (value, value), f64::total_cmp);
                self.moments.add(value);
            }
        }
    }

    fn add_texts(&mut self, values: &StringArray) {
        for value in values.iter().flatten() {
            let length = value.chars().count() as u64;
            widen(&mut self.lengths, (length, length), u64::cmp);
            self.distinct.add(value);
        }
    }

    fn join(&mut self, other: Self) {
        self.nulls += other.nulls;
        self.nans += other.nans;
        self.infinities += other.infinities;
        if let Some(integers) = other.integers {
            widen(&mut self.integers, integers, i128::cmp);
        }
        if let Some(floats) = other.floats {
            widen(&mut self.floats, floats, f64::total_cmp);
        }
        if let Some(lengths) = other.lengths {
            widen(&mut self.lengths, lengths, u64::cmp);
        }
        self.moments.join(other.moments);
        self.distinct.join(other.distinct);
    }

    fn found(&self) -> ColumnStatistics {
        let (min, max) = self.bounds().unzip();
        let (length_min, length_max) = self.lengths.unzip();
        ColumnStatistics {
            name: self.name.clone(),
            nulls: self.nulls,
            nans: self.nans,
            infinities: self.infinities,
            min,
            max,
            mean: self.moments.mean(),
            standard_deviation: self.moments.standard_deviation(),
            distinct_values: match self.r#type {
                FeatureType::String | FeatureType::Boolean => self.distinct.count(),
                _ => None,
            },
            length_min,
            length_max,
        }
    }

    fn bounds(&self) -> Option<(Value, Value)> {
        if let Some((min, max)) = self.floats {
            return Some((self.value_of_float(min), self.value_of_float(max)));
        }
        let (min, max) = self.integers?;
        Some((self.value_of_integer(min), self.value_of_integer(max)))
    }

    /// Nothing is cut or rounded: it was a value of the column.
    fn value_of_integer(&self, stored: i128) -> Value {
        match self.r#type {
            FeatureType::Int => Value::Int(stored as i32),
            FeatureType::Date => Value::Date(stored as i32),
            FeatureType::Timestamp => Value::Timestamp(stored as i64),
            FeatureType::Decimal { scale, .. } => Value::Decimal {
                unscaled: stored,
                scale,
            },
            _ => Value::BigInt(stored as i64),
        }
    }

    fn value_of_float(&self, value: f64) -> Value {
        match self.r#type {
            FeatureType::Float => Value::Float(value as f32),
            _ => Value::Double(value),
        }
    }
}

/// Moves the least and the greatest apart until both ends of `by` lie between them.
fn widen<T: Copy>(bounds: &mut Option<(T, T)>, by: (T, T), order: impl Fn(&T, &T) -> Ordering) {
    *bounds = Some(match *bounds {
        None => by,
        Some((low, high)) => (
            if order(&by.0, &low).is_lt() {
                by.0
            } else {
                low
            },
            if order(&by.1, &high).is_gt() {
                by.1
            } else {
                high
            },
        ),
    });
}
