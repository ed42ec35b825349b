//! The whole platform in one process: wiring only.
//!
//! Opens the embedded backend of every store below one folder, starts the registry's reconcile loop
//! and both materializers, and puts the platform of `api` on them. It takes no decision that a deployment
//! lacks. The entry point is [`open`]; [`Server`] puts what it opened behind an address.

mod config;
mod engine;
mod failure;
mod folder;
mod platform;
mod progress;
mod retention;
mod server;
mod up;

use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;

use twinfold_client::{Error, Platform, Result};
use twinfold_http_kit::Router;
use twinfold_service_kit::telemetry::{self, TelemetryError};
use twinfold_service_kit::{Clock, SystemClock};

pub use config::{Config, DEFAULT_TOML, StoresConfig};
pub use server::Server;
pub use up::up;

/// How to open a platform; the default is what a deployment on a laptop wants.
#[derive(Debug, Clone)]
pub struct Options {
    pub config: Config,
    pub clock: Arc<dyn Clock>,
}

impl Options {
    /// `default.toml`, overridden by `TWINFOLD__SECTION__KEY` in the environment.
    pub fn from_env() -> Result<Self> {
        Self::read(None)
    }

    /// The same with a file, which overrides the defaults and not the environment.
    pub fn read(file: Option<&Path>) -> Result<Self> {
        Ok(Self {
            config: config::load(file)?,
            clock: Arc::new(SystemClock),
        })
    }
}

/// Sends log lines to standard error as the configuration says. Where the process logs already, by its
/// own choice or for a platform opened before, nothing changes.
pub fn log_to_stderr(config: &Config) -> Result<()> {
    match telemetry::init(&config.log.filter) {
        Ok(()) | Err(TelemetryError::AlreadyInitialized) => Ok(()),
        Err(error) => Err(Error::Invalid(twinfold_model::Error::InvalidConfig {
            reason: error.to_string(),
        })),
    }
}

/// A future whose code is compiled here, and not once more in every program that opens a platform.
type Opening<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'a>>;

/// Opens the platform in `folder`, which is made when it does not exist. Call within a tokio runtime:
/// the platform's tasks run on it.
pub fn open(folder: &Path, options: Options) -> Opening<'_, Arc<dyn Platform>> {
    Box::pin(async move {
        let opened = platform::open(folder, options).await?;
        Ok(Arc::new(opened.platform) as Arc<dyn Platform>)
    })
}

/// Opens the platform for a [`Server`], with the routes of a schema registry over its definitions.
pub fn open_to_serve(folder: &Path, options: Options) -> Opening<'_, (Arc<dyn Platform>, Router)> {
    Box::pin(async move {
        let opened = platform::open(folder, options).await?;
        let schema_registry = twinfold_registry::http::schema_registry(opened.registry);
        Ok((
            Arc::new(opened.platform) as Arc<dyn Platform>,
            schema_registry,
        ))
    })
}
