//! Values as `apache-avro` has them, to judge our bytes by another implementation.

use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::types::Value as Avro;
use apache_avro::writer::datum::GenericDatumWriter;
use apache_avro::{Decimal, Schema};
use twinfold_model::{FeatureGroup, FeatureType, Value};

pub fn schema(json: &str) -> Schema {
    Schema::parse_str(json).unwrap_or_else(|error| panic!("{error}: {json}"))
}

pub fn encode(schema: &Schema, value: Avro) -> Vec<u8> {
    let writer = GenericDatumWriter::builder(schema)
        .build()
        .expect("a whole schema");
    writer
        .write_value_to_vec(value)
        .expect("the value has the schema")
}

pub fn decode(schema: &Schema, mut body: &[u8]) -> Avro {
    let reader = GenericDatumReader::builder(schema)
        .build()
        .expect("a whole schema");
    let value = reader.read_value(&mut body).expect("the bytes are valid");
    assert!(body.is_empty(), "{} bytes are left over", body.len());
    value
}

pub fn record(group: &FeatureGroup, row: &[Value]) -> Avro {
    let fields = group.features().iter().zip(row).map(|(feature, value)| {
        let value = if feature.nullable {
            nullable(&feature.r#type, value)
        } else {
            to_avro(&feature.r#type, value)
        };
        (feature.name.to_string(), value)
    });
    Avro::Record(fields.collect())
}

pub fn row_of(group: &FeatureGroup, record: &Avro) -> Vec<Value> {
    let Avro::Record(fields) = record else {
        panic!("{record:?} is no record");
    };
    let features = group.features().iter().zip(fields);
    features
        .map(|(feature, (_, value))| from_avro(&feature.r#type, value))
        .collect()
}

fn nullable(r#type: &FeatureType, value: &Value) -> Avro {
    match value {
        Value::Null => Avro::Union(0, Box::new(Avro::Null)),
        value => Avro::Union(1, Box::new(to_avro(r#type, value))),
    }
}

fn to_avro(r#type: &FeatureType, value: &Value) -> Avro {
    match (r#type, value) {
        (_, Value::Boolean(v)) => Avro::Boolean(*v),
        (_, Value::Int(v)) => Avro::Int(*v),
        (_, Value::BigInt(v)) => Avro::Long(*v),
        (_, Value::Float(v)) => Avro::Float(*v),
        (_, Value::Double(v)) => Avro::Double(*v),
        (_, Value::Decimal { unscaled, .. }) => {
            let bytes = unscaled.to_be_bytes();
            // apache-avro keeps the length it is given; ours is the shortest.
            let start = (0..bytes.len())
                .rev()
                .find(|start| wide(&bytes[*start..]) == *unscaled)
                .expect("all bytes are enough");
            Avro::Decimal(Decimal::from(&bytes[start..]))
        }
        (_, Value::String(v)) => Avro::String(v.clone()),
        (_, Value::Binary(v)) => Avro::Bytes(v.clone()),
        (_, Value::Date(v)) => Avro::Date(*v),
        (_, Value::Timestamp(v)) => Avro::TimestampMicros(*v),
        (FeatureType::Array(item), Value::Array(items)) => {
            Avro::Array(items.iter().map(|v| nullable(item, v)).collect())
        }
        (FeatureType::Map(item), Value::Map(entries)) => {
            let entries = entries
                .iter()
                .map(|(key, v)| (key.clone(), nullable(item, v)));
            Avro::Map(entries.collect())
        }
        (FeatureType::Struct(fields), Value::Struct(values)) => {
            let values = fields.iter().zip(values);
            let values = values.map(|(f, v)| (f.name.clone(), nullable(&f.r#type, v)));
            Avro::Record(values.collect())
        }
        (_, Value::Embedding(floats)) => {
            Avro::Array(floats.iter().map(|v| Avro::Float(*v)).collect())
        }
        (r#type, value) => panic!("{value:?} is no {type}"),
    }
}

fn from_avro(r#type: &FeatureType, value: &Avro) -> Value {
    match (r#type, value) {
        (r#type, Avro::Union(_, inner)) => from_avro(r#type, inner),
        (_, Avro::Null) => Value::Null,
        (_, Avro::Boolean(v)) => Value::Boolean(*v),
        (_, Avro::Int(v)) => Value::Int(*v),
        (_, Avro::Long(v)) => Value::BigInt(*v),
        (_, Avro::Float(v)) => Value::Float(*v),
        (_, Avro::Double(v)) => Value::Double(*v),
        (FeatureType::Decimal { scale, .. }, Avro::Decimal(v)) => {
            let bytes = Vec::<u8>::try_from(v).expect("a decimal has bytes");
            Value::Decimal {
                unscaled: wide(&bytes),
                scale: *scale,
            }
        }
        (_, Avro::String(v)) => Value::String(v.clone()),
        (_, Avro::Bytes(v)) => Value::Binary(v.clone()),
        (_, Avro::Date(v)) => Value::Date(*v),
        (_, Avro::TimestampMicros(v)) => Value::Timestamp(*v),
        (FeatureType::Array(item), Avro::Array(items)) => {
            Value::Array(items.iter().map(|v| from_avro(item, v)).collect())
        }
        (FeatureType::Embedding(_), Avro::Array(items)) => {
            let floats = items.iter().map(|item| match item {
                Avro::Float(v) => *v,
                other => panic!("{other:?} is no float"),
            });
            Value::Embedding(floats.collect())
        }
        (FeatureType::Map(item), Avro::Map(entries)) => {
            let entries = entries
                .iter()
                .map(|(key, v)| (key.clone(), from_avro(item, v)));
            Value::Map(entries.collect())
        }
        (FeatureType::Struct(fields), Avro::Record(values)) => {
            let values = fields.iter().zip(values);
            Value::Struct(values.map(|(f, (_, v))| from_avro(&f.r#type, v)).collect())
        }
        (r#type, value) => panic!("{value:?} is no {type}"),
    }
}

/// A two's-complement integer of at most 16 bytes.
fn wide(bytes: &[u8]) -> i128 {
    let fill = if bytes[0] >= 0x80 { 0xff } else { 0 };
    let mut wide = [fill; 16];
    wide[16 - bytes.len()..].copy_from_slice(bytes);
    i128::from_be_bytes(wide)
}

/// A form in which equal rows are equal: entries of a map have no order, and NaN equals NaN.
pub fn comparable(row: &[Value]) -> String {
    format!("{:?}", row.iter().map(sorted).collect::<Vec<_>>())
}

fn sorted(value: &Value) -> Value {
    match value {
        Value::Array(items) => Value::Array(items.iter().map(sorted).collect()),
        Value::Struct(fields) => Value::Struct(fields.iter().map(sorted).collect()),
        Value::Map(entries) => {
            let mut entries: Vec<_> = entries
                .iter()
                .map(|(key, v)| (key.clone(), sorted(v)))
                .collect();
            entries.sort_by(|a, b| a.0.cmp(&b.0));
            Value::Map(entries)
        }
        other => other.clone(),
    }
}
