//! Keeps histories in few files: merges the small ones, deletes those that nobody can ask for any more.

use std::num::NonZeroU64;
use std::sync::Arc;

use serde::Deserialize;
use tracing::{debug, warn};
use twinfold_client::Definitions;
use twinfold_model::FeatureGroupId;
use twinfold_store_offline::OfflineStore;

/// How histories are kept, as it stands in configuration; `default.toml` explains each.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UpkeepConfig {
    pub compaction_commits: NonZeroU64,
    pub retention_hours: u64,
}

/// The upkeep of one history, which follows its commits.
#[derive(Debug)]
pub(crate) struct Upkeep {
    pub store: Arc<dyn OfflineStore>,
    pub definitions: Arc<dyn Definitions>,
    pub config: UpkeepConfig,
    pub group: FeatureGroupId,
    pub table: String,
    pub due: bool,
}

impl Upkeep {
    /// Commit ids say when it is due: that needs no state, and short-lived processes count on together.
    pub fn note_commit(&mut self, commit: u64) {
        self.due |= commit.is_multiple_of(self.config.compaction_commits.get());
    }

    /// Does what is due. A failure is told and not passed on: rows are in, and so many commits later it
    /// is tried again.
    pub async fn run_if_due(&mut self) {
        if !std::mem::take(&mut self.due) {
            return;
        }
        match self.run().await {
            Ok(deleted) => debug!(table = self.table, deleted, "history compacted"),
            Err(error) => warn!(table = self.table, %error, "history cannot be compacted"),
        }
    }

    async fn run(&self) -> Result<u64, Box<dyn std::error::Error + Send + Sync>> {
        self.store.compact(&self.table).await?;
        let pinned = self.definitions.pinned_commits(&self.group).await?;
        let hours = self.config.retention_hours;
        Ok(self.store.vacuum(&self.table, hours, &pinned).await?)
    }
}
