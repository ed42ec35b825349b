use twinfold_model::Value;

/// Where the values of one feature go as a record is walked: nowhere, into a [`Value`], into key
/// bytes or into an Arrow column. The walk is written once and compiled for each.
///
/// The plan and the sink are made for the same feature type, so a sink hears only the calls of its type;
/// those it cannot hear keep the default, which ignores them.
pub(crate) trait Sink {
    fn null(&mut self);
    fn boolean(&mut self, _value: bool) {}
    fn int(&mut self, _value: i32) {}
    fn bigint(&mut self, _value: i64) {}
    fn float(&mut self, _value: f32) {}
    fn double(&mut self, _value: f64) {}
    fn decimal(&mut self, _unscaled: i128, _scale: u8) {}
    fn string(&mut self, _value: &str) {}
    fn binary(&mut self, _value: &[u8]) {}
    fn date(&mut self, _days: i32) {}
    fn timestamp(&mut self, _micros: i64) {}

    /// An embedding begins.
    fn embedding(&mut self, _length: u32) {}
    /// Items of the embedding, as little-endian floats.
    fn floats(&mut self, _little_endian: &[u8]) {}

    /// An array begins; its items follow, then `end`.
    fn array(&mut self) {}
    fn item(&mut self) -> &mut Self {
        self
    }
    /// A map begins; its entries follow, then `end`.
    fn map(&mut self) {}
    fn entry(&mut self, _key: &str) -> &mut Self {
        self
    }
    /// The array or map ends.
    fn end(&mut self) {}

    /// A struct begins; each of its fields follows once, in any order.
    fn structure(&mut self, _fields: usize) {}
    fn field(&mut self, _index: usize) -> &mut Self {
        self
    }

    /// Takes a value that did not come from a record, such as a default.
    fn value(&mut self, value: &Value) {
        match value {
            Value::Null => self.null(),
            Value::Boolean(value) => self.boolean(*value),
            Value::Int(value) => self.int(*value),
            Value::BigInt(value) => self.bigint(*value),
            Value::Float(value) => self.float(*value),
            Value::Double(value) => self.double(*value),
            Value::Decimal { unscaled, scale } => self.decimal(*unscaled, *scale),
            Value::String(value) => self.string(value),
            Value::Binary(value) => self.binary(value),
            Value::Date(days) => self.date(*days),
            Value::Timestamp(micros) => self.timestamp(*micros),
            Value::Array(items) => {
                self.array();
                for item in items {
                    self.item().value(item);
                }
                self.end();
            }
            Value::Map(entries) => {
                self.map();
                for (key, value) in entries {
                    self.entry(key).value(value);
                }
                self.end();
            }
            Value::Struct(fields) => {
                self.structure(fields.len());
                for (index, field) in fields.iter().enumerate() {
                    self.field(index).value(field);
                }
            }
            Value::Embedding(floats) => {
                self.embedding(u32::try_from(floats.len()).unwrap_or(u32::MAX));
                for float in floats {
                    self.floats(&float.to_le_bytes());
                }
            }
        }
    }
}

/// Only the validity of the record matters.
pub(crate) struct Ignore;

impl Sink for Ignore {
    fn null(&mut self) {}
}

impl Sink for Value {
    fn null(&mut self) {
        *self = Value::Null;
    }
    fn boolean(&mut self, value: bool) {
        *self = Value::Boolean(value);
    }
    fn int(&mut self, value: i32) {
        *self = Value::Int(value);
    }
    fn bigint(&mut self, value: i64) {
        *self = Value::BigInt(value);
    }
    fn float(&mut self, value: f32) {
        *self = Value::Float(value);
    }
    fn double(&mut self, value: f64) {
        *self = Value::Double(value);
    }
    fn decimal(&mut self, unscaled: i128, scale: u8) {
        *self = Value::Decimal { unscaled, scale };
    }
    fn string(&mut self, value: &str) {
        *self = Value::String(value.to_owned());
    }
    fn binary(&mut self, value: &[u8]) {
        *self = Value::Binary(value.to_vec());
    }
    fn date(&mut self, days: i32) {
        *self = Value::Date(days);
    }
    fn timestamp(&mut self, micros: i64) {
        *self = Value::Timestamp(micros);
    }
    fn embedding(&mut self, length: u32) {
        *self = Value::Embedding(Vec::with_capacity(length as usize));
    }
    fn floats(&mut self, little_endian: &[u8]) {
        if let Value::Embedding(floats) = self {
            floats.extend(floats_of(little_endian));
        }
    }
    fn array(&mut self) {
        *self = Value::Array(Vec::new());
    }
    fn item(&mut self) -> &mut Self {
        match self {
            Value::Array(items) => items.push_mut(Value::Null),
            other => other,
        }
    }
    fn map(&mut self) {
        *self = Value::Map(Vec::new());
    }
    fn entry(&mut self, key: &str) -> &mut Self {
        match self {
            Value::Map(entries) => &mut entries.push_mut((key.to_owned(), Value::Null)).1,
            other => other,
        }
    }
    fn structure(&mut self, fields: usize) {
        *self = Value::Struct(vec![Value::Null; fields]);
    }
    fn field(&mut self, index: usize) -> &mut Self {
        match self {
            Value::Struct(fields) => &mut fields[index],
            other => other,
        }
    }
}

pub(crate) fn floats_of(little_endian: &[u8]) -> impl Iterator<Item = f32> + '_ {
    little_endian
        .as_chunks::<4>()
        .0
        .iter()
        .map(|bytes| f32::from_le_bytes(*bytes))
}
