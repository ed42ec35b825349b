use std::collections::BTreeMap;
use std::fmt;

use crate::{Error, Feature, Name, ProjectName, Result, Ttl};

/// Which feature group: a project, a name and a version.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FeatureGroupId {
    pub project: ProjectName,
    pub name: Name,
    pub version: u32,
}

impl FeatureGroupId {
    pub fn new(project: &str, name: &str, version: u32) -> Result<Self> {
        let name = Name::new("feature group", name)?;
        if version == 0 {
            return Err(Error::InvalidFeatureGroup {
                group: name.to_string(),
                reason: "versions count from 1, found 0".to_owned(),
            });
        }
        Ok(Self {
            project: ProjectName::new(project)?,
            name,
            version,
        })
    }

    /// The name of the group's topic, online table and history table: `project.name_version`, and with
    /// `-life` behind it when the group was deleted and created again. So whoever is still at work on
    /// the resources of an earlier life cannot touch those of this one.
    pub fn resource_name(&self, life: u32) -> String {
        match life {
            0 | 1 => self.to_string(),
            _ => format!("{self}-{life}"),
        }
    }
}

impl fmt::Display for FeatureGroupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}_{}", self.project, self.name, self.version)
    }
}

/// The parts of a feature group before they are checked.
#[derive(Debug, Clone)]
pub struct FeatureGroupSpec {
    pub id: FeatureGroupId,
    pub features: Vec<Feature>,
    pub primary_key: Vec<String>,
    pub event_time: Option<String>,
    pub ttl: Option<Ttl>,
    pub online_enabled: bool,
    pub partitions: u32,
    pub description: String,
    pub tags: BTreeMap<String, String>,
}

/// Features that share a primary key, and how their rows are kept.
#[derive(Debug, Clone, PartialEq)]
pub struct FeatureGroup {
    id: FeatureGroupId,
    features: Vec<Feature>,
    primary_key: Vec<usize>,
    event_time: Option<usize>,
    ttl: Option<Ttl>,
    online_enabled: bool,
    partitions: u32,
    description: String,
    tags: BTreeMap<String, String>,
}

const FEATURES_MAX: usize = 4_096;
const PARTITIONS_MAX: u32 = 1_024;

impl FeatureGroup {
    /// Checks the definition. Key features and the event time become required.
    pub fn new(spec: FeatureGroupSpec) -> Result<Self> {
        let group = spec.id.to_string();
        let fail = |reason: String| Err(invalid(&group, reason));
        if spec.features.is_empty() || spec.features.len() > FEATURES_MAX {
            return fail(format!(
                "wanted 1 to {FEATURES_MAX} features, found {}",
                spec.features.len()
            ));
        }
        if spec.partitions == 0 || spec.partitions > PARTITIONS_MAX {
            return fail(format!(
                "wanted 1 to {PARTITIONS_MAX} partitions, found {}",
                spec.partitions
            ));
        }
        for (index, feature) in spec.features.iter().enumerate() {
            if spec.features[..index]
                .iter()
                .any(|other| other.name == feature.name)
            {
                return fail(format!("feature `{}` is defined twice", feature.name));
            }
        }
        let mut features = spec.features;
        let primary_key = require_key(&mut features, &spec.primary_key, &group)?;
        let event_time = match &spec.event_time {
            None => None,
            Some(name) => Some(require_event_time(&mut features, name, &group)?),
        };
        Ok(Self {
            id: spec.id,
            features,
            primary_key,
            event_time,
            ttl: spec.ttl,
            online_enabled: spec.online_enabled,
            partitions: spec.partitions,
            description: spec.description,
            tags: spec.tags,
        })
    }

    pub fn id(&self) -> &FeatureGroupId {
        &self.id
    }

    pub fn features(&self) -> &[Feature] {
        &self.features
    }

    /// Indices into [`features`](Self::features), in the order of the key.
    pub fn primary_key(&self) -> &[usize] {
        &self.primary_key
    }

    pub fn key_features(&self) -> impl Iterator<Item = &Feature> {
        self.primary_key.iter().map(|index| &self.features[*index])
    }

    /// Index into [`features`](Self::features).
    pub fn event_time(&self) -> Option<usize> {
        self.event_time
    }

    pub fn event_time_feature(&self) -> Option<&Feature> {
        self.event_time.map(|index| &self.features[index])
    }

    pub fn ttl(&self) -> Option<Ttl> {
        self.ttl
    }

    pub fn online_enabled(&self) -> bool {
        self.online_enabled
    }

    pub fn partitions(&self) -> u32 {
        self.partitions
    }

    pub fn description(&self) -> &str {
        &self.description
    }

    pub fn tags(&self) -> &BTreeMap<String, String> {
        &self.tags
    }

    pub fn feature(&self, name: &str) -> Result<&Feature> {
        find(&self.features, name, &self.id.to_string()).map(|index| &self.features[index])
    }

    /// Back to parts, to change one and check again.
    pub fn to_spec(&self) -> FeatureGroupSpec {
        let name = |index: &usize| self.features[*index].name.to_string();
        FeatureGroupSpec {
            id: self.id.clone(),
            features: self.features.clone(),
            primary_key: self.primary_key.iter().map(name).collect(),
            event_time: self.event_time.as_ref().map(name),
            ttl: self.ttl,
            online_enabled: self.online_enabled,
            partitions: self.partitions,
            description: self.description.clone(),
            tags: self.tags.clone(),
        }
    }
}

fn invalid(group: &str, reason: String) -> Error {
    Error::InvalidFeatureGroup {
        group: group.to_owned(),
        reason,
    }
}

/// Finds the features of the key and makes them required.
fn require_key(features: &mut [Feature], names: &[String], group: &str) -> Result<Vec<usize>> {
    let fail = |reason: String| Err(invalid(group, reason));
    if names.is_empty() {
        return fail("a primary key of at least one feature is needed".to_owned());
    }
    let mut key = Vec::with_capacity(names.len());
    for name in names {
        let index = find(features, name, group)?;
        let r#type = &features[index].r#type;
        if !r#type.is_key_type() {
            return fail(format!(
                "primary key `{name}` has type {type}; wanted int, bigint, string, boolean, \
                 date, timestamp or binary"
            ));
        }
        if key.contains(&index) {
            return fail(format!("primary key `{name}` stands twice"));
        }
        features[index].nullable = false;
        key.push(index);
    }
    Ok(key)
}

/// Finds the event time and makes it required.
fn require_event_time(features: &mut [Feature], name: &str, group: &str) -> Result<usize> {
    let index = find(features, name, group)?;
    let r#type = &features[index].r#type;
    if !r#type.is_event_time_type() {
        let reason = format!("event time `{name}` has type {type}; wanted timestamp or date");
        return Err(invalid(group, reason));
    }
    features[index].nullable = false;
    Ok(index)
}

fn find(features: &[Feature], name: &str, group: &str) -> Result<usize> {
    features
        .iter()
        .position(|feature| feature.name.as_str() == name)
        .ok_or_else(|| Error::UnknownFeature {
            feature: name.to_owned(),
            owner: group.to_owned(),
            known: features
                .iter()
                .map(|feature| feature.name.to_string())
                .collect(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::FeatureType;

    fn spec(features: &[(&str, FeatureType)], key: &[&str]) -> FeatureGroupSpec {
        FeatureGroupSpec {
            id: FeatureGroupId::new("default", "weather", 1).expect("valid"),
            features: features
                .iter()
                .map(|(name, r#type)| Feature::new(name, r#type.clone()).expect("valid"))
                .collect(),
            primary_key: key.iter().map(ToString::to_string).collect(),
            event_time: None,
            ttl: None,
            online_enabled: true,
            partitions: 4,
            description: String::new(),
            tags: BTreeMap::new(),
        }
    }

    #[test]
    fn keys_become_required() {
        let group = FeatureGroup::new(spec(
            &[
                ("origin", FeatureType::String),
                ("temp", FeatureType::Double),
            ],
            &["origin"],
        ))
        .expect("valid");
        assert!(!group.features()[0].nullable);
        assert!(group.features()[1].nullable);
        assert_eq!(FeatureGroup::new(group.to_spec()), Ok(group));
    }

    #[test]
    fn what_cannot_work_is_refused_by_name() {
        let temp = ("temp", FeatureType::Double);
        let origin = ("origin", FeatureType::String);
        let mut with_event_time = spec(&[origin.clone(), temp.clone()], &["origin"]);
        with_event_time.event_time = Some("temp".to_owned());
        for (spec, reason) in [
            (
                spec(std::slice::from_ref(&temp), &["temp"]),
                "primary key `temp` has type double",
            ),
            (
                spec(std::slice::from_ref(&temp), &["origin"]),
                "`origin` does not exist",
            ),
            (
                spec(std::slice::from_ref(&temp), &[]),
                "a primary key of at least one",
            ),
            (
                spec(&[temp.clone(), temp.clone()], &["temp"]),
                "`temp` is defined twice",
            ),
            (
                spec(&[origin.clone(), temp.clone()], &["origin", "origin"]),
                "stands twice",
            ),
            (with_event_time, "event time `temp` has type double"),
        ] {
            let error = FeatureGroup::new(spec).expect_err(reason).to_string();
            assert!(error.contains(reason), "{error}");
        }
    }
}
