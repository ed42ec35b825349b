use async_trait::async_trait;
use twinfold_api::platform::{Reached, StoreProgress};
use twinfold_client::{GroupDefinition, Result};
use twinfold_ingest::{Status, Statuses};
use twinfold_model::Positions;

/// What a materializer in this process has written, as soon as it has.
#[derive(Debug)]
pub struct WrittenProgress(pub Statuses);

#[async_trait]
impl StoreProgress for WrittenProgress {
    async fn reached(&self, definition: &GroupDefinition) -> Result<Reached> {
        let status = self.0.watch(definition.group.id());
        let Status { positions, failing } = status.borrow().clone();
        Ok(Reached { positions, failing })
    }

    async fn has_passed(&self, definition: &GroupDefinition, end: &Positions) -> Result<bool> {
        let mut status = self.0.watch(definition.group.id());
        let passed = status.wait_for(|status| status.positions.covers(end));
        // Its loop is forgotten when the group is gone, or was made again.
        Ok(passed.await.is_ok())
    }
}
