//! When the upkeep of histories is due.

use std::convert::Infallible;
use std::error::Error;
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

    /// A step that has begun is waited for, so that nothing is written after the end; what only asks is not.
    /// What fails is tried again in the next pass, and keeps nothing else from its turn.
    async fn pass(&mut self, shutdown: &CancellationToken) {
        let listing = active_groups(self.definitions.as_ref());
        let groups = shutdown.run_until_cancelled(listing).await;
        for definition in groups.unwrap_or_default() {
            if shutdown.is_cancelled() {
                return;
            }
            let table = &definition.resource;
            // First what gives space back, because merging takes some.
            if let Err(error) = self.vacuum(&definition, shutdown).await {
                warn!(table, %error, "history cannot be vacuumed");
            }
            if let Err(error) = self.compact(table, shutdown).await {
                warn!(table, %error, "history cannot be compacted");
            }
        }
    }

    async fn vacuum(
        &self,
        definition: &GroupDefinition,
        shutdown: &CancellationToken,
    ) -> Result<(), Box<dyn Error + Send + Sync>> {
        let asking = self.definitions.pinned_commits(definition.group.id());
        let Some(pinned) = shutdown.run_until_cancelled(asking).await else {
            return Ok(());
        };
        let table = &definition.resource;
        let deleted = self.upkeep.vacuum(table, &pinned?).await?;
        debug!(table, deleted, "history vacuumed");
        Ok(())
    }

    async fn compact(
        &mut self,
        table: &str,
        shutdown: &CancellationToken,
    ) -> twinfold_store_offline::Result<()> {
        let looking = self.upkeep.is_compaction_due(table);
        let is_due = shutdown.run_until_cancelled(looking).await;
        if !is_due.unwrap_or(Ok(false))? {
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
