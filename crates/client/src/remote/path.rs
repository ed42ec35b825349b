//! Where things are, below the root of a service: a platform and a registry call the same things alike.

use twinfold_model::{FeatureGroupId, FeatureViewId, ProjectName};

use super::segment::segment;
use crate::{Deletion, Result};

pub const FEATURE_GROUPS: &str = "/feature-groups";
pub const FEATURE_VIEWS: &str = "/feature-views";
pub const TRAINING_DATASETS: &str = "/training-datasets";
pub const RESERVATIONS: &str = "/reservations";
/// What a platform calls training datasets.
pub const DATASETS: &str = "/datasets";

/// The group, or what belongs to it.
pub fn group(id: &FeatureGroupId, part: &str) -> String {
    let FeatureGroupId {
        project,
        name,
        version,
    } = id;
    with_part(
        &format!("{FEATURE_GROUPS}/{project}/{name}/{version}"),
        part,
    )
}

/// The group with what is to become of it.
pub fn group_deletion(id: &FeatureGroupId, deletion: Deletion) -> String {
    let group = group(id, "");
    match deletion {
        Deletion::RefuseIfUsed => group,
        Deletion::Force => format!("{group}?force=true"),
    }
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
pub fn named(resources: &str, what: &'static str, name: &str) -> Result<String> {
    Ok(format!("{resources}/{}", segment(what, name)?))
}

/// The same where names are those of a project.
pub fn named_in(
    project: &ProjectName,
    resources: &str,
    what: &'static str,
    name: &str,
) -> Result<String> {
    Ok(format!("{resources}/{project}/{}", segment(what, name)?))
}

/// A platform's dataset, or what belongs to it.
pub fn dataset(name: &str, version: u32, part: &str) -> Result<String> {
    let name = segment("training dataset", name)?;
    Ok(with_part(&format!("{DATASETS}/{name}/{version}"), part))
}

fn with_part(owner: &str, part: &str) -> String {
    let slash = if part.is_empty() { "" } else { "/" };
    format!("{owner}{slash}{part}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_follow_their_owner() {
        let id = FeatureGroupId::new("default", "weather", 2).expect("id");
        assert_eq!(group(&id, ""), "/feature-groups/default/weather/2");
        assert_eq!(group(&id, "rows"), "/feature-groups/default/weather/2/rows");
        let rows = dataset("delays", 3, "rows").expect("a name");
        assert_eq!(rows, "/datasets/delays/3/rows");
        let project = ProjectName::new("default").expect("a name");
        let named = named_in(&project, FEATURE_VIEWS, "feature view", "a/b");
        assert_eq!(named.expect("a name"), "/feature-views/default/a%2Fb");
    }
}
