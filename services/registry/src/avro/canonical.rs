use serde_json::Value as Json;

/// The one text of all that are the same schema but for whitespace, the order of attributes, and types that
/// stand alone in an object (`{"type": "int"}` for `"int"`).
///
/// Written by hand: ids hang on it, so it must not depend on how a JSON library orders keys.
pub fn canonical(json: &Json) -> String {
    let mut text = String::new();
    write(json, Place::Schema, &mut text);
    text
}

/// What a piece of JSON stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Schema,
    Fields,
    Field,
    /// Defaults and attributes that Avro does not know: as they are.
    Value,
}

// The recursion is bounded: serde_json refuses more than 128 levels.
fn write(json: &Json, place: Place, text: &mut String) {
    match json {
        Json::Object(object) => match object.get("type") {
            Some(alone) if place == Place::Schema && object.len() == 1 => {
                write(alone, Place::Schema, text);
            }
            _ => write_object(object, place, text),
        },
        Json::Array(items) => {
            let inner = match place {
                Place::Schema => Place::Schema,
                Place::Fields => Place::Field,
                Place::Field | Place::Value => Place::Value,
            };
            text.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                write(item, inner, text);
            }
            text.push(']');
        }
        scalar => text.push_str(&scalar.to_string()),
    }
}

fn write_object(object: &serde_json::Map<String, Json>, place: Place, text: &mut String) {
    let mut entries: Vec<(&String, &Json)> = object.iter().collect();
    entries.sort_by_key(|(key, _)| *key);
    text.push('{');
    for (index, (key, value)) in entries.into_iter().enumerate() {
        if index > 0 {
            text.push(',');
        }
        text.push_str(&Json::from(key.as_str()).to_string());
        text.push(':');
        let inner = match (place, key.as_str()) {
            (Place::Schema, "type" | "items" | "values") | (Place::Field, "type") => Place::Schema,
            (Place::Schema, "fields") => Place::Fields,
            _ => Place::Value,
        };
        write(value, inner, text);
    }
    text.push('}');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical_of(text: &str) -> String {
        canonical(&serde_json::from_str(text).expect("JSON"))
    }

    #[test]
    fn order_and_whitespace_do_not_tell_schemas_apart() {
        let ours = r#"{"type":"record","name":"r","fields":[{"name":"a","type":["null","int"]}]}"#;
        let theirs = r#"{ "name": "r", "fields": [
            {"type": ["null", {"type": "int"}], "name": "a"} ], "type": "record" }"#;
        assert_eq!(canonical_of(ours), canonical_of(theirs));
        assert_eq!(canonical_of(r#"{"type": "string"}"#), r#""string""#);
    }

    #[test]
    fn what_means_something_does() {
        let texts = [
            r#"{"type":"long","logicalType":"timestamp-micros"}"#,
            r#"{"type":"long"}"#,
            r#"["null","long"]"#,
            r#"["long","null"]"#,
            r#"{"type":"map","values":"long"}"#,
            r#"{"type":"record","name":"r","fields":[]}"#,
            r#"{"type":"record","name":"r","doc":"of rides","fields":[]}"#,
        ];
        let different: std::collections::HashSet<String> =
            texts.into_iter().map(canonical_of).collect();
        assert_eq!(different.len(), texts.len());
    }

    #[test]
    fn a_default_stays_as_it_is() {
        let text = r#"{"fields":[{"default":{"type":"int"},"name":"m","type":{"type":"map","values":"string"}}],"name":"r","type":"record"}"#;
        assert_eq!(canonical_of(text), text);
    }
}
