use std::fmt;
use std::num::{NonZeroU32, NonZeroU64, NonZeroUsize};
use std::path::Path;
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
    pub partitions: NonZeroU32,
    pub retention_hours: NonZeroU64,
    pub future_skew_ms_max: u64,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainingConfig {
    pub memory_bytes_max: NonZeroUsize,
    pub queries_max: NonZeroUsize,
    pub queries_wait_ms_max: u64,
}

impl Config {
    pub fn registry(&self) -> twinfold_registry::Config {
        let retention_s = self.topic.retention_hours.get().saturating_mul(3_600);
        twinfold_registry::Config {
            topic_retention: Some(Duration::from_secs(retention_s)),
            ..twinfold_registry::Config::default()
        }
    }
}

/// The defaults, overridden by a file and by the environment; every fault is in the one error.
pub fn load(file: Option<&Path>) -> Result<Config> {
    config::load(DEFAULT_TOML, file, &Env, "TWINFOLD", faults).map_err(|faults| {
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
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn the_defaults_are_complete() {
        let config: Config = toml::from_str(DEFAULT_TOML).expect("default.toml");
        assert_eq!(config.topic.partitions.get(), 4);
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

    #[test]
    fn a_limit_of_nothing_is_a_fault() {
        let keys = [
            "TOPIC__PARTITIONS",
            "TOPIC__RETENTION_HOURS",
            "ONLINEFS__BUDGET_BYTES_MAX",
            "OFFLINEFS__BATCH_ROWS_MAX",
            "OFFLINEFS__BATCH_BYTES_MAX",
            "TRAINING__MEMORY_BYTES_MAX",
            "TRAINING__QUERIES_MAX",
            "HTTP__ROWS_BYTES_MAX",
            "HTTP__INSERTS_BYTES_MAX",
            "HTTP__JSON_BYTES_MAX",
            "HTTP__ENTRIES_MAX",
            "HTTP__VECTOR_READERS_MAX",
        ];
        let variables = keys.map(|key| (format!("TWINFOLD__{key}"), "0".to_owned()));
        let variables = BTreeMap::from(variables);
        let loaded = config::load::<Config>(DEFAULT_TOML, None, &variables, "TWINFOLD", faults);
        let told = loaded.expect_err("zeros").faults;
        assert_eq!(told.len(), keys.len(), "{told:?}");
        for fault in &told {
            assert!(fault.contains(": found `0`, wanted a nonzero "), "{fault}");
        }
    }

    #[test]
    fn a_retention_without_end_is_as_long_as_can_be_said() {
        let mut config: Config = toml::from_str(DEFAULT_TOML).expect("default.toml");
        config.topic.retention_hours = NonZeroU64::MAX;
        let longest = Duration::from_secs(u64::MAX);
        assert_eq!(config.registry().topic_retention, Some(longest));
    }

    #[test]
    fn a_file_overrides_the_defaults() {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        std::fs::write(file.path(), "[topic]\npartitions = 7").expect("written");
        let config = load(Some(file.path())).expect("valid");
        assert_eq!(config.topic.partitions.get(), 7);
        std::fs::write(file.path(), "[topic]\npartitions = 0").expect("written");
        let error = load(Some(file.path())).expect_err("zero").to_string();
        let wanted = "`topic.partitions`: found `0`, wanted a nonzero u32";
        assert!(error.contains(wanted), "{error}");
    }
}
