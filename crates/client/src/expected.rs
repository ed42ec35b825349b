//! Which state of a feature group a change is meant for.

use sha2::{Digest, Sha256};
use twinfold_model::FeatureGroup;
use twinfold_wire::rest::FeatureGroupBody;

/// A name of a group's definition: no other definition of this or of an earlier life of the group has the
/// same. Drawn from the definition and not from the stored revision, which increases with each schema that a
/// producer registers too. `resource` is what the topic and tables of the life are named.
pub fn revision(group: &FeatureGroup, resource: &str) -> String {
    let body = FeatureGroupBody::from(group);
    let json = serde_json::to_vec(&body).expect("bodies have string keys and fail on nothing");
    let digest: [u8; 32] = Sha256::digest(json).into();
    let digest = digest[..8].iter().map(|byte| format!("{byte:02x}"));
    format!("{resource}.{}", digest.collect::<String>())
}

/// What a change wants to find.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Expected {
    #[default]
    Anything,
    /// A definition of one of these names, which [`revision`] gives.
    OneOf(Vec<String>),
}
