use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use twinfold_embedded::{Options, Server};
use twinfold_service_kit::process::{Failure, stop_signal};

/// A feature platform: every row twice, its newest value online and its whole history in Delta Lake.
#[derive(Debug, Parser)]
#[command(name = "twinfold", version)]
enum Command {
    /// Runs the platform in a folder and answers over HTTP until told to stop.
    Up {
        /// Where everything is kept; made when it is not there.
        #[arg(long)]
        folder: PathBuf,
        /// Where it answers; port 0 takes a free one. Whoever reaches it may do everything.
        #[arg(long, default_value = "127.0.0.1:8100")]
        address: SocketAddr,
    },
}

fn main() -> ExitCode {
    let Command::Up { folder, address } = Command::parse();
    let runtime = Runtime::new().map_err(Failure::from);
    match runtime.and_then(|runtime| runtime.block_on(up(&folder, address))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("twinfold: {failure}");
            ExitCode::FAILURE
        }
    }
}

async fn up(folder: &Path, address: SocketAddr) -> Result<(), Failure> {
    let stop = stop_signal()?;
    let options = Options::from_env()?;
    twinfold_embedded::log_to_stderr(&options.config)?;
    // Before the folder is opened: whether the port is free shows sooner, and is as often what is wrong.
    let listener = TcpListener::bind(address).await;
    let listener = listener.map_err(|error| format!("{address} cannot be opened: {error}"))?;
    let limits = options.config.http;
    let deadline = Duration::from_millis(options.config.platform.shutdown_ms_max);
    let (platform, schemas) = twinfold_embedded::open_to_serve(folder, options).await?;
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
