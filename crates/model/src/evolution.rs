use crate::{Error, Feature, FeatureGroup, Result};

/// Adds features to a group in place.
///
/// Inside a version a group may only gain features that are nullable or have a default, so that
/// every row already written can still be read; anything else is a new version.
pub fn evolve(group: &FeatureGroup, added: Vec<Feature>) -> Result<FeatureGroup> {
    for feature in &added {
        if let Ok(existing) = group.feature(feature.name.as_str()) {
            return Err(incompatible(
                group,
                format!(
                    "feature `{}` exists already with type {}, found {}",
                    feature.name, existing.r#type, feature.r#type
                ),
            ));
        }
        if !feature.nullable && feature.default.is_none() {
            return Err(incompatible(
                group,
                format!(
                    "added feature `{}` is neither nullable nor has a default",
                    feature.name
                ),
            ));
        }
    }
    let mut spec = group.to_spec();
    spec.features.extend(added);
    FeatureGroup::new(spec)
}

fn incompatible(group: &FeatureGroup, reason: String) -> Error {
    Error::IncompatibleEvolution {
        group: group.id().to_string(),
        reason,
        next_version: group.id().version + 1,
    }
}
