use std::collections::BTreeMap;

use crate::{FeatureGroup, Result};

/// What people are told about a feature group. It can be said anew at any time; what is `None` stays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GroupDescription {
    pub description: Option<String>,
    pub tags: Option<BTreeMap<String, String>>,
}

impl GroupDescription {
    /// The group as it is with this said about it.
    pub fn of(&self, group: &FeatureGroup) -> Result<FeatureGroup> {
        let mut spec = group.to_spec();
        if let Some(description) = &self.description {
            spec.description.clone_from(description);
        }
        if let Some(tags) = &self.tags {
            spec.tags.clone_from(tags);
        }
        FeatureGroup::new(spec)
    }
}
