use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{FeatureGroupBody, StateBody};

/// What a platform is, asked once by whoever connects.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PlatformBody {
    /// The project that names without a project belong to.
    pub project: String,
    /// How many partitions a new feature group gets unless it says otherwise.
    pub partitions_default: u32,
    pub limits: LimitsBody,
}

/// What one request may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LimitsBody {
    /// Of a body of rows.
    pub rows_bytes_max: u64,
    /// Entries of one request for vectors.
    pub entries_max: u64,
    /// How long one request waits for a receipt, whatever it asks for.
    pub wait_ms_max: u64,
}

/// A feature group as writers and readers need it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GroupDefinitionBody {
    pub group: FeatureGroupBody,
    pub state: StateBody,
    /// The name of its topic and tables.
    pub resource: String,
    /// The schema that writers use now.
    pub schema: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_platform_is_readable() {
        let json = concat!(
            r#"{"project":"default","partitions_default":4,"#,
            r#""limits":{"rows_bytes_max":1073741824,"entries_max":1000,"wait_ms_max":25000}}"#
        );
        let body: PlatformBody = serde_json::from_str(json).expect("readable");
        assert_eq!(body.limits.entries_max, 1_000);
        assert_eq!(serde_json::to_string(&body).expect("serializable"), json);
    }
}
