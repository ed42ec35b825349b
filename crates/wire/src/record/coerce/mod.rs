//! From any dataframe to the canonical schema of its group.
//!
//! The one coercion table of the model decides; what it refuses, and every value that does not fit, is
//! an error that names the feature, what was found, what was wanted and the row.

mod key;
mod nested;
mod scalar;

use std::collections::{HashMap, HashSet};

use arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::DataType;
use twinfold_model::{Error, Feature, FeatureGroup, FeatureType, Result, Value};

use self::key::check_keys;
use super::arrow_types::{arrow_schema, arrow_type_of};
use super::column::Column;
use super::plan::feature_default;
use super::sink::Sink;

/// Brings `batch` into [`arrow_schema`]: columns are matched by name, in any order.
///
/// A feature without a column gets its default, or null when it may be null. `first_row` counts the rows
/// of the dataframe before this batch, so that errors name the row the user knows.
pub fn coerce(batch: &RecordBatch, group: &FeatureGroup, first_row: u64) -> Result<RecordBatch> {
    let columns = by_name(batch, group)?;
    let arrays = group
        .features()
        .iter()
        .map(|feature| match columns.get(feature.name.as_str()) {
            Some(column) => feature_column(column, feature, first_row),
            None => match feature_default(feature)? {
                Some(default) => constant(&feature.r#type, &default, batch.num_rows()),
                None => Err(missing(feature, batch)),
            },
        })
        .collect::<Result<Vec<_>>>()?;
    canonical_batch(group, arrays, batch.num_rows(), first_row)
}

/// Like [`coerce`] for deletes: only the key columns are read. Every other feature is null, or a zero
/// value where null is not allowed, since only the key of a delete counts.
pub fn coerce_keys(
    batch: &RecordBatch,
    group: &FeatureGroup,
    first_row: u64,
) -> Result<RecordBatch> {
    let columns = by_name(batch, group)?;
    let arrays = group
        .features()
        .iter()
        .enumerate()
        .map(|(index, feature)| {
            if group.primary_key().contains(&index) {
                let column = columns
                    .get(feature.name.as_str())
                    .ok_or_else(|| missing(feature, batch))?;
                feature_column(column, feature, first_row)
            } else if feature.nullable {
                constant(&feature.r#type, &Value::Null, batch.num_rows())
            } else {
                let zero = zero_of(&feature.r#type);
                constant(&feature.r#type, &zero, batch.num_rows())
            }
        })
        .collect::<Result<Vec<_>>>()?;
    canonical_batch(group, arrays, batch.num_rows(), first_row)
}

/// One column in the canonical type of `wanted`, by the rules of [`coerce`]; it may have nulls.
pub fn coerce_column(
    column: &ArrayRef,
    name: &str,
    wanted: &FeatureType,
    first_row: u64,
) -> Result<ArrayRef> {
    let target = Target {
        feature: name,
        row_of: &|index| first_row + index as u64,
    };
    target.convert(column, wanted)
}

fn by_name<'a>(
    batch: &'a RecordBatch,
    group: &FeatureGroup,
) -> Result<HashMap<&'a str, &'a ArrayRef>> {
    let known: HashSet<&str> = group.features().iter().map(|f| f.name.as_str()).collect();
    let mut columns = HashMap::with_capacity(batch.num_columns());
    for (field, column) in batch.schema_ref().fields().iter().zip(batch.columns()) {
        if !known.contains(field.name().as_str()) {
            // Fails, and says what the group has.
            group.feature(field.name())?;
        }
        if columns.insert(field.name().as_str(), column).is_some() {
            return Err(Error::TypeMismatch {
                feature: field.name().clone(),
                found: "two columns of this name".to_owned(),
                wanted: "one".to_owned(),
                row: None,
            });
        }
    }
    Ok(columns)
}

fn missing(feature: &Feature, batch: &RecordBatch) -> Error {
    let fields = batch.schema_ref().fields();
    Error::UnknownFeature {
        feature: feature.name.to_string(),
        owner: "the dataframe".to_owned(),
        known: fields.iter().map(|field| field.name().clone()).collect(),
    }
}

fn canonical_batch(
    group: &FeatureGroup,
    arrays: Vec<ArrayRef>,
    rows: usize,
    first_row: u64,
) -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    let batch = RecordBatch::try_new_with_options(arrow_schema(group), arrays, &options);
    let batch = batch.map_err(|error| Error::InvalidFeatureGroup {
        group: group.id().to_string(),
        reason: error.to_string(),
    })?;
    check_keys(&batch, group, first_row)?;
    Ok(batch)
}

/// One feature: its column in the canonical type, without nulls unless it may have them.
fn feature_column(column: &ArrayRef, feature: &Feature, first_row: u64) -> Result<ArrayRef> {
    let name = feature.name.as_str();
    if !feature.nullable
        && let Some(index) = first_null(column)
    {
        return Err(Error::TypeMismatch {
            feature: name.to_owned(),
            found: "null".to_owned(),
            wanted: feature.r#type.to_string(),
            row: Some(first_row + index as u64),
        });
    }
    coerce_column(column, name, &feature.r#type, first_row)
}

fn first_null(column: &ArrayRef) -> Option<usize> {
    // Logical nulls also see those in the values of a dictionary and in a column of type null.
    let nulls = column.logical_nulls()?;
    (nulls.null_count() > 0).then(|| nulls.iter().position(|valid| !valid))?
}

fn constant(r#type: &FeatureType, value: &Value, rows: usize) -> Result<ArrayRef> {
    let mut column = Column::new(r#type, rows);
    for _ in 0..rows {
        column.value(value);
    }
    column.finish().map_err(|error| Error::InvalidType {
        found: r#type.to_string(),
        reason: error.to_string(),
    })
}

fn zero_of(r#type: &FeatureType) -> Value {
    match r#type {
        FeatureType::Boolean => Value::Boolean(false),
        FeatureType::Int => Value::Int(0),
        FeatureType::BigInt => Value::BigInt(0),
        FeatureType::Float => Value::Float(0.0),
        FeatureType::Double => Value::Double(0.0),
        FeatureType::Decimal { scale, .. } => Value::Decimal {
            unscaled: 0,
            scale: *scale,
        },
        FeatureType::String => Value::String(String::new()),
        FeatureType::Binary => Value::Binary(Vec::new()),
        FeatureType::Date => Value::Date(0),
        FeatureType::Timestamp => Value::Timestamp(0),
        FeatureType::Array(_) => Value::Array(Vec::new()),
        FeatureType::Map(_) => Value::Map(Vec::new()),
        FeatureType::Struct(fields) => Value::Struct(vec![Value::Null; fields.len()]),
        FeatureType::Embedding(length) => Value::Embedding(vec![0.0; *length as usize]),
    }
}

/// The feature that an array, or an array inside it, belongs to.
#[derive(Clone, Copy)]
struct Target<'a> {
    feature: &'a str,
    /// The row of the dataframe that holds a value of the array at hand.
    row_of: &'a dyn Fn(usize) -> u64,
}

impl Target<'_> {
    fn mismatch(&self, found: impl Into<String>, wanted: impl ToString, index: usize) -> Error {
        Error::TypeMismatch {
            feature: self.feature.to_owned(),
            found: found.into(),
            wanted: wanted.to_string(),
            row: Some((self.row_of)(index)),
        }
    }

    /// The whole array has a type that cannot become `wanted`; the row is the first with a value.
    fn wrong_type(&self, array: &dyn Array, found: impl Into<String>, wanted: &str) -> Error {
        let first = (0..array.len()).find(|index| array.is_valid(*index));
        self.mismatch(found, wanted, first.unwrap_or(0))
    }

    /// `array` in the canonical type of `wanted`. Recursion follows the wanted type, which is bounded.
    fn convert(&self, array: &ArrayRef, wanted: &FeatureType) -> Result<ArrayRef> {
        match (array.data_type(), wanted) {
            (DataType::Null, _) => constant(wanted, &Value::Null, array.len()),
            (DataType::Dictionary(_, value), _) => {
                let plain = self.cast(array, value, wanted)?;
                self.convert(&plain, wanted)
            }
            (found, FeatureType::Array(item)) if nested::is_list(found) => self.array(array, item),
            (found, FeatureType::Embedding(length)) if nested::is_list(found) => {
                self.embedding(array, *length, wanted)
            }
            (found, FeatureType::Map(value)) if nested::is_map(found) => {
                self.map(array, value, wanted)
            }
            (DataType::Struct(_), FeatureType::Struct(fields)) => {
                self.structure(array, fields, wanted)
            }
            (
                DataType::Decimal32(..)
                | DataType::Decimal64(..)
                | DataType::Decimal128(..)
                | DataType::Decimal256(..),
                FeatureType::Decimal { precision, scale },
            ) => self.decimal(array, *precision, *scale, wanted),
            (found, _) if *found == arrow_type_of(wanted) => Ok(array.clone()),
            _ => self.scalar(array, wanted),
        }
    }

    /// A cast by Arrow between representations of one value: offsets, views, widths.
    fn cast(&self, array: &ArrayRef, to: &DataType, wanted: &FeatureType) -> Result<ArrayRef> {
        arrow::compute::cast(array, to).map_err(|error| {
            let found = format!("{} ({error})", array.data_type());
            self.wrong_type(array, found, &wanted.to_string())
        })
    }
}
