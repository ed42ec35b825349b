use std::future::Future;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::runtime::Handle;
use twinfold_client::{Platform, Result};
use twinfold_service_kit::process::{CLOSE_MIN, Failure, stop_signal};
use twinfold_service_kit::{TaskError, TaskGroup};

use crate::platform::{self, Opened};
use crate::{Options, Server, log_to_stderr};

/// Runs the platform in `folder` and answers at `address` until the process is told to stop.
pub async fn up(folder: &Path, address: SocketAddr, options: Options) -> Result<(), Failure> {
    let stop = stop_signal()?;
    log_to_stderr(&options.config)?;
    // Before the folder is opened: whether the port is free shows sooner, and is as often what is wrong.
    let listener = TcpListener::bind(address).await;
    let listener = listener.map_err(|error| format!("{address} cannot be opened: {error}"))?;
    let limits = options.config.http;
    let Opened {
        platform,
        registry,
        engine,
    } = Box::pin(platform::open(folder, options)).await?;
    let platform: Arc<dyn Platform> = Arc::new(platform);
    let schemas = twinfold_registry::http::schema_registry(registry);
    let server = Server::start(listener, Arc::clone(&platform), schemas, limits)?;
    println!("listening on http://{}", server.address());
    tokio::select! {
        () = stop.cancelled() => {}
        failure = server.failed() => eprintln!("twinfold: {failure}"),
    }
    // Requests and what runs behind the platform share it.
    let deadline = engine.ending();
    let stopped = server.stop(deadline.left()).await;
    // Its tasks have the time that is left, its stores a moment more.
    let wait_max = deadline.left().saturating_add(CLOSE_MIN);
    let closed = closed_within(wait_max, async move { platform.close().await }).await;
    stopped?;
    Ok(closed?)
}

/// Waits for the platform to be closed.
async fn closed_within(
    wait_max: Duration,
    closing: impl Future<Output = Result<()>> + Send + 'static,
) -> Result<(), TaskError> {
    let tasks = TaskGroup::new(Handle::current());
    tasks.spawn("closing the platform", |_| closing);
    tasks.shutdown(wait_max).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_platform_that_does_not_close_is_given_up() {
        let ample = Duration::from_secs(30);
        let closed = closed_within(ample, std::future::ready(Ok(()))).await;
        assert_eq!(closed, Ok(()));
        let closed = closed_within(Duration::ZERO, std::future::pending()).await;
        let given_up = TaskError::StillRunning {
            tasks: vec!["closing the platform".to_owned()],
            deadline_ms: 0,
        };
        assert_eq!(closed, Err(given_up));
    }
}
