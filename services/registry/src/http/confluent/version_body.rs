use serde::Serialize;
use serde_json::Value as Json;
use twinfold_store_metadata::{SchemaRecord, SchemaVersion};

/// A version of a subject. The type of its schema is not said: it is Avro, as for all who do not say one.
#[derive(Debug, Serialize)]
pub(super) struct VersionBody {
    subject: String,
    id: u32,
    guid: String,
    version: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<Json>,
    schema: String,
}

impl From<SchemaVersion> for VersionBody {
    fn from(version: SchemaVersion) -> Self {
        Self {
            metadata: metadata(&version.schema),
            subject: version.subject,
            id: version.schema.id.0,
            guid: version.schema.guid,
            version: version.version,
            schema: version.schema.avro_json,
        }
    }
}

/// What a schema's producers say about it, which was stored as JSON.
pub(super) fn metadata(schema: &SchemaRecord) -> Option<Json> {
    serde_json::from_str(schema.metadata.as_deref()?).ok()
}

/// Of versions by subject and number, the last of each subject.
pub(super) fn newest_of_each(versions: Vec<SchemaVersion>) -> Vec<SchemaVersion> {
    let mut newest: Vec<SchemaVersion> = Vec::new();
    for version in versions {
        match newest.last_mut() {
            Some(last) if last.subject == version.subject => *last = version,
            _ => newest.push(version),
        }
    }
    newest
}
