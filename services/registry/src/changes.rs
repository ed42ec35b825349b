use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
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

    /// Learns what other processes change, and wakes the loop for it. Asked for and not pushed by the
    /// database: the answer is the end of an index, and there is no connection to lose news with.
    pub(crate) async fn follow_feed(&self, shutdown: &CancellationToken) {
        let mut is_readable = true;
        while !shutdown.is_cancelled() {
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(self.inner.config.feed_poll) => {}
            }
            match self.read_feed().await {
                Ok(is_news) => {
                    is_readable = true;
                    if is_news {
                        self.inner.work.notify_one();
                    }
                }
                // Told once, and not four times a second.
                Err(error) if is_readable => {
                    is_readable = false;
                    warn!(%error, "change feed cannot be read");
                }
                Err(_) => {}
            }
        }
    }

    /// Whether there was news.
    pub(crate) async fn read_feed(&self) -> Result<bool> {
        let newest = self.metadata().newest_change().await?;
        let feed = &self.inner.newest_change;
        Ok(feed.send_if_modified(|known| {
            let is_newer = newest > *known;
            *known = newest.max(*known);
            is_newer
        }))
    }
}
