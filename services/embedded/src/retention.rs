use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::warn;
use twinfold_client::Definitions;
use twinfold_model::ResourceState;
use twinfold_store_topic::TopicStore;

/// Gives back the space of old records in the log, which the servers of a deployment do by themselves.
#[derive(Debug)]
pub struct Retention {
    pub topics: Arc<dyn TopicStore>,
    pub definitions: Arc<dyn Definitions>,
    pub interval: Duration,
}

impl Retention {
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), Infallible> {
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return Ok(()),
                () = tokio::time::sleep(self.interval) => self.pass(&shutdown).await,
            }
        }
    }

    /// What fails is tried again in the next pass, and keeps nothing else from its turn.
    async fn pass(&self, shutdown: &CancellationToken) {
        let groups = match self.definitions.groups().await {
            Ok(groups) => groups,
            Err(error) => {
                warn!(%error, "feature groups cannot be listed for their maintenance");
                return;
            }
        };
        let active = groups
            .iter()
            .filter(|group| group.state == ResourceState::Active);
        for definition in active {
            if shutdown.is_cancelled() {
                return;
            }
            let topic = &definition.resource;
            if let Err(error) = self.topics.enforce_retention(topic).await {
                warn!(topic, %error, "old records cannot be given back");
            }
        }
    }
}
