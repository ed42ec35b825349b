//! What the measurements share: a platform with rows in it, percentiles, memory.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use twinfold_client::{Platform, Receipt, WaitTarget};
use twinfold_embedded::Options;
use twinfold_model::{FeatureGroup, Positions};
use twinfold_testkit::{bench_group, bench_rows};

/// Rows per batch of the generator.
pub const BATCH_ROWS: usize = 20_000;

/// Opens an embedded platform with the benchmark's feature group in it.
pub async fn platform(folder: &Path) -> (Arc<dyn Platform>, FeatureGroup) {
    let options = Options::from_env().expect("options");
    let platform = twinfold_embedded::open(folder, options)
        .await
        .expect("open");
    let group = bench_group();
    platform
        .create_feature_group(group.clone())
        .await
        .expect("create");
    (platform, group)
}

/// Inserts `rows` rows made on the way, so that memory holds only a batch of them; gives a receipt
/// that covers all.
pub async fn insert(platform: &dyn Platform, group: &FeatureGroup, rows: usize) -> Receipt {
    let mut all = Receipt::new(group.id().clone(), [0; 16]);
    all.end = Positions::new();
    for first in (0..rows).step_by(BATCH_ROWS) {
        let batch = bench_rows(first as i64, BATCH_ROWS.min(rows - first), 0);
        let part = platform
            .insert(group.id(), vec![batch], &|_| ())
            .await
            .expect("insert");
        all.end.merge(&part.end);
        all.rows += part.rows;
    }
    all
}

/// How long until the stores have a receipt's rows.
pub async fn wait(
    platform: &dyn Platform,
    receipt: &Receipt,
    online: bool,
    offline: bool,
) -> Duration {
    let started = Instant::now();
    let target = WaitTarget { online, offline };
    platform
        .wait(receipt, target, Duration::from_secs(1_800))
        .await
        .expect("wait");
    started.elapsed()
}

/// The value below which `share` of the samples lie.
pub fn percentile(samples: &mut [f64], share: f64) -> f64 {
    samples.sort_by(f64::total_cmp);
    let place = (samples.len() as f64 * share) as usize;
    samples[place.min(samples.len() - 1)]
}

/// Resident memory now and at its highest, in MB, as the kernel counts it.
pub fn memory_mb() -> (u64, u64) {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let value = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name));
        let kb = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
        kb.unwrap_or(0) / 1_024
    };
    (value("VmRSS:"), value("VmHWM:"))
}
