//! Gives space back that nobody needs any more. A deployment's engines do this by themselves.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::warn;
use twinfold_client::Definitions;
use twinfold_model::{EventTime, ResourceState};
use twinfold_service_kit::Clock;
use twinfold_store_online::OnlineStore;
use twinfold_store_topic::TopicStore;

pub(super) struct Maintenance {
    pub topics: Arc<dyn TopicStore>,
    pub online: Arc<dyn OnlineStore>,
    pub definitions: Arc<dyn Definitions>,
    pub clock: Arc<dyn Clock>,
    pub interval: Duration,
}

impl Maintenance {
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), Infallible> {
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return Ok(()),
                () = tokio::time::sleep(self.interval) => {}
            }
            // What fails is tried again after the next pause: nothing depends on it.
            if let Err(error) = self.expire_rows().await {
                warn!(%error, "expired rows cannot be given back");
            }
            if let Err(error) = self.forget_records().await {
                warn!(%error, "old records cannot be given back");
            }
        }
    }

    async fn expire_rows(&self) -> twinfold_store_online::Result<()> {
        let now = EventTime::from_micros(self.clock.now_us());
        self.online.expire(now).await
    }

    async fn forget_records(&self) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        for definition in self.definitions.groups().await? {
            if definition.state == ResourceState::Active {
                self.topics.enforce_retention(&definition.resource).await?;
            }
        }
        Ok(())
    }
}
