//! Whether a feature group is in the state that a change is meant for.

use twinfold_client::Expected;
use twinfold_store_metadata::GroupRecord;

use crate::{Error, Result};

/// What names the definition; see [`twinfold_client::revision`].
pub(crate) fn revision(record: &GroupRecord) -> String {
    twinfold_client::revision(&record.group, &record.resource)
}

/// [`Error::Stale`] when the group is not as it is expected to be.
pub(crate) fn require(expected: &Expected, record: &GroupRecord) -> Result<()> {
    let Expected::OneOf(wanted) = expected else {
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
