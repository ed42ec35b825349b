//! Where log lines go: standard error, filtered, one line each.

use tracing_subscriber::EnvFilter;

#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    #[error(
        "log filter `{found}` is not valid: {reason}; wanted for example `info,twinfold=debug`"
    )]
    InvalidFilter { found: String, reason: String },
    #[error("logging is set up already in this process")]
    AlreadyInitialized,
}

/// Whether `filter` says which lines are wanted.
pub fn check(filter: &str) -> Result<(), TelemetryError> {
    parse(filter).map(drop)
}

/// Sends log lines that pass `filter` to standard error. Once per process.
pub fn init(filter: &str) -> Result<(), TelemetryError> {
    tracing_subscriber::fmt()
        .with_env_filter(parse(filter)?)
        .with_writer(std::io::stderr)
        .try_init()
        .map_err(|_| TelemetryError::AlreadyInitialized)
}

fn parse(filter: &str) -> Result<EnvFilter, TelemetryError> {
    EnvFilter::try_new(filter).map_err(|error| TelemetryError::InvalidFilter {
        found: filter.to_owned(),
        reason: error.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_that_means_nothing_is_named() {
        let error = check("twinfold=loud")
            .expect_err("no such level")
            .to_string();
        assert!(
            error.starts_with("log filter `twinfold=loud` is not valid"),
            "{error}"
        );
    }
}
