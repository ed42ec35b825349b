//! An open platform behind an address.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tracing::info;
use twinfold_api::http::{self, HttpLimits};
use twinfold_client::{Error, Platform, Result};
use twinfold_http_kit::Router;
use twinfold_service_kit::{TaskError, TaskGroup};

/// Answers requests until it is stopped. The platform is not its own: whoever opened it closes it after.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    tasks: TaskGroup,
}

impl Server {
    /// Serves the platform, and its schemas, on a port that is open already. Call within a tokio runtime.
    pub fn start(
        listener: TcpListener,
        platform: Arc<dyn Platform>,
        schema_registry: Router,
        limits: HttpLimits,
    ) -> Result<Self> {
        let address = listener.local_addr();
        let address = address.map_err(|error| Error::dependency("HTTP port", true, error))?;
        let router = http::router_with(platform, limits).merge(schema_registry);
        let tasks = TaskGroup::new(Handle::current());
        tasks.spawn("http", |shutdown| {
            twinfold_http_kit::serve(listener, router, shutdown)
        });
        info!(%address, "answering");
        Ok(Self { address, tasks })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns when it answers no more, although nobody stopped it.
    pub async fn failed(&self) -> TaskError {
        self.tasks.failed().await
    }

    /// Takes no request any more and waits for those under way, for as long as `deadline`.
    pub async fn stop(&self, deadline: Duration) -> Result<()> {
        let stopped = self.tasks.shutdown(deadline).await;
        stopped.map_err(|failure| Error::Internal(failure.to_string()))
    }
}
