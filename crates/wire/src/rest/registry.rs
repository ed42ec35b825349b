use serde::{Deserialize, Serialize};

use super::{FeatureGroupBody, StateBody};

/// A feature group as the registry knows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupRecordBody {
    pub group: FeatureGroupBody,
    pub state: StateBody,
    /// The name of its topic and tables.
    pub resource: String,
    /// The schema that writers use now.
    pub schema: u32,
    /// Increases with each change of the definition, and with each schema registered for the group.
    pub revision: u64,
    pub created_at_us: i64,
}

/// A schema that rows of a topic may be written with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SchemaBody {
    pub id: u32,
    pub avro_json: String,
}

/// Where the change feed is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewestChangeBody {
    pub sequence: u64,
}

/// Commits that training datasets were read from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PinnedCommitsBody {
    pub commits: Vec<u64>,
}
