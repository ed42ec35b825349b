//! When the upkeep of histories is due.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};
use twinfold_client::{Definitions, GroupDefinition};
use twinfold_model::ResourceState;

use crate::Upkeep;

/// Looks after every history, one after the other, again and again. Several processes may do so: the
/// tables say what was done, and of two that merge the same files the second gives way.
#[derive(Debug)]
pub struct HistoryMaintenance {
    pub upkeep: Upkeep,
    pub definitions: Arc<dyn Definitions>,
    pub interval: Duration,
}

impl HistoryMaintenance {
    /// Begins with a pass, so that processes that end before the first pause is over have their share.
    pub async fn run(mut self, shutdown: CancellationToken) -> Result<(), Infallible> {
        loop {
            self.pass(&shutdown).await;
            if !pause(self.interval, &shutdown).await {
                return Ok(());
            }
        }
    }

    /// A step that has begun is waited for, so that nothing is written after the end. What fails is tried
    /// again in the next pass, and keeps nothing else from its turn.
    async fn pass(&mut self, shutdown: &CancellationToken) {
        for definition in active_groups(self.definitions.as_ref()).await {
            if shutdown.is_cancelled() {
                return;
            }
            let table = &definition.resource;
            // First what gives space back, because merging takes some.
            match self.upkeep.vacuum(&definition).await {
                Ok(deleted) => debug!(table, deleted, "history vacuumed"),
                Err(error) => warn!(table, %error, "history cannot be vacuumed"),
            }
            if let Err(error) = self.compact(table, shutdown).await {
                warn!(table, %error, "history cannot be compacted");
            }
        }
    }

    async fn compact(
        &mut self,
        table: &str,
        shutdown: &CancellationToken,
    ) -> twinfold_store_offline::Result<()> {
        if shutdown.is_cancelled() || !self.upkeep.is_compaction_due(table).await? {
            return Ok(());
        }
        while !shutdown.is_cancelled() && self.upkeep.compact(table).await? {
            debug!(table, "history compacted");
        }
        Ok(())
    }
}

async fn active_groups(definitions: &dyn Definitions) -> Vec<Arc<GroupDefinition>> {
    match definitions.groups().await {
        Ok(mut groups) => {
            groups.retain(|group| group.state == ResourceState::Active);
            groups
        }
        Err(error) => {
            warn!(%error, "feature groups cannot be listed for their maintenance");
            Vec::new()
        }
    }
}

/// False when it is time to end.
async fn pause(interval: Duration, shutdown: &CancellationToken) -> bool {
    tokio::select! {
        () = shutdown.cancelled() => false,
        () = tokio::time::sleep(interval) => true,
    }
}

#[cfg(test)]
mod tests;
