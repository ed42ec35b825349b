use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::warn;
use twinfold_model::EventTime;
use twinfold_service_kit::Clock;
use twinfold_store_online::OnlineStore;

/// Gives back the space of rows beyond their time to live, which no reader sees any more. Several processes
/// may do so: they find less to do.
#[derive(Debug)]
pub struct Expiry {
    pub online: Arc<dyn OnlineStore>,
    pub clock: Arc<dyn Clock>,
    pub interval: Duration,
}

impl Expiry {
    /// What fails is tried again after the next pause.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), Infallible> {
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return Ok(()),
                () = tokio::time::sleep(self.interval) => {}
            }
            let now = EventTime::from_micros(self.clock.now_us());
            if let Err(error) = self.online.expire(now).await {
                warn!(%error, "expired rows cannot be given back");
            }
        }
    }
}
