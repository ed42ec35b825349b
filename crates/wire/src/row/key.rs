//! The canonical key: one encoding per key value, decided by the types of the group alone.

use arrow::array::{Array, AsArray, BinaryArray, BooleanArray, RecordBatch, StringArray};
use arrow::datatypes::{
    ArrowPrimitiveType, Date32Type, Int32Type, Int64Type, TimestampMicrosecondType,
};
use bytes::Bytes;
use twinfold_model::{Feature, FeatureGroup, FeatureType, Value};

use crate::record::defect::{Fault, in_feature};
use crate::record::sink::Sink;
use crate::record::{Cursor, Defect, arrow_type_of};
use crate::slices::Slices;
use crate::{Error, Result};

/// The first byte of every key.
pub const KEY_VERSION: u8 = 1;
/// Of a canonical key: stores that speak CQL write its length with 16 bits.
pub const KEY_BYTES_MAX: usize = 65_535;

pub(crate) fn begin_key(out: &mut Vec<u8>) {
    out.push(KEY_VERSION);
}

/// Appends the parts of a key. They are never null.
pub(crate) struct KeySink<'a>(pub(crate) &'a mut Vec<u8>);

impl Sink for KeySink<'_> {
    fn null(&mut self) {}
    fn boolean(&mut self, value: bool) {
        self.0.push(value.into());
    }
    fn int(&mut self, value: i32) {
        self.0.extend_from_slice(&value.to_be_bytes());
    }
    fn bigint(&mut self, value: i64) {
        self.0.extend_from_slice(&value.to_be_bytes());
    }
    fn date(&mut self, days: i32) {
        self.int(days);
    }
    fn timestamp(&mut self, micros: i64) {
        self.bigint(micros);
    }
    fn string(&mut self, value: &str) {
        self.binary(value.as_bytes());
    }
    fn binary(&mut self, value: &[u8]) {
        // Arrow and the frame of a record bound a value far below 4 GiB.
        let length = u32::try_from(value.len()).unwrap_or(u32::MAX);
        self.0.extend_from_slice(&length.to_be_bytes());
        self.0.extend_from_slice(value);
    }
}

/// Makes the canonical keys of a group.
#[derive(Debug, Clone)]
pub struct KeyEncoder {
    features: Vec<Feature>,
}

impl KeyEncoder {
    pub fn new(group: &FeatureGroup) -> Self {
        Self {
            features: group.key_features().cloned().collect(),
        }
    }

    /// The keys of a batch whose key columns have their canonical types.
    pub fn encode(&self, batch: &RecordBatch) -> Result<Keys> {
        let parts = self
            .features
            .iter()
            .map(|feature| Part::of(feature, batch))
            .collect::<Result<Vec<_>>>()?;
        let mut bytes = Vec::new();
        let mut ends = Vec::with_capacity(batch.num_rows());
        for row in 0..batch.num_rows() {
            begin_key(&mut bytes);
            for part in &parts {
                part.write(row, &mut KeySink(&mut bytes));
            }
            ends.push(bytes.len());
        }
        Ok(Keys(Slices::new(bytes, ends)))
    }

    /// Appends the key of values given in the order of the key; fitting types are coerced.
    pub fn encode_values(
        &self,
        values: &[Value],
        out: &mut Vec<u8>,
    ) -> Result<(), twinfold_model::Error> {
        if values.len() != self.features.len() {
            let names: Vec<_> = self.features.iter().map(|f| f.name.as_str()).collect();
            return Err(twinfold_model::Error::TypeMismatch {
                feature: names.join(", "),
                found: format!("a key of {} values", values.len()),
                wanted: format!("{} values", names.len()),
                row: None,
            });
        }
        let start = out.len();
        begin_key(out);
        for (feature, value) in self.features.iter().zip(values) {
            match coerced(feature, value) {
                Ok(value) => KeySink(out).value(&value),
                Err(error) => {
                    out.truncate(start);
                    return Err(error);
                }
            }
        }
        Ok(())
    }
}

fn coerced(feature: &Feature, value: &Value) -> Result<Value, twinfold_model::Error> {
    if value.is_null() {
        return Err(null_key(feature, None));
    }
    value
        .clone()
        .coerced_to(feature.name.as_str(), &feature.r#type)
}

fn null_key(feature: &Feature, row: Option<u64>) -> twinfold_model::Error {
    twinfold_model::Error::TypeMismatch {
        feature: feature.name.to_string(),
        found: "null".to_owned(),
        wanted: format!("a key of type {}", feature.r#type),
        row,
    }
}

/// The keys of a batch, slices of one buffer.
#[derive(Debug, Clone)]
pub struct Keys(Slices);

impl Keys {
    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The key of row `index`; panics when there is no such row.
    pub fn key(&self, index: usize) -> Bytes {
        self.0.get(index)
    }
}

enum Part<'a> {
    Boolean(&'a BooleanArray),
    Int(&'a [i32]),
    BigInt(&'a [i64]),
    String(&'a StringArray),
    Binary(&'a BinaryArray),
}

impl<'a> Part<'a> {
    fn of(feature: &Feature, batch: &'a RecordBatch) -> Result<Self> {
        let name = feature.name.as_str();
        let wanted = arrow_type_of(&feature.r#type);
        let not_canonical = |found: String| Error::NotCanonical {
            column: name.to_owned(),
            found,
            wanted: wanted.to_string(),
        };
        let column = batch
            .column_by_name(name)
            .ok_or_else(|| not_canonical("no such column".to_owned()))?;
        if *column.data_type() != wanted {
            return Err(not_canonical(column.data_type().to_string()));
        }
        if let Some(nulls) = column.nulls().filter(|nulls| nulls.null_count() > 0) {
            let row = nulls.iter().position(|valid| !valid).unwrap_or(0);
            return Err(null_key(feature, Some(row as u64)).into());
        }
        Ok(match feature.r#type {
            FeatureType::Boolean => Self::Boolean(column.as_boolean()),
            FeatureType::Int => Self::Int(values::<Int32Type>(column)),
            FeatureType::Date => Self::Int(values::<Date32Type>(column)),
            FeatureType::BigInt => Self::BigInt(values::<Int64Type>(column)),
            FeatureType::Timestamp => Self::BigInt(values::<TimestampMicrosecondType>(column)),
            FeatureType::String => Self::String(column.as_string()),
            FeatureType::Binary => Self::Binary(column.as_binary()),
            _ => return Err(not_canonical("no key type".to_owned())),
        })
    }

    fn write(&self, row: usize, sink: &mut KeySink<'_>) {
        match self {
            Self::Boolean(values) => sink.boolean(values.value(row)),
            Self::Int(values) => sink.int(values[row]),
            Self::BigInt(values) => sink.bigint(values[row]),
            Self::String(values) => sink.string(values.value(row)),
            Self::Binary(values) => sink.binary(values.value(row)),
        }
    }
}

fn values<T: ArrowPrimitiveType>(column: &dyn Array) -> &[T::Native] {
    column.as_primitive::<T>().values()
}

/// The values of a key, in the order of the key.
pub fn decode_key(bytes: &[u8], group: &FeatureGroup) -> Result<Vec<Value>, Defect> {
    let mut cursor = Cursor::new(bytes);
    let version = cursor.byte()?;
    if version != KEY_VERSION {
        return Err(Defect::UnknownVersion {
            what: "key",
            found: version,
            wanted: KEY_VERSION,
        });
    }
    let values = group
        .key_features()
        .map(|feature| {
            decode_part(&feature.r#type, &mut cursor)
                .map_err(|fault| in_feature(fault, feature.name.as_str()))
        })
        .collect::<Result<Vec<_>, _>>()?;
    cursor.finish()?;
    Ok(values)
}

fn decode_part(r#type: &FeatureType, cursor: &mut Cursor<'_>) -> Result<Value, Fault> {
    Ok(match r#type {
        FeatureType::Boolean => match cursor.byte()? {
            0 => Value::Boolean(false),
            1 => Value::Boolean(true),
            found => return Err(Defect::InvalidBoolean { found }.into()),
        },
        FeatureType::Int => Value::Int(i32::from_be_bytes(cursor.array()?)),
        FeatureType::Date => Value::Date(i32::from_be_bytes(cursor.array()?)),
        FeatureType::BigInt => Value::BigInt(i64::from_be_bytes(cursor.array()?)),
        FeatureType::Timestamp => Value::Timestamp(i64::from_be_bytes(cursor.array()?)),
        FeatureType::String => {
            let text = std::str::from_utf8(sized(cursor)?).map_err(|_| Defect::InvalidUtf8)?;
            Value::String(text.to_owned())
        }
        // The model admits no other key types than binary after these.
        _ => Value::Binary(sized(cursor)?.to_vec()),
    })
}

fn sized<'a>(cursor: &mut Cursor<'a>) -> Result<&'a [u8], Fault> {
    let length = u32::from_be_bytes(cursor.array()?);
    cursor.take(length as usize)
}
