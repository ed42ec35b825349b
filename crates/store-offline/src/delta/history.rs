//! The past of a table: its commits, and the table as one of them left it.

use std::sync::Arc;

use futures::{StreamExt, TryStreamExt, stream};
use twinfold_model::{AsOf, Commit, EventTime};

use super::scan::FrozenTable;
use super::table::{Head, Table};
use crate::{Error, Result, Snapshot};

/// Commits of a listing that are read at the same time.
const LISTING_READS_MAX: usize = 8;

impl Table {
    pub(super) async fn commits(&self, before: Option<u64>, limit: usize) -> Result<Vec<Commit>> {
        let head = self.head().await?;
        let all = head.commit + 1;
        let ids = (0..before.map_or(all, |before| before.min(all))).rev();
        let ids = ids.take(limit);
        stream::iter(ids)
            .map(|id| self.standing(id))
            .buffered(LISTING_READS_MAX)
            .try_collect()
            .await
    }

    pub(super) async fn snapshot(&self, as_of: Option<AsOf>) -> Result<Snapshot> {
        let head = self.head().await?;
        let commit = match as_of {
            None => head.commit,
            Some(AsOf::Commit(found)) if found > head.commit => {
                return Err(Error::UnknownCommit {
                    table: self.name.clone(),
                    found,
                    newest: head.commit,
                });
            }
            Some(AsOf::Commit(commit)) => commit,
            Some(AsOf::Time(time)) => self.last_commit_at(&head, time).await?,
        };
        let (delta, schema, positions) = if commit == head.commit {
            let delta = self.state(&head).await?.clone();
            (delta, head.schema.clone(), head.positions.clone())
        } else {
            let delta = self.load(Some(commit)).await?;
            let schema = self.schema_of(&delta)?;
            let positions = self.standing(commit).await?.positions;
            (delta, schema, positions)
        };
        Ok(Snapshot {
            name: self.name.clone(),
            commit,
            positions,
            schema: schema.clone(),
            table: Arc::new(FrozenTable::new(delta, schema)?),
        })
    }

    /// Times of standing commits never decrease, so the commit is found by halving.
    async fn last_commit_at(&self, head: &Head, time: EventTime) -> Result<u64> {
        if head.committed_at <= time {
            return Ok(head.commit);
        }
        let (mut low, mut high) = (0, head.commit);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.standing(middle).await?.committed_at <= time {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low.checked_sub(1).ok_or_else(|| Error::BeforeFirstCommit {
            table: self.name.clone(),
            found: time,
        })
    }
}
