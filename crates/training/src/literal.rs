//! Values of the model as Arrow arrays and DataFusion constants.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, FixedSizeListArray,
    Float32Array, Float64Array, Int32Array, Int64Array, ListArray, MapArray, StringArray,
    StructArray, TimestampMicrosecondArray,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::DataType;
use datafusion::scalar::ScalarValue;
use twinfold_model::{Error as ModelError, FeatureType, Value};
use twinfold_wire::record::arrow_type_of;

use crate::Result;

/// One value as a constant of its type's Arrow type.
pub(crate) fn scalar(value: &Value, r#type: &FeatureType) -> Result<ScalarValue> {
    let array = array(std::slice::from_ref(value), r#type)?;
    Ok(ScalarValue::try_from_array(&array, 0)?)
}

/// Values of one type as a column.
pub(crate) fn array(values: &[Value], r#type: &FeatureType) -> Result<ArrayRef> {
    let arrow_type = arrow_type_of(r#type);
    macro_rules! flat {
        ($array:ty, $($pattern:pat => $value:expr),+) => {{
            let items = values.iter().map(|value| match value {
                Value::Null => Ok(None),
                $($pattern => Ok(Some($value)),)+
                other => Err(mismatch(other, r#type)),
            });
            items.collect::<Result<$array, ModelError>>()?
        }};
    }
    Ok(match r#type {
        FeatureType::Boolean => {
            Arc::new(BooleanArray::from(flat!(Vec<_>, Value::Boolean(v) => *v)))
        }
        FeatureType::Int => Arc::new(flat!(Int32Array, Value::Int(v) => *v)),
        FeatureType::BigInt => Arc::new(flat!(Int64Array, Value::BigInt(v) => *v)),
        FeatureType::Float => Arc::new(flat!(Float32Array, Value::Float(v) => *v)),
        FeatureType::Double => Arc::new(flat!(Float64Array, Value::Double(v) => *v)),
        FeatureType::String => Arc::new(flat!(StringArray, Value::String(v) => v.as_str())),
        FeatureType::Binary => Arc::new(flat!(BinaryArray, Value::Binary(v) => v.as_slice())),
        FeatureType::Date => Arc::new(flat!(Date32Array, Value::Date(v) => *v)),
        FeatureType::Timestamp => Arc::new(
            flat!(TimestampMicrosecondArray, Value::Timestamp(v) => *v).with_data_type(arrow_type),
        ),
        FeatureType::Decimal { .. } => Arc::new(
            flat!(Decimal128Array, Value::Decimal { unscaled, .. } => *unscaled)
                .with_data_type(arrow_type),
        ),
        FeatureType::Array(item) => list(values, r#type, item, arrow_type)?,
        FeatureType::Map(item) => map(values, r#type, item, arrow_type)?,
        FeatureType::Struct(_) => structure(values, r#type, arrow_type)?,
        FeatureType::Embedding(length) => embedding(values, r#type, *length, arrow_type)?,
    })
}

fn list(
    values: &[Value],
    r#type: &FeatureType,
    item: &FeatureType,
    arrow_type: DataType,
) -> Result<ArrayRef> {
    let DataType::List(field) = arrow_type else {
        unreachable!("an array feature is a list")
    };
    let lists = values.iter().map(|value| match value {
        Value::Null => Ok(&[][..]),
        Value::Array(items) => Ok(items.as_slice()),
        other => Err(mismatch(other, r#type)),
    });
    let lists: Vec<&[Value]> = lists.collect::<Result<_, _>>()?;
    let offsets = OffsetBuffer::from_lengths(lists.iter().map(|items| items.len()));
    let items = array(&lists.concat(), item)?;
    Ok(Arc::new(ListArray::try_new(
        field,
        offsets,
        items,
        validity(values),
    )?))
}

fn map(
    values: &[Value],
    r#type: &FeatureType,
    item: &FeatureType,
    arrow_type: DataType,
) -> Result<ArrayRef> {
    let DataType::Map(field, sorted) = arrow_type else {
        unreachable!("a map feature is a map")
    };
    let DataType::Struct(fields) = field.data_type() else {
        unreachable!("the entries of a map are a struct")
    };
    let (mut lengths, mut keys, mut items) = (Vec::new(), Vec::new(), Vec::new());
    for value in values {
        let entries = match value {
            Value::Null => &[][..],
            Value::Map(entries) => entries.as_slice(),
            other => return Err(mismatch(other, r#type).into()),
        };
        lengths.push(entries.len());
        for (key, item) in entries {
            keys.push(key.as_str());
            items.push(item.clone());
        }
    }
    let columns: Vec<ArrayRef> = vec![Arc::new(StringArray::from(keys)), array(&items, item)?];
    let entries = StructArray::try_new(fields.clone(), columns, None)?;
    Ok(Arc::new(MapArray::try_new(
        Arc::clone(&field),
        OffsetBuffer::from_lengths(lengths),
        entries,
        validity(values),
        sorted,
    )?))
}

fn structure(values: &[Value], r#type: &FeatureType, arrow_type: DataType) -> Result<ArrayRef> {
    let (FeatureType::Struct(members), DataType::Struct(fields)) = (r#type, arrow_type) else {
        unreachable!("a struct feature is a struct")
    };
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(members.len());
    for (index, member) in members.iter().enumerate() {
        let column = values.iter().map(|value| match value {
            Value::Null => Ok(Value::Null),
            Value::Struct(parts) if parts.len() == members.len() => Ok(parts[index].clone()),
            other => Err(mismatch(other, r#type)),
        });
        columns.push(array(
            &column.collect::<Result<Vec<_>, _>>()?,
            &member.r#type,
        )?);
    }
    Ok(Arc::new(StructArray::try_new(
        fields,
        columns,
        validity(values),
    )?))
}

fn embedding(
    values: &[Value],
    r#type: &FeatureType,
    length: u32,
    arrow_type: DataType,
) -> Result<ArrayRef> {
    let DataType::FixedSizeList(field, size) = arrow_type else {
        unreachable!("an embedding is a fixed-size list")
    };
    let mut floats = Vec::with_capacity(values.len() * length as usize);
    for value in values {
        match value {
            Value::Null => floats.resize(floats.len() + length as usize, 0.0),
            Value::Embedding(items) if items.len() == length as usize => floats.extend(items),
            other => return Err(mismatch(other, r#type).into()),
        }
    }
    Ok(Arc::new(FixedSizeListArray::try_new(
        field,
        size,
        Arc::new(Float32Array::from(floats)),
        validity(values),
    )?))
}

fn validity(values: &[Value]) -> Option<NullBuffer> {
    let valid: NullBuffer = values.iter().map(|value| !value.is_null()).collect();
    (valid.null_count() > 0).then_some(valid)
}

fn mismatch(found: &Value, wanted: &FeatureType) -> ModelError {
    ModelError::TypeMismatch {
        feature: "constant".to_owned(),
        found: found.describe(),
        wanted: wanted.to_string(),
        row: None,
    }
}
