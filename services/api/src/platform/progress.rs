//! How far the stores have come with the rows of the topic.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use twinfold_client::{GroupDefinition, Result, topic_failed};
use twinfold_model::Positions;
use twinfold_store_topic::TopicStore;

/// Between two looks at what is committed.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// How far one store has come with one group.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reached {
    /// Per partition, the first offset whose row may not be readable yet.
    pub positions: Positions,
    /// What stands in the way, as far as it is known here.
    pub failing: Option<String>,
}

/// The progress of one store.
#[async_trait]
pub trait StoreProgress: Debug + Send + Sync {
    async fn reached(&self, definition: &GroupDefinition) -> Result<Reached>;

    /// Waits for news: true once the store has passed these positions, false when it is time to see
    /// whether the group is still the same, and to ask again.
    async fn has_passed(&self, definition: &GroupDefinition, end: &Positions) -> Result<bool>;
}

/// What a materializer in another process has committed in the topic.
#[derive(Debug)]
pub struct CommittedProgress {
    topics: Arc<dyn TopicStore>,
    consumer: &'static str,
}

impl CommittedProgress {
    pub fn new(topics: Arc<dyn TopicStore>, consumer: &'static str) -> Self {
        Self { topics, consumer }
    }

    async fn positions(&self, definition: &GroupDefinition) -> Result<Positions> {
        let progress = self.topics.progress(&definition.resource, self.consumer);
        progress.await.map_err(topic_failed)
    }
}

#[async_trait]
impl StoreProgress for CommittedProgress {
    async fn reached(&self, definition: &GroupDefinition) -> Result<Reached> {
        Ok(Reached {
            positions: self.positions(definition).await?,
            failing: None,
        })
    }

    async fn has_passed(&self, definition: &GroupDefinition, end: &Positions) -> Result<bool> {
        match self.positions(definition).await {
            Ok(positions) if positions.covers(end) => return Ok(true),
            // A broker that does not answer for a while is not the end of a wait.
            Ok(_) => {}
            Err(error) if error.retry() => tracing::debug!(%error, "progress is not known"),
            Err(error) => return Err(error),
        }
        tokio::time::sleep(LOOK_INTERVAL).await;
        Ok(false)
    }
}
