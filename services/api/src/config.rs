use std::num::NonZeroUsize;

use serde::Deserialize;

/// Bounds of queries over histories as they stand in configuration; `default.toml` explains each.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainingConfig {
    pub memory_bytes_max: NonZeroUsize,
    pub queries_max: NonZeroUsize,
    pub queries_wait_ms_max: u64,
}
