//! The Arrow side of the type system: one canonical Arrow type per feature type.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema, SchemaRef, TimeUnit};
use twinfold_model::{Feature, FeatureGroup, FeatureType, StructField};

use crate::{Error, Result};

const DECIMAL_PRECISION_MAX: u8 = 38;

/// The canonical Arrow type of a feature type.
pub fn arrow_type_of(r#type: &FeatureType) -> DataType {
    match r#type {
        FeatureType::Boolean => DataType::Boolean,
        FeatureType::Int => DataType::Int32,
        FeatureType::BigInt => DataType::Int64,
        FeatureType::Float => DataType::Float32,
        FeatureType::Double => DataType::Float64,
        FeatureType::Decimal { precision, scale } => {
            DataType::Decimal128(*precision, i8::try_from(*scale).unwrap_or(i8::MAX))
        }
        FeatureType::String => DataType::Utf8,
        FeatureType::Binary => DataType::Binary,
        FeatureType::Date => DataType::Date32,
        FeatureType::Timestamp => timestamp(),
        FeatureType::Array(item) => DataType::List(item_field(item)),
        FeatureType::Map(value) => DataType::Map(entries_field(value), false),
        FeatureType::Struct(fields) => DataType::Struct(struct_fields(fields)),
        FeatureType::Embedding(length) => DataType::FixedSizeList(
            embedding_item_field(),
            i32::try_from(*length).unwrap_or(i32::MAX),
        ),
    }
}

pub(super) fn timestamp() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

pub(super) fn item_field(item: &FeatureType) -> FieldRef {
    Arc::new(Field::new("item", arrow_type_of(item), true))
}

/// No embedding has a null in it. Its items are nullable all the same, because a null embedding has
/// items too, and what reads and joins tables leaves nulls in those.
pub(super) fn embedding_item_field() -> FieldRef {
    Arc::new(Field::new("item", DataType::Float32, true))
}

/// The fields of one entry of a map: `keys` and `values`.
pub(super) fn entry_fields(value: &FeatureType) -> Fields {
    Fields::from(vec![
        Field::new("keys", DataType::Utf8, false),
        Field::new("values", arrow_type_of(value), true),
    ])
}

pub(super) fn entries_field(value: &FeatureType) -> FieldRef {
    let entry = DataType::Struct(entry_fields(value));
    Arc::new(Field::new("entries", entry, false))
}

pub(super) fn struct_fields(fields: &[StructField]) -> Fields {
    fields
        .iter()
        .map(|field| Field::new(&field.name, arrow_type_of(&field.r#type), true))
        .collect()
}

/// The canonical schema of an insert: the features of the group in their order.
pub fn arrow_schema(group: &FeatureGroup) -> SchemaRef {
    Arc::new(Schema::new(
        group
            .features()
            .iter()
            .map(|feature| feature_field(feature, feature.nullable))
            .collect::<Vec<_>>(),
    ))
}

/// The schema of the history table: keys required, all other features nullable because a delete has
/// none of them, then what the record said of itself.
pub fn history_schema(group: &FeatureGroup) -> SchemaRef {
    let features = group.features().iter().enumerate().map(|(index, feature)| {
        let is_key = group.primary_key().contains(&index);
        feature_field(feature, !is_key)
    });
    let system = [
        Field::new("_event_time", timestamp(), false),
        Field::new("_partition", DataType::Int32, false),
        Field::new("_offset", DataType::Int64, false),
        Field::new("_schema", DataType::Int32, false),
        Field::new("_deleted", DataType::Boolean, false),
    ];
    Arc::new(Schema::new(features.chain(system).collect::<Vec<_>>()))
}

fn feature_field(feature: &Feature, nullable: bool) -> Field {
    Field::new(
        feature.name.as_str(),
        arrow_type_of(&feature.r#type),
        nullable,
    )
}

/// The feature type that a dataframe column calls for when a feature group is made from it.
pub fn feature_type_of(field: &Field) -> Result<FeatureType> {
    inferred(field.name(), field.data_type())
}

pub(super) fn inferred(column: &str, found: &DataType) -> Result<FeatureType> {
    let inferred = match found {
        DataType::Boolean => FeatureType::Boolean,
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::UInt8 | DataType::UInt16 => {
            FeatureType::Int
        }
        DataType::Int64 | DataType::UInt32 => FeatureType::BigInt,
        DataType::Float16 | DataType::Float32 => FeatureType::Float,
        DataType::Float64 => FeatureType::Double,
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale)
        | DataType::Decimal256(precision, scale) => match u8::try_from(*scale) {
            Ok(scale) if *precision <= DECIMAL_PRECISION_MAX && scale <= *precision => {
                FeatureType::Decimal {
                    precision: *precision,
                    scale,
                }
            }
            _ => return Err(unsupported(column, found)),
        },
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => FeatureType::String,
        DataType::Binary
        | DataType::LargeBinary
        | DataType::BinaryView
        | DataType::FixedSizeBinary(_) => FeatureType::Binary,
        DataType::Date32 | DataType::Date64 => FeatureType::Date,
        DataType::Timestamp(_, _) => FeatureType::Timestamp,
        DataType::Dictionary(_, value) => inferred(column, value)?,
        nested => inferred_nested(column, nested)?,
    };
    inferred.validate()?;
    Ok(inferred)
}

fn inferred_nested(column: &str, found: &DataType) -> Result<FeatureType> {
    Ok(match found {
        DataType::FixedSizeList(item, length) if *item.data_type() == DataType::Float32 => {
            FeatureType::Embedding(u32::try_from(*length).unwrap_or(0))
        }
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::ListView(item)
        | DataType::LargeListView(item)
        | DataType::FixedSizeList(item, _) => {
            FeatureType::Array(Box::new(inferred(column, item.data_type())?))
        }
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(fields)
                if fields.len() == 2
                    && inferred(column, fields[0].data_type())? == FeatureType::String =>
            {
                FeatureType::Map(Box::new(inferred(column, fields[1].data_type())?))
            }
            _ => return Err(unsupported(column, found)),
        },
        DataType::Struct(fields) => FeatureType::Struct(
            fields
                .iter()
                .map(|field| {
                    let r#type = inferred(column, field.data_type())?;
                    Ok(StructField::new(field.name(), r#type)?)
                })
                .collect::<Result<_>>()?,
        ),
        _ => return Err(unsupported(column, found)),
    })
}

fn unsupported(column: &str, found: &DataType) -> Error {
    let wanted = match found {
        DataType::UInt64 => "its range exceeds bigint; cast it to int64, decimal or string",
        DataType::Decimal32(..)
        | DataType::Decimal64(..)
        | DataType::Decimal128(..)
        | DataType::Decimal256(..) => "a decimal has at most 38 digits, and 0 ≤ scale ≤ precision",
        DataType::Map(..) => "the keys of a map are strings",
        DataType::Null => "it holds only nulls, so say which type it should have",
        _ => {
            "wanted boolean, integer, float, decimal, string, binary, date, timestamp, list, map \
             or struct"
        }
    };
    Error::UnsupportedColumn {
        column: column.to_owned(),
        found: found.to_string(),
        wanted: wanted.to_owned(),
    }
}
