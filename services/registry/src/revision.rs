//! Which state of a feature group a change is meant for.

use twinfold_store_metadata::GroupRecord;

use crate::{Error, Result};

/// A name of a group's definition as it is: no other definition of this or of an earlier life of the group
/// has the same.
pub fn revision(record: &GroupRecord) -> String {
    format!("{}.{}", record.resource, record.revision)
}

/// What a change wants to find.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Expected {
    #[default]
    Anything,
    /// Any of these revisions.
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
