use serde_json::Value as Json;
use sha2::{Digest, Sha256};
use twinfold_store_metadata::{NewSchema, Registration};
use uuid::Uuid;

use super::SchemaError;
use crate::avro;

/// A schema that someone asks about, read and checked.
#[derive(Debug)]
pub struct Candidate {
    pub(super) schema: avro::Schema,
    pub(super) new: NewSchema,
}

impl Candidate {
    /// `metadata` is what a producer says about its schema; with another one it is another schema.
    pub fn parse(avro_json: &str, metadata: Option<&Json>) -> Result<Self, SchemaError> {
        let invalid = |reason| SchemaError::InvalidSchema { reason };
        let json: Json = serde_json::from_str(avro_json)
            .map_err(|error| invalid(format!("it is not JSON: {error}")))?;
        let schema = avro::Schema::parse(&json).map_err(invalid)?;
        let metadata = metadata.map(ToString::to_string);
        let text = avro::canonical(&json);
        let new = NewSchema {
            guid: guid(&text, metadata.as_deref().unwrap_or_default()),
            avro_json: avro_json.to_owned(),
            metadata,
            registration: None,
        };
        Ok(Self { schema, new })
    }
}

/// A schema of our own making.
pub(crate) fn own_schema(avro_json: String) -> NewSchema {
    let json = serde_json::from_str(&avro_json).expect("it is written as JSON");
    NewSchema {
        guid: guid(&avro::canonical(&json), ""),
        avro_json,
        metadata: None,
        registration: None,
    }
}

/// A schema that a registry elsewhere has, and that rows can be read with. There one text may have several ids,
/// so it is the id that tells it apart.
pub(crate) fn schema_elsewhere(avro_json: String, registration: Registration) -> NewSchema {
    let json = serde_json::from_str(&avro_json).expect("what rows can be read with is JSON");
    // No metadata: those are JSON.
    let id = format!("id {}", registration.id.0);
    NewSchema {
        guid: guid(&avro::canonical(&json), &id),
        avro_json,
        metadata: None,
        registration: Some(registration),
    }
}

/// Drawn from all that tells schemas apart. Kept for ever: ids hang on it.
fn guid(canonical: &str, beside: &str) -> String {
    let mut hash = Sha256::new();
    hash.update(canonical);
    // Neither text has a NUL, so no two pairs are alike.
    hash.update([0_u8]);
    hash.update(beside);
    let digest: [u8; 32] = hash.finalize().into();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    Uuid::from_bytes(bytes).to_string()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;
    use twinfold_testkit::strategies::feature_group;
    use twinfold_wire::record::avro_schema;

    use super::*;

    #[test]
    fn a_guid_never_changes() {
        let string = own_schema(r#""string""#.to_owned());
        assert_eq!(string.guid, "94ab400b-bac1-7ce9-cfcd-b2ead1aa53c2");
    }

    #[test]
    fn metadata_makes_another_schema() {
        let parse = |metadata: Option<Json>| {
            let candidate = Candidate::parse(r#""string""#, metadata.as_ref());
            candidate.expect("a schema").new.guid
        };
        let owned = parse(Some(json!({"properties": {"owner": "rides"}})));
        assert_ne!(owned, parse(None));
        assert_eq!(parse(None), own_schema(r#""string""#.to_owned()).guid);
    }

    proptest! {
        /// Whoever reads a group's schema and registers it again gets the same id.
        #[test]
        fn a_groups_schema_is_one_in_any_hands(group in feature_group()) {
            let ours = own_schema(avro_schema(&group));
            let json: Json = serde_json::from_str(&ours.avro_json).expect("JSON");
            for text in [ours.avro_json.clone(), json.to_string(), format!("{json:#}")] {
                let theirs = Candidate::parse(&text, None);
                prop_assert!(theirs.is_ok(), "{theirs:?}");
                prop_assert_eq!(theirs.expect("a schema").new.guid, ours.guid.as_str());
            }
        }
    }
}
