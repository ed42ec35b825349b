use std::num::NonZeroU64;
use std::time::Duration;

use serde::Deserialize;
use twinfold_client::{Error, Result};
use twinfold_service_kit::{Env, config};

/// What `default.toml`, a file and the environment say together.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub platform: PlatformConfig,
    pub stores: StoresConfig,
    pub log: LogConfig,
    pub topic: TopicConfig,
    pub onlinefs: twinfold_ingest::Config,
    pub offlinefs: twinfold_ingest::Config,
    pub history: twinfold_offlinefs::UpkeepConfig,
    pub training: TrainingConfig,
    pub http: twinfold_api::http::HttpLimits,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlatformConfig {
    pub project: String,
    pub reconcile_timeout_ms_max: u64,
    pub shutdown_ms_max: u64,
    pub maintenance_interval_s: NonZeroU64,
}

/// Where each store is; empty for the embedded one below the platform's folder.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoresConfig {
    pub metadata: String,
    pub topic: String,
    pub online: String,
    pub offline: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogConfig {
    pub filter: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TopicConfig {
    pub partitions: u32,
    pub retention_hours: u64,
    pub future_skew_ms_max: u64,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainingConfig {
    pub memory_bytes_max: usize,
}

impl Config {
    pub fn registry(&self) -> twinfold_registry::Config {
        twinfold_registry::Config {
            topic_retention: Some(Duration::from_secs(self.topic.retention_hours * 3_600)),
            ..twinfold_registry::Config::default()
        }
    }
}

/// The defaults, overridden by the environment; every fault is in the one error.
pub fn load() -> Result<Config> {
    config::load(DEFAULT_TOML, None, &Env, "TWINFOLD").map_err(|faults| {
        Error::Invalid(twinfold_model::Error::InvalidConfig {
            reason: faults.to_string(),
        })
    })
}

/// The defaults, with every setting.
pub const DEFAULT_TOML: &str = include_str!("../default.toml");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_complete() {
        let config: Config = toml::from_str(DEFAULT_TOML).expect("default.toml");
        assert_eq!(config.topic.partitions, 4);
        assert_eq!(config.http, twinfold_api::http::HttpLimits::default());
    }
}
