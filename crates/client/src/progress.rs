//! How far the materializers have come, as the topic knows it.

use twinfold_model::{Positions, ResourceState};
use twinfold_store_topic::TopicStore;

use crate::definitions::{deleted_meanwhile, not_ready};
use crate::{Error, GroupDefinition, IngestProgress, Result};

/// The names under which the materializers commit their progress.
pub const ONLINEFS: &str = "onlinefs";
pub const OFFLINEFS: &str = "offlinefs";

impl IngestProgress {
    /// What is committed: what a store has may be a little more.
    pub async fn committed(topics: &dyn TopicStore, definition: &GroupDefinition) -> Result<Self> {
        let topic = &definition.resource;
        let online = if definition.group.online_enabled() {
            Some(committed(topics, topic, ONLINEFS).await?)
        } else {
            None
        };
        Ok(Self {
            topic: ends(topics, topic).await?,
            online,
            offline: committed(topics, topic, OFFLINEFS).await?,
        })
    }
}

async fn committed(topics: &dyn TopicStore, topic: &str, consumer: &str) -> Result<Positions> {
    let progress = topics.progress(topic, consumer).await;
    progress.map_err(topic_failed)
}

/// The first offset of each partition that is not there yet.
pub async fn ends(topics: &dyn TopicStore, topic: &str) -> Result<Positions> {
    let bounds = topics.bounds(topic).await.map_err(topic_failed)?;
    let ends = bounds.iter().map(|bound| (bound.partition, bound.next));
    Ok(ends.collect())
}

/// A failure of the topic as one of the platform.
pub fn topic_failed(error: twinfold_store_topic::Error) -> Error {
    match error {
        twinfold_store_topic::Error::Closed => Error::Closed,
        other => Error::dependency("topic", other.retry(), other),
    }
}

/// A failure to append rows of a group: a topic that is not there is still to be made, or went with its group.
pub fn append_failed(definition: &GroupDefinition, error: twinfold_store_topic::Error) -> Error {
    let id = definition.group.id();
    match (error, &definition.state) {
        (twinfold_store_topic::Error::UnknownTopic { .. }, ResourceState::Active) => {
            deleted_meanwhile(id)
        }
        (twinfold_store_topic::Error::UnknownTopic { .. }, state) => not_ready(id, state),
        (other, _) => topic_failed(other),
    }
}
