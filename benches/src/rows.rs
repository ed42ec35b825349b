//! Rows for measurements.

use std::sync::Arc;

use arrow::array::{Float64Array, Int64Array, TimestampMicrosecondArray};
use arrow::record_batch::RecordBatch;
use twinfold_model::{Feature, FeatureGroup, FeatureGroupId, FeatureType};
use twinfold_testkit::{BENCH_START_US, arrow_schema, bench_group, bench_rows};

/// Rows per batch of the generator.
pub const BATCH_ROWS: usize = 20_000;
/// Of the benchmark's own group.
const FEATURES: usize = 11;

/// The benchmark's group under another name, with as many doubles behind its own features as bring it to
/// `features`.
pub fn wide_group(name: &str, features: usize) -> FeatureGroup {
    let mut spec = bench_group().to_spec();
    spec.id = FeatureGroupId::new("default", name, 1).expect("an id");
    let further = (spec.features.len()..features).map(|place| {
        let name = format!("feature_{place}");
        Feature::new(&name, FeatureType::Double).expect("a feature")
    });
    spec.features.extend(further);
    FeatureGroup::new(spec).expect("a group")
}

fn widened(rows: &RecordBatch, features: usize) -> RecordBatch {
    let schema = arrow_schema(&wide_group("wide", features));
    let mut columns = rows.columns().to_vec();
    for place in columns.len()..features {
        let doubles = (0..rows.num_rows()).map(|row| fraction((row * features + place) as u64));
        columns.push(Arc::new(Float64Array::from_iter_values(doubles)));
    }
    RecordBatch::try_new(schema, columns).expect("columns fit the group")
}

/// From 0 to 1, with digits that no compressor foresees.
fn fraction(seed: u64) -> f64 {
    (seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 11) as f64 / (1_u64 << 53) as f64
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
        Self::with_features(FEATURES)
    }

    /// Rows of a [`wide_group`].
    pub fn with_features(features: usize) -> Self {
        let batch = |index| {
            let rows = bench_rows((index * BATCH_ROWS) as i64, BATCH_ROWS, 0);
            widened(&rows, features)
        };
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
