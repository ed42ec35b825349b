use serde_json::{Value as Json, json};
use twinfold_model::{Feature, FeatureGroup, FeatureType, StructField, Value};

use super::writer_schema::WriterSchema;
use crate::Result;

/// The Avro schema that the platform writes the rows of `group` with, as JSON.
///
/// A nullable type is a union with null first. Records nested in a feature are named by their path,
/// so that two features may hold structs of the same shape. The text is written by hand, because a
/// schema is registered by its text: it must not depend on how a JSON library orders keys.
pub fn avro_schema(group: &FeatureGroup) -> String {
    let id = group.id();
    let name = format!("{}_{}", id.name, id.version);
    let path = format!("{}.{name}", id.project);
    let fields = group.features().iter().map(|feature| field(feature, &path));
    record(&path, fields)
}

/// The names of the fields that rows of a writer schema have.
pub fn field_names(writer_avro_json: &str) -> Result<Vec<String>> {
    let schema = WriterSchema::parse(writer_avro_json)?;
    Ok(schema
        .fields()
        .iter()
        .map(|field| field.name.clone())
        .collect())
}

/// A record whose full name is `path`.
fn record(path: &str, fields: impl Iterator<Item = String>) -> String {
    let (namespace, name) = path.rsplit_once('.').unwrap_or(("", path));
    let fields = fields.collect::<Vec<_>>().join(",");
    format!(r#"{{"type":"record","name":"{name}","namespace":"{namespace}","fields":[{fields}]}}"#)
}

// Names need no escapes: the model admits letters, digits and underscores.
fn field(feature: &Feature, path: &str) -> String {
    let name = feature.name.as_str();
    let r#type = type_of(&feature.r#type, &format!("{path}.{name}"));
    if feature.nullable {
        // Avro wants the default of a union to be of its first branch: always null, whatever the
        // default of the feature is. Readers take that from the group.
        return nullable_field(name, &r#type);
    }
    match feature.default.as_ref().and_then(default_of) {
        Some(default) => format!(r#"{{"name":"{name}","type":{type},"default":{default}}}"#),
        None => format!(r#"{{"name":"{name}","type":{type}}}"#),
    }
}

fn nullable_field(name: &str, r#type: &str) -> String {
    format!(r#"{{"name":"{name}","type":["null",{type}],"default":null}}"#)
}

fn type_of(r#type: &FeatureType, path: &str) -> String {
    match r#type {
        FeatureType::Boolean => r#""boolean""#.to_owned(),
        FeatureType::Int => r#""int""#.to_owned(),
        FeatureType::BigInt => r#""long""#.to_owned(),
        FeatureType::Float => r#""float""#.to_owned(),
        FeatureType::Double => r#""double""#.to_owned(),
        FeatureType::String => r#""string""#.to_owned(),
        FeatureType::Binary => r#""bytes""#.to_owned(),
        FeatureType::Decimal { precision, scale } => format!(
            r#"{{"type":"bytes","logicalType":"decimal","precision":{precision},"scale":{scale}}}"#
        ),
        FeatureType::Date => r#"{"type":"int","logicalType":"date"}"#.to_owned(),
        FeatureType::Timestamp => r#"{"type":"long","logicalType":"timestamp-micros"}"#.to_owned(),
        FeatureType::Array(item) => {
            let item = type_of(item, &format!("{path}.item"));
            format!(r#"{{"type":"array","items":["null",{item}]}}"#)
        }
        FeatureType::Map(value) => {
            let value = type_of(value, &format!("{path}.value"));
            format!(r#"{{"type":"map","values":["null",{value}]}}"#)
        }
        FeatureType::Struct(fields) => record(path, fields.iter().map(|f| struct_field(f, path))),
        FeatureType::Embedding(_) => r#"{"type":"array","items":"float"}"#.to_owned(),
    }
}

fn struct_field(field: &StructField, path: &str) -> String {
    let name = &field.name;
    nullable_field(name, &type_of(&field.r#type, &format!("{path}.{name}")))
}

/// The default of a required feature, which lets readers of the Avro schema alone read older rows.
/// `None` where Avro's JSON cannot say it.
fn default_of(default: &Value) -> Option<Json> {
    Some(match default {
        Value::Boolean(value) => json!(value),
        Value::Int(value) | Value::Date(value) => json!(value),
        Value::BigInt(value) | Value::Timestamp(value) => json!(value),
        Value::Float(value) if value.is_finite() => json!(value),
        Value::Double(value) if value.is_finite() => json!(value),
        Value::String(value) => json!(value),
        Value::Binary(value) => bytes_of(value),
        Value::Decimal { unscaled, .. } => {
            let bytes = unscaled.to_be_bytes();
            bytes_of(super::encode::significant_bytes(&bytes))
        }
        Value::Embedding(values) if values.iter().all(|value| value.is_finite()) => json!(values),
        _ => return None,
    })
}

/// Avro writes bytes in JSON as a string of the code points U+0000 to U+00FF.
fn bytes_of(bytes: &[u8]) -> Json {
    Json::String(bytes.iter().copied().map(char::from).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nested_records_are_named_by_their_path() {
        let r#type: FeatureType = "map<string,struct<x:int>>".parse().expect("valid");
        assert_eq!(
            type_of(&r#type, "default.g_1.spots"),
            concat!(
                r#"{"type":"map","values":["null",{"type":"record","name":"value","#,
                r#""namespace":"default.g_1.spots","fields":["#,
                r#"{"name":"x","type":["null","int"],"default":null}]}]}"#
            )
        );
    }

    #[test]
    fn required_features_say_their_default() {
        let feature = Feature::new("f", FeatureType::Binary)
            .expect("valid")
            .required();
        let feature = feature
            .with_default(Value::Binary(vec![0, 0xff]))
            .expect("fits");
        assert_eq!(
            field(&feature, "p"),
            "{\"name\":\"f\",\"type\":\"bytes\",\"default\":\"\\u0000ÿ\"}"
        );
    }
}
