use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{QueryBody, ValueBody};

/// What to read from history; the rows of a spine, if there is one, travel beside it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReadBody {
    pub query: QueryBody,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub defaults: BTreeMap<String, ValueBody>,
    /// The column of the spine that says at which time to look.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spine_event_time: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_time_start_us: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_time_end_us: Option<i64>,
}

/// Three digests of a training dataset, equal when it is what it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DatasetCheckBody {
    pub recorded: String,
    pub files: String,
    pub rebuilt: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_read_is_readable() {
        let json = concat!(
            r#"{"query":{"left":{"group":{"project":"default","name":"trips","version":1},"#,
            r#""features":["fare"]}},"defaults":{"fare":{"bigint":"9007199254740993"}},"#,
            r#""spine_event_time":"at","event_time_end_us":7}"#
        );
        let body: ReadBody = serde_json::from_str(json).expect("readable");
        assert_eq!(body.event_time_start_us, None);
        assert_eq!(serde_json::to_string(&body).expect("serializable"), json);
    }
}
