//! Arrow columns that grow by one record at a time and can give the last one back.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, BooleanBufferBuilder, Decimal128Array, FixedSizeListArray,
    Float32Array, ListArray, MapArray, NullBufferBuilder, PrimitiveArray, StringArray, StructArray,
};
use arrow::buffer::{NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{
    ArrowPrimitiveType, Date32Type, Float64Type, Int32Type, Int64Type, TimestampMicrosecondType,
};
use twinfold_model::FeatureType;

use super::arrow_types::{
    embedding_item_field, entries_field, entry_fields, item_field, struct_fields, timestamp,
};
use super::sink::{Sink, floats_of};
use crate::Result;

pub(crate) struct Column {
    r#type: FeatureType,
    nulls: NullBufferBuilder,
    data: Data,
}

enum Data {
    Boolean(BooleanBufferBuilder),
    Int(Vec<i32>),
    Long(Vec<i64>),
    Float(Vec<f32>),
    Double(Vec<f64>),
    Decimal(Vec<i128>),
    Bytes {
        ends: Offsets,
        bytes: Vec<u8>,
    },
    List {
        ends: Offsets,
        item: Box<Column>,
    },
    Map {
        ends: Offsets,
        keys: Box<Column>,
        values: Box<Column>,
    },
    Struct(Vec<Column>),
    Embedding {
        length: usize,
        floats: Vec<f32>,
    },
}

/// Arrow offsets: a zero, then where each value ends.
struct Offsets(Vec<i32>);

impl Offsets {
    fn new(rows: usize) -> Self {
        let mut offsets = Vec::with_capacity(rows + 1);
        offsets.push(0);
        Self(offsets)
    }

    fn push(&mut self, end: usize) {
        self.0
            .push(i32::try_from(end).expect("the decoder bounds the bytes of a batch"));
    }

    fn truncate(&mut self, rows: usize) -> usize {
        self.0.truncate(rows + 1);
        self.0.last().map_or(0, |end| *end as usize)
    }

    fn bytes(&self) -> usize {
        size_of_val(self.0.as_slice())
    }

    fn finish(self) -> OffsetBuffer<i32> {
        OffsetBuffer::new(self.0.into())
    }
}

impl Column {
    /// `rows` is how many values to make room for.
    pub(crate) fn new(r#type: &FeatureType, rows: usize) -> Self {
        let data = match r#type {
            FeatureType::Boolean => Data::Boolean(BooleanBufferBuilder::new(rows)),
            FeatureType::Int | FeatureType::Date => Data::Int(Vec::with_capacity(rows)),
            FeatureType::BigInt | FeatureType::Timestamp => Data::Long(Vec::with_capacity(rows)),
            FeatureType::Float => Data::Float(Vec::with_capacity(rows)),
            FeatureType::Double => Data::Double(Vec::with_capacity(rows)),
            FeatureType::Decimal { .. } => Data::Decimal(Vec::with_capacity(rows)),
            FeatureType::String | FeatureType::Binary => Data::Bytes {
                ends: Offsets::new(rows),
                bytes: Vec::new(),
            },
            FeatureType::Array(item) => Data::List {
                ends: Offsets::new(rows),
                item: Box::new(Self::new(item, 0)),
            },
            FeatureType::Map(value) => Data::Map {
                ends: Offsets::new(rows),
                keys: Box::new(Self::new(&FeatureType::String, 0)),
                values: Box::new(Self::new(value, 0)),
            },
            FeatureType::Struct(fields) => Data::Struct(
                fields
                    .iter()
                    .map(|field| Self::new(&field.r#type, rows))
                    .collect(),
            ),
            FeatureType::Embedding(length) => Data::Embedding {
                length: *length as usize,
                floats: Vec::new(),
            },
        };
        Self {
            r#type: r#type.clone(),
            nulls: NullBufferBuilder::new(rows),
            data,
        }
    }

    fn len(&self) -> usize {
        match &self.data {
            Data::Boolean(values) => values.len(),
            Data::Int(values) => values.len(),
            Data::Long(values) => values.len(),
            Data::Float(values) => values.len(),
            Data::Double(values) => values.len(),
            Data::Decimal(values) => values.len(),
            Data::Bytes { ends, .. } | Data::List { ends, .. } | Data::Map { ends, .. } => {
                ends.0.len() - 1
            }
            Data::Struct(_) | Data::Embedding { .. } => self.nulls.len(),
        }
    }

    /// Bytes that its values take, those that stand for null among them.
    pub(crate) fn bytes(&self) -> usize {
        match &self.data {
            Data::Boolean(values) => values.as_slice().len(),
            Data::Int(values) => size_of_val(values.as_slice()),
            Data::Long(values) => size_of_val(values.as_slice()),
            Data::Float(values) => size_of_val(values.as_slice()),
            Data::Double(values) => size_of_val(values.as_slice()),
            Data::Decimal(values) => size_of_val(values.as_slice()),
            Data::Bytes { ends, bytes } => ends.bytes() + bytes.len(),
            Data::List { ends, item } => ends.bytes() + item.bytes(),
            Data::Map { ends, keys, values } => ends.bytes() + keys.bytes() + values.bytes(),
            Data::Struct(fields) => fields.iter().map(Self::bytes).sum(),
            Data::Embedding { floats, .. } => size_of_val(floats.as_slice()),
        }
    }

    /// Back to `rows` values, also when a value after them was begun and not ended.
    pub(crate) fn truncate(&mut self, rows: usize) {
        self.nulls.truncate(rows);
        match &mut self.data {
            Data::Boolean(values) => values.truncate(rows),
            Data::Int(values) => values.truncate(rows),
            Data::Long(values) => values.truncate(rows),
            Data::Float(values) => values.truncate(rows),
            Data::Double(values) => values.truncate(rows),
            Data::Decimal(values) => values.truncate(rows),
            Data::Bytes { ends, bytes } => bytes.truncate(ends.truncate(rows)),
            Data::List { ends, item } => item.truncate(ends.truncate(rows)),
            Data::Map { ends, keys, values } => {
                let entries = ends.truncate(rows);
                keys.truncate(entries);
                values.truncate(entries);
            }
            Data::Struct(fields) => fields.iter_mut().for_each(|field| field.truncate(rows)),
            Data::Embedding { length, floats } => floats.truncate(rows * *length),
        }
    }

    pub(crate) fn finish(mut self) -> Result<ArrayRef> {
        let nulls = self.nulls.finish();
        Ok(match (self.data, &self.r#type) {
            (Data::Boolean(values), _) => Arc::new(BooleanArray::new(values.build(), nulls)),
            (Data::Int(values), FeatureType::Date) => primitive::<Date32Type>(values, nulls),
            (Data::Int(values), _) => primitive::<Int32Type>(values, nulls),
            (Data::Long(values), FeatureType::Timestamp) => Arc::new(
                PrimitiveArray::<TimestampMicrosecondType>::new(values.into(), nulls)
                    .with_data_type(timestamp()),
            ),
            (Data::Long(values), _) => primitive::<Int64Type>(values, nulls),
            (Data::Float(values), _) => Arc::new(Float32Array::new(values.into(), nulls)),
            (Data::Double(values), _) => primitive::<Float64Type>(values, nulls),
            (Data::Decimal(values), r#type) => Arc::new(
                Decimal128Array::new(values.into(), nulls)
                    .with_data_type(super::arrow_type_of(r#type)),
            ),
            (Data::Bytes { ends, bytes }, FeatureType::String) => {
                Arc::new(StringArray::try_new(ends.finish(), bytes.into(), nulls)?)
            }
            (Data::Bytes { ends, bytes }, _) => {
                Arc::new(BinaryArray::try_new(ends.finish(), bytes.into(), nulls)?)
            }
            (Data::List { ends, item }, _) => {
                let (field, ends) = (item_field(&item.r#type), ends.finish());
                Arc::new(ListArray::try_new(field, ends, item.finish()?, nulls)?)
            }
            (Data::Map { ends, keys, values }, _) => {
                let (ends, field) = (ends.finish(), entries_field(&values.r#type));
                let entries = map_entries(*keys, *values)?;
                Arc::new(MapArray::try_new(field, ends, entries, nulls, false)?)
            }
            (Data::Struct(columns), r#type) => {
                let fields = match r#type {
                    FeatureType::Struct(fields) => struct_fields(fields),
                    _ => Default::default(),
                };
                let columns = columns.into_iter().map(Self::finish);
                let columns = columns.collect::<Result<Vec<_>>>()?;
                Arc::new(StructArray::try_new(fields, columns, nulls)?)
            }
            (Data::Embedding { length, floats }, _) => {
                let items = Arc::new(Float32Array::from(floats));
                let length = i32::try_from(length).unwrap_or(i32::MAX);
                let field = embedding_item_field();
                Arc::new(FixedSizeListArray::try_new(field, length, items, nulls)?)
            }
        })
    }
}

fn primitive<T: ArrowPrimitiveType>(values: Vec<T::Native>, nulls: Option<NullBuffer>) -> ArrayRef {
    Arc::new(PrimitiveArray::<T>::new(ScalarBuffer::from(values), nulls))
}

fn map_entries(keys: Column, values: Column) -> Result<StructArray> {
    let fields = entry_fields(&values.r#type);
    let columns = vec![keys.finish()?, values.finish()?];
    Ok(StructArray::try_new(fields, columns, None)?)
}

// Each call fits the data, because plan and column are made for one feature type; see `Sink`.
impl Sink for Column {
    fn null(&mut self) {
        self.nulls.append_null();
        match &mut self.data {
            Data::Boolean(values) => values.append(false),
            Data::Int(values) => values.push(0),
            Data::Long(values) => values.push(0),
            Data::Float(values) => values.push(0.0),
            Data::Double(values) => values.push(0.0),
            Data::Decimal(values) => values.push(0),
            Data::Bytes { ends, bytes } => ends.push(bytes.len()),
            Data::List { ends, item } => ends.push(item.len()),
            Data::Map { ends, keys, .. } => ends.push(keys.len()),
            Data::Struct(fields) => fields.iter_mut().for_each(Sink::null),
            Data::Embedding { length, floats } => floats.resize(floats.len() + *length, 0.0),
        }
    }
    fn boolean(&mut self, value: bool) {
        self.nulls.append_non_null();
        if let Data::Boolean(values) = &mut self.data {
            values.append(value);
        }
    }
    fn int(&mut self, value: i32) {
        self.nulls.append_non_null();
        if let Data::Int(values) = &mut self.data {
            values.push(value);
        }
    }
    fn bigint(&mut self, value: i64) {
        self.nulls.append_non_null();
        if let Data::Long(values) = &mut self.data {
            values.push(value);
        }
    }
    fn float(&mut self, value: f32) {
        self.nulls.append_non_null();
        if let Data::Float(values) = &mut self.data {
            values.push(value);
        }
    }
    fn double(&mut self, value: f64) {
        self.nulls.append_non_null();
        if let Data::Double(values) = &mut self.data {
            values.push(value);
        }
    }
    fn decimal(&mut self, unscaled: i128, _scale: u8) {
        self.nulls.append_non_null();
        if let Data::Decimal(values) = &mut self.data {
            values.push(unscaled);
        }
    }
    fn string(&mut self, value: &str) {
        self.binary(value.as_bytes());
    }
    fn binary(&mut self, value: &[u8]) {
        self.nulls.append_non_null();
        if let Data::Bytes { ends, bytes } = &mut self.data {
            bytes.extend_from_slice(value);
            ends.push(bytes.len());
        }
    }
    fn date(&mut self, days: i32) {
        self.int(days);
    }
    fn timestamp(&mut self, micros: i64) {
        self.bigint(micros);
    }
    fn embedding(&mut self, _length: u32) {
        self.nulls.append_non_null();
    }
    fn floats(&mut self, little_endian: &[u8]) {
        if let Data::Embedding { floats, .. } = &mut self.data {
            floats.extend(floats_of(little_endian));
        }
    }
    fn array(&mut self) {
        self.nulls.append_non_null();
    }
    fn item(&mut self) -> &mut Self {
        match &mut self.data {
            Data::List { item, .. } => item,
            _ => unreachable!("an array goes to a list column"),
        }
    }
    fn map(&mut self) {
        self.nulls.append_non_null();
    }
    fn entry(&mut self, key: &str) -> &mut Self {
        match &mut self.data {
            Data::Map { keys, values, .. } => {
                keys.string(key);
                values
            }
            _ => unreachable!("a map goes to a map column"),
        }
    }
    fn end(&mut self) {
        match &mut self.data {
            Data::List { ends, item } => ends.push(item.len()),
            Data::Map { ends, keys, .. } => ends.push(keys.len()),
            _ => unreachable!("only arrays and maps end"),
        }
    }
    fn structure(&mut self, _fields: usize) {
        self.nulls.append_non_null();
    }
    fn field(&mut self, index: usize) -> &mut Self {
        match &mut self.data {
            Data::Struct(fields) => &mut fields[index],
            _ => unreachable!("a struct goes to a struct column"),
        }
    }
}
