use std::sync::Arc;

use twinfold_model::FeatureGroupId;

use super::RemotePlatform;
use crate::writer::TopicWriter;
use crate::{Catalog as _, Error, GroupDefinition, Result, topic_failed};

/// The topic itself, for a caller that can reach it.
#[derive(Debug)]
pub(super) struct Direct {
    pub(super) writer: TopicWriter,
}

impl Direct {
    pub(super) async fn open(topic: &str) -> Result<Self> {
        let topics = twinfold_store_topic::open(topic).await;
        Ok(Self {
            writer: TopicWriter {
                topics: topics.map_err(topic_failed)?,
            },
        })
    }

    pub(super) async fn close(&self) -> Result<()> {
        self.writer.topics.close().await.map_err(topic_failed)
    }
}

impl RemotePlatform {
    /// The group as it is now, so that no row is written under an old definition.
    pub(super) async fn writable(&self, id: &FeatureGroupId) -> Result<Arc<GroupDefinition>> {
        let found = self
            .feature_group(id.name.as_str(), Some(id.version))
            .await?;
        if found.group.id() == id {
            return Ok(found);
        }
        Err(Error::NotFound {
            what: "feature group".into(),
            name: id.to_string(),
            hint: format!("; the platform is that of project `{}`", self.project),
        })
    }
}
