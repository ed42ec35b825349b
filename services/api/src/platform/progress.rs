//! How far the stores have come with the rows of the topic.

use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;
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
    /// By topic, those that somebody waits for.
    looks: Mutex<HashMap<String, Weak<Look>>>,
}

/// One of those that wait for a topic looks at a time, and all hear what it saw: however many wait, the
/// brokers are asked once. When it goes, another has its turn.
#[derive(Debug, Default)]
struct Look {
    turn: tokio::sync::Mutex<()>,
    /// Never more than what is committed.
    seen: watch::Sender<Positions>,
}

impl CommittedProgress {
    pub fn new(topics: Arc<dyn TopicStore>, consumer: &'static str) -> Self {
        Self {
            topics,
            consumer,
            looks: Mutex::default(),
        }
    }

    async fn positions(&self, definition: &GroupDefinition) -> Result<Positions> {
        let progress = self.topics.progress(&definition.resource, self.consumer);
        progress.await.map_err(topic_failed)
    }

    fn look(&self, topic: &str) -> Arc<Look> {
        let mut looks = self.looks.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(look) = looks.get(topic).and_then(Weak::upgrade) {
            return look;
        }
        looks.retain(|_, look| look.strong_count() > 0);
        let look = Arc::<Look>::default();
        looks.insert(topic.to_owned(), Arc::downgrade(&look));
        look
    }

    /// Looks once, and lets a while go by unless that was enough.
    async fn take_turn(
        &self,
        look: &Look,
        definition: &GroupDefinition,
        end: &Positions,
    ) -> Result<bool> {
        match self.positions(definition).await {
            Ok(positions) => {
                let has_passed = positions.covers(end);
                look.seen.send_replace(positions);
                if has_passed {
                    return Ok(true);
                }
            }
            // A broker that does not answer for a while is not the end of a wait.
            Err(error) if error.retry() => tracing::debug!(%error, "progress is not known"),
            Err(error) => return Err(error),
        }
        tokio::time::sleep(LOOK_INTERVAL).await;
        Ok(false)
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
        let look = self.look(&definition.resource);
        let mut seen = look.seen.subscribe();
        if seen.borrow_and_update().covers(end) {
            return Ok(true);
        }
        tokio::select! {
            // Who has heard news need not look for them.
            biased;
            changed = seen.changed() => {
                let has_passed = changed.is_ok() && seen.borrow().covers(end);
                Ok(has_passed)
            }
            turn = look.turn.lock() => {
                let has_passed = self.take_turn(&look, definition, end).await;
                drop(turn);
                has_passed
            }
        }
    }
}
