//! Which state of a feature group a change is meant for.

use sha2::{Digest, Sha256};
use twinfold_store_metadata::GroupRecord;
use twinfold_wire::rest::FeatureGroupBody;

use crate::{Error, Result};

/// A name of a group's definition: no other definition of this or of an earlier life of the group has the
/// same. Drawn from the definition and not from the stored revision, which increases with each schema that a
/// producer registers too.
pub fn revision(record: &GroupRecord) -> String {
    let body = FeatureGroupBody::from(&record.group);
    let json = serde_json::to_vec(&body).expect("bodies have string keys and fail on nothing");
    let digest: [u8; 32] = Sha256::digest(json).into();
    let digest = digest[..8].iter().map(|byte| format!("{byte:02x}"));
    format!("{}.{}", record.resource, digest.collect::<String>())
}

/// What a change wants to find.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Expected {
    #[default]
    Anything,
    /// A definition of one of these names, which [`revision`] gives.
    OneOf(Vec<String>),
}

impl Expected {
    /// [`Error::Stale`] when the group is not as it is wanted.
    pub fn check(&self, record: &GroupRecord) -> Result<()> {
        let Self::OneOf(wanted) = self else {
            return Ok(());
        };
        let found = revision(record);
        if wanted.contains(&found) {
            return Ok(());
        }
        Err(Error::Stale {
            group: record.group.id().clone(),
            found,
            wanted: wanted.join(" or "),
        })
    }
}
