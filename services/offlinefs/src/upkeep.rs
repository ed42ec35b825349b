//! Keeps histories in few files: merges the small ones, deletes those that nobody can ask for any more.

use std::collections::HashMap;
use std::num::NonZeroU64;
use std::sync::Arc;

use serde::Deserialize;
use twinfold_model::Commit;
use twinfold_store_offline::{OfflineStore, Result};

/// How histories are kept, as it stands in configuration; `default.toml` explains each.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UpkeepConfig {
    pub compaction_commits: NonZeroU64,
    pub retention_hours: u64,
}

/// The upkeep of all histories, one step of one history at a time.
///
/// It keeps nothing that a restart loses: the tables say when they were compacted.
#[derive(Debug)]
pub struct Upkeep {
    store: Arc<dyn OfflineStore>,
    config: UpkeepConfig,
    /// Per table, a commit up to which there is nothing to merge. Spares reading the same commits again.
    compacted: HashMap<String, u64>,
}

impl Upkeep {
    pub fn new(store: Arc<dyn OfflineStore>, config: UpkeepConfig) -> Self {
        Self {
            store,
            config,
            compacted: HashMap::new(),
        }
    }

    /// Whether so many commits were made since the last compaction that the next is due.
    pub async fn is_compaction_due(&mut self, table: &str) -> Result<bool> {
        let due_after = self.config.compaction_commits.get();
        let newest = self.newest_commit(table).await?;
        let known = self.compacted.get(table).copied().unwrap_or_default();
        if newest.saturating_sub(known) < due_after {
            return Ok(false);
        }
        // It may have been compacted by another process.
        let limit = usize::try_from(due_after).unwrap_or(usize::MAX);
        let commits = self.store.commits(table, None, limit).await?;
        match commits.iter().find(|commit| is_compaction(commit)) {
            Some(last) => {
                self.compacted.insert(table.to_owned(), last.id);
                Ok(false)
            }
            None => Ok(true),
        }
    }

    /// Merges some small files; true when more may be left.
    pub async fn compact(&mut self, table: &str) -> Result<bool> {
        let done = self.store.compact(table).await?;
        let newest = match done {
            Some(commit) => commit,
            None => self.newest_commit(table).await?,
        };
        self.compacted.insert(table.to_owned(), newest);
        Ok(done.is_some())
    }

    /// Deletes the files that no commit within the retention needs, and none of those that are pinned. Returns
    /// how many.
    pub async fn vacuum(&self, table: &str, pinned: &[u64]) -> Result<u64> {
        let hours = self.config.retention_hours;
        self.store.vacuum(table, hours, pinned).await
    }

    async fn newest_commit(&self, table: &str) -> Result<u64> {
        let newest = self.store.commits(table, None, 1).await?;
        Ok(newest.first().map_or(0, |commit| commit.id))
    }
}

/// Only a compaction writes without adding rows.
fn is_compaction(commit: &Commit) -> bool {
    commit.rows_upserted + commit.rows_deleted == 0 && commit.bytes > 0
}

#[cfg(test)]
mod tests;
