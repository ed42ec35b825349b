//! Where things are, below the address of a platform.

use twinfold_model::{FeatureGroupId, FeatureViewId};

use crate::Result;
use crate::remote::segment::segment;

pub const ROOT: &str = "/v1/platform";

pub fn below(resource: &str) -> String {
    format!("{ROOT}/{resource}")
}

/// The group, or what belongs to it.
pub fn group(id: &FeatureGroupId, part: &str) -> String {
    let slash = if part.is_empty() { "" } else { "/" };
    format!(
        "{ROOT}/feature-groups/{}/{}/{}{slash}{part}",
        id.project, id.name, id.version
    )
}

pub fn view(id: &FeatureViewId) -> String {
    format!(
        "{ROOT}/feature-views/{}/{}/{}",
        id.project, id.name, id.version
    )
}

/// One of the resources by the name that a caller gave, whatever it is.
pub fn named(resources: &str, what: &'static str, name: &str) -> Result<String> {
    Ok(format!("{ROOT}/{resources}/{}", segment(what, name)?))
}

/// The dataset, or what belongs to it.
pub fn dataset(name: &str, version: u32, part: &str) -> Result<String> {
    let slash = if part.is_empty() { "" } else { "/" };
    let name = segment("training dataset", name)?;
    Ok(format!("{ROOT}/datasets/{name}/{version}{slash}{part}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_follow_their_owner() {
        let id = FeatureGroupId::new("default", "weather", 2).expect("id");
        let path = "/v1/platform/feature-groups/default/weather/2";
        assert_eq!(group(&id, ""), path);
        assert_eq!(group(&id, "rows"), format!("{path}/rows"));
        let rows = dataset("delays", 3, "rows").expect("a name");
        assert_eq!(rows, "/v1/platform/datasets/delays/3/rows");
    }
}
