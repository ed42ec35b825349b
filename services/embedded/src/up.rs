use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use twinfold_service_kit::process::{Failure, stop_signal};

use crate::{Options, Server, log_to_stderr, open_to_serve};

/// Runs the platform in `folder` and answers at `address` until the process is told to stop.
pub async fn up(folder: &Path, address: SocketAddr, options: Options) -> Result<(), Failure> {
    let stop = stop_signal()?;
    log_to_stderr(&options.config)?;
    // Before the folder is opened: whether the port is free shows sooner, and is as often what is wrong.
    let listener = TcpListener::bind(address).await;
    let listener = listener.map_err(|error| format!("{address} cannot be opened: {error}"))?;
    let limits = options.config.http;
    let deadline = Duration::from_millis(options.config.platform.shutdown_ms_max);
    let (platform, schemas) = open_to_serve(folder, options).await?;
    let server = Server::start(listener, Arc::clone(&platform), schemas, limits)?;
    println!("listening on http://{}", server.address());
    tokio::select! {
        () = stop.cancelled() => {}
        failure = server.failed() => eprintln!("twinfold: {failure}"),
    }
    let stopped = server.stop(deadline).await;
    platform.close().await?;
    Ok(stopped?)
}
