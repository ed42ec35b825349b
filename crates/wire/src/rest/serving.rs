use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use twinfold_model::{Error, EventTime, FeatureVector, GroupPresence, Presence};

use super::{ColumnBody, FeatureGroupIdBody, FeatureViewIdBody, ValueBody};

/// What vectors are made of: `{"view": {…}}` or `{"dataset": {…}}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ServingSourceBody {
    View(FeatureViewIdBody),
    Dataset { name: String, version: u32 },
}

/// A plan for vectors, made once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VectorReaderBody {
    /// Names and types of a vector's entries, in order.
    pub features: Vec<ColumnBody>,
    /// The keys that an entry must have.
    pub serving_keys: Vec<ColumnBody>,
    /// Says in a few letters what `features` and `serving_keys` are.
    pub shape: String,
}

/// Which vectors, and how.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VectorsBody {
    pub source: ServingSourceBody,
    /// As the reader said it; vectors of another shape are then refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shape: Option<String>,
    pub entries: Vec<BTreeMap<String, ValueBody>>,
    /// None, or as many as entries.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub passed: Vec<BTreeMap<String, ValueBody>>,
    #[serde(default)]
    pub allow_missing: bool,
    #[serde(default)]
    pub allow_error: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PresenceBody {
    Present,
    Missing,
    Expired,
    Error,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GroupPresenceBody {
    pub group: FeatureGroupIdBody,
    pub presence: PresenceBody,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_time_us: Option<i64>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FeatureVectorBody {
    pub values: Vec<ValueBody>,
    pub groups: Vec<GroupPresenceBody>,
}

impl From<Presence> for PresenceBody {
    fn from(presence: Presence) -> Self {
        match presence {
            Presence::Present => Self::Present,
            Presence::Missing => Self::Missing,
            Presence::Expired => Self::Expired,
            Presence::Error => Self::Error,
        }
    }
}

impl From<PresenceBody> for Presence {
    fn from(body: PresenceBody) -> Self {
        match body {
            PresenceBody::Present => Self::Present,
            PresenceBody::Missing => Self::Missing,
            PresenceBody::Expired => Self::Expired,
            PresenceBody::Error => Self::Error,
        }
    }
}

impl From<&FeatureVector> for FeatureVectorBody {
    fn from(vector: &FeatureVector) -> Self {
        let group = |found: &GroupPresence| GroupPresenceBody {
            group: (&found.group).into(),
            presence: found.presence.into(),
            event_time_us: found.event_time.map(EventTime::micros),
        };
        Self {
            values: vector.values.iter().map(ValueBody::from).collect(),
            groups: vector.groups.iter().map(group).collect(),
        }
    }
}

impl TryFrom<FeatureVectorBody> for FeatureVector {
    type Error = Error;

    fn try_from(body: FeatureVectorBody) -> Result<Self, Error> {
        let group = |found: GroupPresenceBody| {
            Ok(GroupPresence {
                group: found.group.try_into()?,
                presence: found.presence.into(),
                event_time: found.event_time_us.map(EventTime::from_micros),
            })
        };
        Ok(Self {
            values: body.values.into_iter().map(Into::into).collect(),
            groups: body
                .groups
                .into_iter()
                .map(group)
                .collect::<Result<_, Error>>()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use twinfold_model::{FeatureGroupId, Value};

    use super::*;

    #[test]
    fn a_vector_reads_back() {
        let group = |presence, event_time| GroupPresence {
            group: FeatureGroupId::new("default", "weather", 1).expect("id"),
            presence,
            event_time,
        };
        let vector = FeatureVector {
            values: vec![Value::Null, Value::BigInt(i64::MIN), Value::Double(0.1)],
            groups: vec![
                group(Presence::Present, Some(EventTime::from_micros(7))),
                group(Presence::Missing, None),
                group(Presence::Expired, None),
                group(Presence::Error, None),
            ],
        };
        let json = serde_json::to_string(&FeatureVectorBody::from(&vector)).expect("serializable");
        let body: FeatureVectorBody = serde_json::from_str(&json).expect("readable");
        assert_eq!(FeatureVector::try_from(body), Ok(vector));
    }

    #[test]
    fn a_request_for_vectors_is_readable() {
        let json = concat!(
            r#"{"source":{"view":{"project":"default","name":"fares","version":1}},"#,
            r#""entries":[{"origin":{"string":"JFK"}}],"allow_missing":true,"allow_error":false}"#
        );
        let body: VectorsBody = serde_json::from_str(json).expect("readable");
        assert_eq!(serde_json::to_string(&body).expect("serializable"), json);
        let dataset = r#"{"dataset":{"name":"delays","version":2}}"#;
        let source: ServingSourceBody = serde_json::from_str(dataset).expect("readable");
        assert_eq!(
            serde_json::to_string(&source).expect("serializable"),
            dataset
        );
    }
}
