//! What a change of a feature group requires of the one that is stored.

use twinfold_model::ResourceState;

use crate::columns::state_columns;
use crate::{Error, GroupRecord, Result};

impl GroupRecord {
    pub(crate) fn require_revision(&self, wanted: u64) -> Result<()> {
        if self.revision == wanted {
            return Ok(());
        }
        Err(Error::StaleRevision {
            name: self.group.id().to_string(),
            found: self.revision,
            wanted,
        })
    }

    pub(crate) fn require_state(
        &self,
        wanted: &'static str,
        accepts: impl Fn(&ResourceState) -> bool,
    ) -> Result<()> {
        if accepts(&self.state) {
            return Ok(());
        }
        Err(Error::WrongState {
            name: self.group.id().to_string(),
            found: state_columns(&self.state).0.to_owned(),
            wanted,
        })
    }
}
