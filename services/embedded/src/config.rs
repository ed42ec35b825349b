use std::fmt;
use std::num::NonZeroU64;
use std::time::Duration;

use serde::Deserialize;
use twinfold_client::{Error, Result};
use twinfold_model::ProjectName;
use twinfold_service_kit::{Env, Fault, config, fault, telemetry};

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
#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoresConfig {
    pub metadata: String,
    pub topic: String,
    pub online: String,
    pub offline: String,
}

impl fmt::Debug for StoresConfig {
    /// Leaves the URLs out: passwords are among their settings.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoresConfig").finish_non_exhaustive()
    }
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
    config::load(DEFAULT_TOML, None, &Env, "TWINFOLD", faults).map_err(|faults| {
        Error::Invalid(twinfold_model::Error::InvalidConfig {
            reason: faults.to_string(),
        })
    })
}

/// What the types of the configuration cannot say of it.
fn faults(config: &Config) -> Vec<Fault> {
    let StoresConfig {
        metadata,
        topic,
        online,
        offline,
    } = &config.stores;
    let project = ProjectName::new(config.platform.project.as_str());
    let checked = [
        fault("platform.project", project),
        fault("log.filter", telemetry::check(&config.log.filter)),
        named(metadata)
            .and_then(|url| fault("stores.metadata", twinfold_store_metadata::check(url))),
        named(topic).and_then(|url| fault("stores.topic", twinfold_store_topic::check(url))),
        named(online).and_then(|url| fault("stores.online", twinfold_store_online::check(url))),
        named(offline).and_then(|url| fault("stores.offline", twinfold_store_offline::check(url))),
    ];
    checked.into_iter().flatten().collect()
}

/// The url of a store that is not below the platform's folder.
fn named(url: &str) -> Option<&str> {
    (!url.is_empty()).then_some(url)
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

    #[test]
    fn what_types_cannot_say_is_checked() {
        let mut config: Config = toml::from_str(DEFAULT_TOML).expect("default.toml");
        assert!(faults(&config).is_empty());
        config.platform.project = "Ours".to_owned();
        config.log.filter = "twinfold=loud".to_owned();
        config.stores.topic = "kafka://nowhere".to_owned();
        config.stores.offline = "gs://bucket".to_owned();
        let found = faults(&config);
        let keys: Vec<_> = found.iter().map(|fault| fault.key).collect();
        let expected = [
            "platform.project",
            "log.filter",
            "stores.topic",
            "stores.offline",
        ];
        assert_eq!(keys, expected);
    }
}
