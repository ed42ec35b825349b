//! What the measurements share: a platform with rows in it, percentiles, memory.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{Int64Array, TimestampMicrosecondArray};
use arrow::record_batch::RecordBatch;
use twinfold_client::{Platform, Receipt, WaitTarget};
use twinfold_embedded::Options;
use twinfold_model::{FeatureGroup, Positions};
use twinfold_testkit::{BENCH_START_US, bench_group, bench_rows};

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

/// Rows of the benchmark's group that cost next to nothing to make while a clock runs: batches made
/// before, each time with other keys.
pub struct RowPool {
    batches: Vec<RecordBatch>,
}

impl RowPool {
    /// Far more bytes than any compressor looks back.
    const BATCHES: usize = 8;

    #[expect(clippy::new_without_default, reason = "it takes a while")]
    pub fn new() -> Self {
        let batch = |index| bench_rows((index * BATCH_ROWS) as i64, BATCH_ROWS, 0);
        Self {
            batches: (0..Self::BATCHES).map(batch).collect(),
        }
    }

    /// `count` rows, at most [`BATCH_ROWS`], with ids from `first` on. Ids and event times are as
    /// [`bench_rows`] has them.
    pub fn batch(&self, first: usize, count: usize) -> RecordBatch {
        let rows = self.batches[first / BATCH_ROWS % Self::BATCHES].slice(0, count);
        let ids = first as i64..(first + count) as i64;
        let times = ids.clone().map(|id| BENCH_START_US + id * 1_000);
        let mut columns = rows.columns().to_vec();
        columns[1] =
            Arc::new(TimestampMicrosecondArray::from_iter_values(times).with_timezone("UTC"));
        columns[0] = Arc::new(Int64Array::from_iter_values(ids));
        RecordBatch::try_new(rows.schema(), columns).expect("the same types")
    }

    /// All batches of `rows` rows.
    pub fn batches(&self, rows: usize) -> impl Iterator<Item = RecordBatch> {
        let firsts = (0..rows).step_by(BATCH_ROWS);
        firsts.map(move |first| self.batch(first, BATCH_ROWS.min(rows - first)))
    }
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
