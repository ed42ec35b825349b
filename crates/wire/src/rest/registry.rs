use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    DatasetSpecBody, FeatureGroupBody, FeatureGroupIdBody, FeatureViewIdBody, QueryBody, StateBody,
};

/// Items of one page at most, of every list that comes in pages.
pub const PAGE_ITEMS_MAX: usize = 1_000;

/// Some of a list, in its order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PageBody<T> {
    pub items: Vec<T>,
    /// Asks for what comes behind these; absent when nothing does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_page_token: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProjectBody {
    pub name: String,
}

/// A feature group as the registry knows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SchemaBody {
    pub id: u32,
    pub avro_json: String,
}

/// Where the change feed is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewestChangeBody {
    pub sequence: u64,
}

/// One change of a definition or of its state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeBody {
    /// Increases by at least one per change.
    pub sequence: u64,
    pub of: ChangedBody,
}

/// What was changed: `{"feature_group": {"project": "default", …}}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ChangedBody {
    FeatureGroup(FeatureGroupIdBody),
    FeatureView(FeatureViewIdBody),
    TrainingDataset {
        project: String,
        name: String,
        version: u32,
    },
}

/// Commits that training datasets were read from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PinnedCommitsBody {
    pub commits: Vec<u64>,
}

/// A specification of a training dataset that was checked, and the query to run for it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ResolvedDatasetBody {
    pub spec: DatasetSpecBody,
    pub query: QueryBody,
}

/// Which version of a training dataset is wanted; the next free one when none is named.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReserveDatasetBody {
    pub project: String,
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u32>,
}

/// A version of a training dataset that is being made, or whose making was cut short.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReservationBody {
    pub project: String,
    pub name: String,
    pub version: u32,
    /// Nobody can finish it any more.
    pub has_lapsed: bool,
}
