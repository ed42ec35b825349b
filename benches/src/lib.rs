//! What the measurements share: a platform or a deployment with rows in it, bare clients of the same
//! servers, percentiles, memory and processor time.

pub mod bare;
mod deployment;
mod load;
mod outcome;
mod probe;
mod rows;
mod usage;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use twinfold_client::{Platform, Receipt, WaitTarget};
use twinfold_embedded::Options;
use twinfold_model::{FeatureGroup, Positions};
use twinfold_testkit::bench_group;

pub use deployment::Deployment;
pub use load::Load;
pub use outcome::{Outcome, Stopwatch};
pub use probe::{Latencies, PROBE_EVERY};
pub use rows::{BATCH_ROWS, RowPool, wide_group};
pub use usage::{memory_mb, memory_mb_of, processor_seconds, settle};

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

/// Inserts `rows` rows, a batch of the pool at a time; gives a receipt that covers all.
pub async fn insert(
    platform: &dyn Platform,
    group: &FeatureGroup,
    pool: &RowPool,
    rows: usize,
) -> Receipt {
    let mut all = Receipt::new(group.id().clone(), group.id().resource_name(1), [0; 16]);
    all.end = Positions::new();
    for batch in pool.batches(rows) {
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
