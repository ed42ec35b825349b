use tokio::sync::watch;
use tracing::warn;
use twinfold_store_metadata::Change;

use crate::{Registry, Result};

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
        let newest = self.metadata().newest_change().await?;
        let feed = &self.inner.newest_change;
        feed.send_if_modified(|known| {
            let is_newer = newest > *known;
            *known = newest.max(*known);
            is_newer
        });
        Ok(())
    }
}
