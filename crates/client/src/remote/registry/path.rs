//! Where things are, below the address of a registry.

use twinfold_model::{FeatureGroupId, FeatureViewId, ProjectName};

use crate::Result;
use crate::remote::segment::segment;

pub const FEATURE_GROUPS: &str = "/v1/feature-groups";
pub const FEATURE_VIEWS: &str = "/v1/feature-views";
pub const TRAINING_DATASETS: &str = "/v1/training-datasets";
pub const RESERVATIONS: &str = "/v1/reservations";

/// The group, or what belongs to it.
pub fn group(id: &FeatureGroupId, part: &str) -> String {
    let slash = if part.is_empty() { "" } else { "/" };
    let FeatureGroupId {
        project,
        name,
        version,
    } = id;
    format!("{FEATURE_GROUPS}/{project}/{name}/{version}{slash}{part}")
}

pub fn view(id: &FeatureViewId) -> String {
    let FeatureViewId {
        project,
        name,
        version,
    } = id;
    format!("{FEATURE_VIEWS}/{project}/{name}/{version}")
}

/// One of the resources by the name that a caller gave, whatever it is.
pub fn named(
    resources: &str,
    what: &'static str,
    project: &ProjectName,
    name: &str,
) -> Result<String> {
    Ok(format!("{resources}/{project}/{}", segment(what, name)?))
}
