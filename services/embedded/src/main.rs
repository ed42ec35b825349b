use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use tokio::runtime::Runtime;
use twinfold_embedded::{Options, up};
use twinfold_service_kit::process::{BAD_CONFIGURATION, Failure};

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
        /// A file in TOML with the settings that are not to have their defaults.
        #[arg(long)]
        config: Option<PathBuf>,
    },
}

fn main() -> ExitCode {
    let Command::Up {
        folder,
        address,
        config,
    } = Command::parse();
    let options = match Options::read(config.as_deref()) {
        Ok(options) => options,
        Err(error) => {
            eprintln!("twinfold: {error}");
            return ExitCode::from(BAD_CONFIGURATION);
        }
    };
    match run(&folder, address, options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("twinfold: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn run(folder: &Path, address: SocketAddr, options: Options) -> Result<(), Failure> {
    let runtime = Runtime::new()?;
    let outcome = runtime.block_on(up(folder, address, options));
    // What still runs has been named, and had its time.
    runtime.shutdown_background();
    outcome
}
