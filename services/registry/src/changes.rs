use tokio::sync::watch;
use tracing::warn;
use twinfold_store_metadata::Change;

use crate::{Registry, Result};

const FEED_PAGE_CHANGES_MAX: usize = 1_000;

impl Registry {
    /// The sequence of the newest change; it moves with every change of a definition or state.
    pub fn newest_change(&self) -> watch::Receiver<u64> {
        self.inner.newest_change.subscribe()
    }

    /// Changes after `sequence`, oldest first, at most `limit`.
    pub async fn changes(&self, after: u64, limit: usize) -> Result<Vec<Change>> {
        Ok(self.metadata().changes(after, limit).await?)
    }

    /// Tells who waits that something changed. The change itself is stored already, so a failure here
    /// is only late news, which the next pass of the loop brings.
    pub(crate) async fn announce(&self) {
        if let Err(error) = self.read_feed().await {
            warn!(%error, "change feed cannot be read");
        }
    }

    pub(crate) async fn read_feed(&self) -> Result<()> {
        let feed = &self.inner.newest_change;
        let mut newest = *feed.borrow();
        loop {
            let page = self.changes(newest, FEED_PAGE_CHANGES_MAX).await?;
            newest = page.last().map_or(newest, |change| change.sequence);
            if page.len() < FEED_PAGE_CHANGES_MAX {
                break;
            }
        }
        feed.send_if_modified(|known| {
            let is_newer = newest > *known;
            *known = newest.max(*known);
            is_newer
        });
        Ok(())
    }
}
