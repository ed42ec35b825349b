use serde_json::{Value as Json, json};
use twinfold_model::{Feature, FeatureGroup, FeatureType, Value};

/// The Avro schema that the platform writes the rows of `group` with, as JSON.
///
/// A nullable type is a union with null first. Records nested in a feature are named by their path,
/// so that two features may hold structs of the same shape.
pub fn avro_schema(group: &FeatureGroup) -> String {
    let id = group.id();
    let name = format!("{}_{}", id.name, id.version);
    let path = format!("{}.{name}", id.project);
    let fields: Vec<Json> = group
        .features()
        .iter()
        .map(|feature| field_json(feature, &path))
        .collect();
    json!({
        "type": "record",
        "name": name,
        "namespace": id.project.as_str(),
        "fields": fields,
    })
    .to_string()
}

fn field_json(feature: &Feature, path: &str) -> Json {
    let name = feature.name.as_str();
    let r#type = type_json(&feature.r#type, &format!("{path}.{name}"));
    if feature.nullable {
        // Avro wants the default of a union to be of its first branch: always null, whatever the
        // default of the feature is. Readers take that from the group.
        return json!({"name": name, "type": ["null", r#type], "default": null});
    }
    let mut field = json!({"name": name, "type": r#type});
    if let Some(default) = feature.default.as_ref().and_then(default_json) {
        field["default"] = default;
    }
    field
}

fn type_json(r#type: &FeatureType, path: &str) -> Json {
    match r#type {
        FeatureType::Boolean => json!("boolean"),
        FeatureType::Int => json!("int"),
        FeatureType::BigInt => json!("long"),
        FeatureType::Float => json!("float"),
        FeatureType::Double => json!("double"),
        FeatureType::Decimal { precision, scale } => json!({
            "type": "bytes", "logicalType": "decimal", "precision": precision, "scale": scale,
        }),
        FeatureType::String => json!("string"),
        FeatureType::Binary => json!("bytes"),
        FeatureType::Date => json!({"type": "int", "logicalType": "date"}),
        FeatureType::Timestamp => json!({"type": "long", "logicalType": "timestamp-micros"}),
        FeatureType::Array(item) => {
            json!({"type": "array", "items": ["null", type_json(item, &format!("{path}.item"))]})
        }
        FeatureType::Map(value) => {
            json!({"type": "map", "values": ["null", type_json(value, &format!("{path}.value"))]})
        }
        FeatureType::Struct(fields) => {
            let (namespace, name) = path.rsplit_once('.').unwrap_or(("", path));
            let fields: Vec<Json> = fields
                .iter()
                .map(|field| {
                    let r#type = type_json(&field.r#type, &format!("{path}.{}", field.name));
                    json!({"name": field.name, "type": ["null", r#type], "default": null})
                })
                .collect();
            json!({"type": "record", "name": name, "namespace": namespace, "fields": fields})
        }
        FeatureType::Embedding(_) => json!({"type": "array", "items": "float"}),
    }
}

/// The default of a required feature, which lets readers of the Avro schema alone read older rows.
/// `None` where Avro's JSON cannot say it.
fn default_json(default: &Value) -> Option<Json> {
    Some(match default {
        Value::Boolean(value) => json!(value),
        Value::Int(value) | Value::Date(value) => json!(value),
        Value::BigInt(value) | Value::Timestamp(value) => json!(value),
        Value::Float(value) if value.is_finite() => json!(value),
        Value::Double(value) if value.is_finite() => json!(value),
        Value::String(value) => json!(value),
        Value::Binary(value) => bytes_json(value),
        Value::Decimal { unscaled, .. } => {
            let bytes = unscaled.to_be_bytes();
            bytes_json(super::encode::significant_bytes(&bytes))
        }
        Value::Embedding(values) if values.iter().all(|value| value.is_finite()) => json!(values),
        _ => return None,
    })
}

/// Avro writes bytes in JSON as a string of the code points U+0000 to U+00FF.
fn bytes_json(bytes: &[u8]) -> Json {
    Json::String(bytes.iter().copied().map(char::from).collect())
}
