//! From canonical Arrow to one framed Avro record per row.

use arrow::array::{Array, AsArray, BooleanArray, Decimal128Array, RecordBatch};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{
    ArrowPrimitiveType, Date32Type, Float32Type, Float64Type, Int32Type, Int64Type, SchemaRef,
    TimestampMicrosecondType,
};
use bytes::Bytes;
use twinfold_model::{FeatureGroup, FeatureType, SchemaId};

use super::arrow_types::{arrow_schema, arrow_type_of};
use super::frame::{FRAME_BYTES, write_frame};
use crate::slices::Slices;
use crate::{Error, Result};

/// Writes rows of a group as records, with the schema of [`avro_schema`](super::avro_schema) under its id.
#[derive(Debug)]
pub struct Encoder {
    features: Vec<(FeatureType, bool)>,
    schema: SchemaRef,
    id: SchemaId,
    /// What a row took so far, to make room at once for the next batch.
    row_bytes: usize,
}

impl Encoder {
    pub fn new(group: &FeatureGroup, id: SchemaId) -> Result<Self> {
        Ok(Self {
            features: group
                .features()
                .iter()
                .map(|feature| (feature.r#type.clone(), feature.nullable))
                .collect(),
            schema: arrow_schema(group),
            id,
            row_bytes: FRAME_BYTES,
        })
    }

    /// One record per row of a batch as [`coerce`](super::coerce) makes it.
    pub fn encode(&mut self, batch: &RecordBatch) -> Result<EncodedRows> {
        let columns = self.columns(batch)?;
        let rows = batch.num_rows();
        let mut bytes = Vec::with_capacity(rows.saturating_mul(self.row_bytes));
        let mut ends = Vec::with_capacity(rows);
        for row in 0..rows {
            write_frame(self.id, &mut bytes);
            for column in &columns {
                column.write(row, &mut bytes);
            }
            ends.push(bytes.len());
        }
        if rows > 0 {
            self.row_bytes = bytes.len().div_ceil(rows);
        }
        Ok(EncodedRows(Slices::new(bytes, ends)))
    }

    fn columns<'a>(&self, batch: &'a RecordBatch) -> Result<Vec<Column<'a>>> {
        let found = batch.schema_ref();
        if found.fields().len() != self.schema.fields().len() {
            return Err(Error::NotCanonical {
                column: "*".to_owned(),
                found: format!("{} columns", found.fields().len()),
                wanted: format!("{} columns", self.schema.fields().len()),
            });
        }
        self.schema
            .fields()
            .iter()
            .zip(found.fields())
            .zip(batch.columns())
            .zip(&self.features)
            .map(|(((wanted, found), array), (r#type, nullable))| {
                if wanted.name() != found.name() || wanted.data_type() != array.data_type() {
                    return Err(Error::NotCanonical {
                        column: wanted.name().clone(),
                        found: format!("`{}` of {}", found.name(), array.data_type()),
                        wanted: wanted.data_type().to_string(),
                    });
                }
                if !nullable && array.null_count() > 0 {
                    return Err(Error::NotCanonical {
                        column: wanted.name().clone(),
                        found: "null".to_owned(),
                        wanted: arrow_type_of(r#type).to_string(),
                    });
                }
                Ok(Column::of(r#type, *nullable, array.as_ref()))
            })
            .collect()
    }
}

/// The records of a batch, slices of one buffer.
#[derive(Debug, Clone)]
pub struct EncodedRows(Slices);

impl EncodedRows {
    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The framed value of row `index`, without a copy; panics when there is no such row.
    pub fn row(&self, index: usize) -> Bytes {
        self.0.get(index)
    }

    pub fn iter(&self) -> impl Iterator<Item = Bytes> + '_ {
        (0..self.len()).map(|index| self.row(index))
    }
}

/// A column ready to be read by row: its type is looked at once, not per value.
struct Column<'a> {
    /// A nullable value is a union with null first.
    nullable: bool,
    nulls: Option<&'a NullBuffer>,
    values: Values<'a>,
}

enum Values<'a> {
    Boolean(&'a BooleanArray),
    Int(&'a [i32]),
    Long(&'a [i64]),
    Float(&'a [f32]),
    Double(&'a [f64]),
    Decimal(&'a Decimal128Array),
    Bytes {
        offsets: &'a [i32],
        data: &'a [u8],
    },
    List {
        offsets: &'a [i32],
        item: Box<Column<'a>>,
    },
    Map {
        offsets: &'a [i32],
        keys: Box<Column<'a>>,
        values: Box<Column<'a>>,
    },
    Struct(Vec<Column<'a>>),
    Embedding {
        length: usize,
        floats: &'a [f32],
    },
}

impl<'a> Column<'a> {
    /// The caller has checked that `array` has the canonical type.
    fn of(r#type: &FeatureType, nullable: bool, array: &'a dyn Array) -> Self {
        let values = match r#type {
            FeatureType::Boolean => Values::Boolean(array.as_boolean()),
            FeatureType::Int => Values::Int(primitive::<Int32Type>(array)),
            FeatureType::Date => Values::Int(primitive::<Date32Type>(array)),
            FeatureType::BigInt => Values::Long(primitive::<Int64Type>(array)),
            FeatureType::Timestamp => Values::Long(primitive::<TimestampMicrosecondType>(array)),
            FeatureType::Float => Values::Float(primitive::<Float32Type>(array)),
            FeatureType::Double => Values::Double(primitive::<Float64Type>(array)),
            FeatureType::Decimal { .. } => Values::Decimal(array.as_primitive()),
            FeatureType::String => {
                let strings = array.as_string::<i32>();
                Values::Bytes {
                    offsets: strings.value_offsets(),
                    data: strings.value_data(),
                }
            }
            FeatureType::Binary => {
                let binary = array.as_binary::<i32>();
                Values::Bytes {
                    offsets: binary.value_offsets(),
                    data: binary.value_data(),
                }
            }
            FeatureType::Array(item) => {
                let list = array.as_list::<i32>();
                Values::List {
                    offsets: list.value_offsets(),
                    item: Box::new(Self::of(item, true, list.values())),
                }
            }
            FeatureType::Map(value) => {
                let map = array.as_map();
                Values::Map {
                    offsets: map.value_offsets(),
                    keys: Box::new(Self::of(&FeatureType::String, false, map.keys())),
                    values: Box::new(Self::of(value, true, map.values())),
                }
            }
            FeatureType::Struct(fields) => Values::Struct(
                fields
                    .iter()
                    .zip(array.as_struct().columns())
                    .map(|(field, column)| Self::of(&field.r#type, true, column))
                    .collect(),
            ),
            FeatureType::Embedding(length) => {
                let list = array.as_fixed_size_list();
                let length = *length as usize;
                let floats = primitive::<Float32Type>(list.values());
                Values::Embedding { length, floats }
            }
        };
        Self {
            nullable,
            nulls: array.nulls(),
            values,
        }
    }

    #[inline]
    fn write(&self, row: usize, out: &mut Vec<u8>) {
        const NULL_BRANCH: u8 = 0;
        const VALUE_BRANCH: u8 = 2;
        if self.nullable {
            if self.nulls.is_some_and(|nulls| nulls.is_null(row)) {
                out.push(NULL_BRANCH);
                return;
            }
            out.push(VALUE_BRANCH);
        }
        match &self.values {
            Values::Boolean(values) => out.push(values.value(row).into()),
            Values::Int(values) => write_long(values[row].into(), out),
            Values::Long(values) => write_long(values[row], out),
            Values::Float(values) => out.extend_from_slice(&values[row].to_le_bytes()),
            Values::Double(values) => out.extend_from_slice(&values[row].to_le_bytes()),
            Values::Decimal(values) => {
                write_bytes(significant_bytes(&values.value(row).to_be_bytes()), out);
            }
            Values::Bytes { offsets, data } => {
                write_bytes(&data[range(offsets, row)], out);
            }
            Values::List { offsets, item } => {
                write_block(range(offsets, row), out, |index, out| {
                    item.write(index, out)
                });
            }
            Values::Map {
                offsets,
                keys,
                values,
            } => write_block(range(offsets, row), out, |index, out| {
                keys.write(index, out);
                values.write(index, out);
            }),
            Values::Struct(fields) => {
                for field in fields {
                    field.write(row, out);
                }
            }
            Values::Embedding { length, floats } => {
                let floats = &floats[row * length..(row + 1) * length];
                write_long(*length as i64, out);
                for float in floats {
                    out.extend_from_slice(&float.to_le_bytes());
                }
                out.push(0);
            }
        }
    }
}

fn primitive<T: ArrowPrimitiveType>(array: &dyn Array) -> &[T::Native] {
    array.as_primitive::<T>().values()
}

/// The offsets of an Arrow array never fall and never go below zero.
#[inline]
fn range(offsets: &[i32], row: usize) -> std::ops::Range<usize> {
    offsets[row] as usize..offsets[row + 1] as usize
}

#[inline]
fn write_long(value: i64, out: &mut Vec<u8>) {
    let mut rest = (value << 1 ^ value >> 63) as u64;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

#[inline]
fn write_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    write_long(bytes.len() as i64, out);
    out.extend_from_slice(bytes);
}

/// Items in one block, then the empty block that ends them.
fn write_block(
    items: std::ops::Range<usize>,
    out: &mut Vec<u8>,
    write: impl Fn(usize, &mut Vec<u8>),
) {
    if !items.is_empty() {
        write_long(items.len() as i64, out);
        items.for_each(|index| write(index, out));
    }
    out.push(0);
}

/// The shortest two's-complement form of a big-endian integer.
pub(super) fn significant_bytes(bytes: &[u8]) -> &[u8] {
    let redundant = bytes
        .windows(2)
        .take_while(|pair| {
            (pair[0] == 0x00 && pair[1] < 0x80) || (pair[0] == 0xff && pair[1] >= 0x80)
        })
        .count();
    &bytes[redundant..]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Cursor;

    #[test]
    fn integers_read_back() {
        for value in [
            0,
            -1,
            1,
            63,
            64,
            -65,
            i64::from(i32::MAX),
            i64::MAX,
            i64::MIN,
        ] {
            let mut bytes = Vec::new();
            write_long(value, &mut bytes);
            assert_eq!(Cursor::new(&bytes).long(), Ok(value));
        }
    }

    #[test]
    fn decimals_take_the_fewest_bytes() {
        for (value, expected) in [
            (0_i128, &[0x00][..]),
            (-1, &[0xff]),
            (127, &[0x7f]),
            (128, &[0x00, 0x80]),
            (-128, &[0x80]),
            (-129, &[0xff, 0x7f]),
        ] {
            assert_eq!(significant_bytes(&value.to_be_bytes()), expected, "{value}");
        }
    }
}
