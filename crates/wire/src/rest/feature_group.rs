use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use twinfold_model::{
    Error, Feature, FeatureGroup, FeatureGroupId, FeatureGroupSpec, GroupDescription,
    ResourceState, Ttl,
};

use super::ValueBody;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FeatureGroupIdBody {
    pub project: String,
    pub name: String,
    pub version: u32,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FeatureBody {
    pub name: String,
    /// As `FeatureType` writes it: `decimal(10,2)`, `array<int>`.
    pub r#type: String,
    #[serde(default = "yes")]
    pub nullable: bool,
    /// A default of `null` is another thing than no default.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "present"
    )]
    pub default: Option<ValueBody>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FeatureGroupBody {
    pub project: String,
    pub name: String,
    pub version: u32,
    pub features: Vec<FeatureBody>,
    pub primary_key: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_time: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_us: Option<i64>,
    pub online_enabled: bool,
    pub partitions: u32,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
}

/// What people are told about a feature group; what is absent stays as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GroupDescriptionBody {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<BTreeMap<String, String>>,
}

/// Where a resource stands: `{"state": "failed", "reason": "…"}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "state", rename_all = "snake_case", deny_unknown_fields)]
pub enum StateBody {
    Creating,
    Active,
    Failed { reason: String },
    Deleting,
}

fn yes() -> bool {
    true
}

fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<ValueBody>, D::Error> {
    ValueBody::deserialize(deserializer).map(Some)
}

impl From<&FeatureGroupId> for FeatureGroupIdBody {
    fn from(id: &FeatureGroupId) -> Self {
        Self {
            project: id.project.to_string(),
            name: id.name.to_string(),
            version: id.version,
        }
    }
}

impl TryFrom<FeatureGroupIdBody> for FeatureGroupId {
    type Error = Error;

    fn try_from(body: FeatureGroupIdBody) -> Result<Self, Error> {
        Self::new(&body.project, &body.name, body.version)
    }
}

impl From<&GroupDescription> for GroupDescriptionBody {
    fn from(said: &GroupDescription) -> Self {
        Self {
            description: said.description.clone(),
            tags: said.tags.clone(),
        }
    }
}

impl From<GroupDescriptionBody> for GroupDescription {
    fn from(body: GroupDescriptionBody) -> Self {
        Self {
            description: body.description,
            tags: body.tags,
        }
    }
}

impl From<&Feature> for FeatureBody {
    fn from(feature: &Feature) -> Self {
        Self {
            name: feature.name.to_string(),
            r#type: feature.r#type.to_string(),
            nullable: feature.nullable,
            default: feature.default.as_ref().map(ValueBody::from),
            description: feature.description.clone(),
        }
    }
}

impl TryFrom<FeatureBody> for Feature {
    type Error = Error;

    fn try_from(body: FeatureBody) -> Result<Self, Error> {
        let mut feature = Self::new(&body.name, body.r#type.parse()?)?;
        feature.nullable = body.nullable;
        feature.description = body.description;
        match body.default {
            None => Ok(feature),
            Some(default) => feature.with_default(default.into()),
        }
    }
}

impl From<&FeatureGroup> for FeatureGroupBody {
    fn from(group: &FeatureGroup) -> Self {
        let FeatureGroupIdBody {
            project,
            name,
            version,
        } = group.id().into();
        Self {
            project,
            name,
            version,
            features: group.features().iter().map(FeatureBody::from).collect(),
            primary_key: group
                .key_features()
                .map(|feature| feature.name.to_string())
                .collect(),
            event_time: group
                .event_time_feature()
                .map(|feature| feature.name.to_string()),
            ttl_us: group.ttl().map(Ttl::micros),
            online_enabled: group.online_enabled(),
            partitions: group.partitions(),
            description: group.description().to_owned(),
            tags: group.tags().clone(),
        }
    }
}

impl TryFrom<FeatureGroupBody> for FeatureGroup {
    type Error = Error;

    fn try_from(body: FeatureGroupBody) -> Result<Self, Error> {
        let id = FeatureGroupId::new(&body.project, &body.name, body.version)?;
        let ttl = body.ttl_us.map(|micros| {
            Ttl::from_micros(micros).ok_or_else(|| Error::InvalidFeatureGroup {
                group: id.to_string(),
                reason: format!("ttl is {micros} µs, wanted more than 0"),
            })
        });
        Self::new(FeatureGroupSpec {
            features: body
                .features
                .into_iter()
                .map(Feature::try_from)
                .collect::<Result<_, _>>()?,
            primary_key: body.primary_key,
            event_time: body.event_time,
            ttl: ttl.transpose()?,
            online_enabled: body.online_enabled,
            partitions: body.partitions,
            description: body.description,
            tags: body.tags,
            id,
        })
    }
}

impl From<&ResourceState> for StateBody {
    fn from(state: &ResourceState) -> Self {
        match state {
            ResourceState::Creating => Self::Creating,
            ResourceState::Active => Self::Active,
            ResourceState::Failed { reason } => Self::Failed {
                reason: reason.clone(),
            },
            ResourceState::Deleting => Self::Deleting,
        }
    }
}

impl From<StateBody> for ResourceState {
    fn from(body: StateBody) -> Self {
        match body {
            StateBody::Creating => Self::Creating,
            StateBody::Active => Self::Active,
            StateBody::Failed { reason } => Self::Failed { reason },
            StateBody::Deleting => Self::Deleting,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::rest::samples;

    const JSON: &str = r#"{
  "project": "default",
  "name": "weather",
  "version": 1,
  "features": [
    {
      "name": "origin",
      "type": "string",
      "nullable": false
    },
    {
      "name": "at",
      "type": "timestamp",
      "nullable": false
    },
    {
      "name": "temp",
      "type": "decimal(10,2)",
      "nullable": true,
      "default": {
        "decimal": "0.50"
      },
      "description": "degrees"
    }
  ],
  "primary_key": [
    "origin"
  ],
  "event_time": "at",
  "ttl_us": 3600000000,
  "online_enabled": true,
  "partitions": 4,
  "tags": {
    "team": "sky"
  }
}"#;

    fn read(json: &str) -> Result<FeatureGroup, String> {
        let body: FeatureGroupBody =
            serde_json::from_str(json).map_err(|error| error.to_string())?;
        FeatureGroup::try_from(body).map_err(|error| error.to_string())
    }

    #[test]
    fn a_feature_group_is_readable() {
        let group = read(JSON).expect("valid");
        assert_eq!(group.ttl().map(Ttl::micros), Some(3_600_000_000));
        let written = serde_json::to_string_pretty(&FeatureGroupBody::from(&group));
        assert_eq!(written.expect("serializable"), JSON);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (found, replacement, reason) in [
            ("\"ttl_us\": 3600000000", "\"ttl_us\": 0", "ttl is 0 µs"),
            ("\"ttl_us\"", "\"ttl\"", "unknown field `ttl`"),
            ("decimal(10,2)", "decimal(10;2)", "wanted `,`"),
            ("\"0.50\"", "\"0.5\"", "feature `temp`: found decimal 5e-1"),
            ("\"version\": 1", "\"version\": 0", "versions count from 1"),
            ("\"name\": \"origin\"", "\"name\": \"Origin\"", "`Origin`"),
        ] {
            let error = read(&JSON.replace(found, replacement)).expect_err(reason);
            assert!(error.contains(reason), "{error}");
        }
    }

    #[test]
    fn a_default_of_null_differs_from_none() {
        let json = r#"{"name":"f","type":"int","default":null}"#;
        let body: FeatureBody = serde_json::from_str(json).expect("readable");
        let feature = Feature::try_from(body).expect("valid");
        assert_eq!(feature.default, Some(twinfold_model::Value::Null));
        let written = serde_json::to_string(&FeatureBody::from(&feature)).expect("serializable");
        assert!(written.contains(r#""default":null"#), "{written}");
    }

    #[test]
    fn states_are_readable() {
        let failed = ResourceState::Failed {
            reason: "disk full".to_owned(),
        };
        let json = serde_json::to_string(&StateBody::from(&failed)).expect("serializable");
        assert_eq!(json, r#"{"state":"failed","reason":"disk full"}"#);
        let read: StateBody = serde_json::from_str(&json).expect("readable");
        assert_eq!(ResourceState::from(read), failed);
    }

    proptest! {
        #[test]
        fn every_feature_group_reads_back(group in samples::feature_group()) {
            let json = serde_json::to_string(&FeatureGroupBody::from(&group)).expect("serializable");
            prop_assert_eq!(read(&json), Ok(group));
        }
    }
}
