use std::num::NonZeroU64;
use std::time::Duration;

use serde::Deserialize;
use twinfold_service_kit::StoreUrl;

use crate::{Budget, Limits};

/// Bounds of one materializer as they stand in configuration; `default.toml` explains each.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub budget_bytes_max: usize,
    pub batch_rows_max: usize,
    pub batch_bytes_max: usize,
    pub batch_age_ms_max: u64,
    pub batch_idle_ms_max: u64,
    pub commit_interval_ms: u64,
    pub retry_backoff_ms_max: NonZeroU64,
}

/// The topics that a materializer consumes.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TopicConfig {
    pub url: StoreUrl,
    pub future_skew_ms_max: u64,
}

/// What a materializer does beside consuming.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MaintenanceConfig {
    interval_s: u64,
}

impl MaintenanceConfig {
    /// Between two passes; `None` when others make them.
    pub fn interval(&self) -> Option<Duration> {
        (self.interval_s > 0).then(|| Duration::from_secs(self.interval_s))
    }
}

impl Config {
    /// What all groups of the materializer share.
    pub fn budget(&self) -> Budget {
        Budget::new(self.budget_bytes_max)
    }

    /// `future_skew_ms_max` is one setting of the whole platform: materializers must judge alike.
    pub fn limits(&self, future_skew_ms_max: u64) -> Limits {
        Limits {
            batch_rows_max: self.batch_rows_max,
            batch_bytes_max: self
                .batch_bytes_max
                .min(Budget::share(self.budget_bytes_max)),
            batch_age_ms_max: self.batch_age_ms_max,
            batch_idle_ms_max: self.batch_idle_ms_max,
            future_skew_max: Duration::from_millis(future_skew_ms_max),
            commit_interval_ms: self.commit_interval_ms,
            retry_backoff_ms_max: self.retry_backoff_ms_max.get(),
        }
    }
}
