use std::num::{NonZeroU64, NonZeroUsize};
use std::time::Duration;

use serde::Deserialize;
use twinfold_service_kit::StoreUrl;

use crate::{Budget, Limits};

/// Who is there needs milliseconds to answer; who is not would take all the time that there is to end in.
const PATIENCE: Duration = Duration::from_secs(2);

/// Bounds of one materializer as they stand in configuration; `default.toml` explains each.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub budget_bytes_max: NonZeroUsize,
    pub batch_rows_max: NonZeroUsize,
    pub batch_bytes_max: NonZeroUsize,
    pub batch_age_ms_max: u64,
    pub batch_idle_ms_max: u64,
    pub commit_interval_ms: NonZeroU64,
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
        Budget::new(self.budget_bytes_max.get())
    }

    /// `future_skew_ms_max` is one setting of the whole platform: materializers must judge alike.
    pub fn limits(&self, future_skew_ms_max: u64) -> Limits {
        let share = Budget::share(self.budget_bytes_max.get());
        Limits {
            batch_rows_max: self.batch_rows_max.get(),
            batch_bytes_max: self.batch_bytes_max.get().min(share),
            batch_age_ms_max: self.batch_age_ms_max,
            batch_idle_ms_max: self.batch_idle_ms_max,
            future_skew_max: Duration::from_millis(future_skew_ms_max),
            commit_interval_ms: self.commit_interval_ms.get(),
            retry_backoff_ms_max: self.retry_backoff_ms_max.get(),
            patience: PATIENCE,
        }
    }
}
