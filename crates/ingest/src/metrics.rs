//! What a loop tells the outside of itself; `docs/operations.md` says what each number means.
//!
//! Told per fetch or per batch, never per row. No handle is kept: what was idle for long is forgotten
//! (see `service_kit::admin`), and a handle from before would be told in vain.

use std::sync::Arc;
use std::time::Duration;

use metrics::{Label, SharedString, counter, gauge, histogram};
use twinfold_model::{EventTime, FeatureGroupId};

const LAG_RECORDS: &str = "twinfold_ingest_lag_records";
const FRESHNESS_SECONDS: &str = "twinfold_ingest_freshness_seconds";
const BATCH_ROWS: &str = "twinfold_ingest_batch_rows";
const WRITE_SECONDS: &str = "twinfold_ingest_write_seconds";
const ROWS_TOTAL: &str = "twinfold_ingest_rows_total";
const WRITE_FAILURES_TOTAL: &str = "twinfold_ingest_write_failures_total";
const QUARANTINED_TOTAL: &str = "twinfold_ingest_quarantined_total";
const REBALANCES_TOTAL: &str = "twinfold_ingest_rebalances_total";

/// The numbers of one consumer of one group.
#[derive(Debug)]
pub(crate) struct Metrics {
    labels: Vec<Label>,
}

/// A batch that was written.
pub(crate) struct Written {
    pub(crate) rows: usize,
    pub(crate) quarantined: usize,
    /// When the log took in the oldest and the newest record.
    pub(crate) appended: Option<(EventTime, EventTime)>,
    pub(crate) began_us: i64,
    pub(crate) ended_us: i64,
}

impl Metrics {
    pub(crate) fn new(consumer: &'static str, group: &FeatureGroupId) -> Self {
        let group: Arc<str> = group.to_string().into();
        Self {
            labels: vec![
                Label::new("consumer", consumer),
                Label::new("group", SharedString::from(group)),
            ],
        }
    }

    pub(crate) fn lag(&self, records: u64) {
        gauge!(LAG_RECORDS, self.labels.iter()).set(records as f64);
    }

    pub(crate) fn written(&self, batch: &Written) {
        let rows = batch.rows as u64;
        counter!(ROWS_TOTAL, self.labels.iter()).increment(rows);
        if batch.quarantined > 0 {
            let quarantined = batch.quarantined as u64;
            counter!(QUARANTINED_TOTAL, self.labels.iter()).increment(quarantined);
        }
        histogram!(BATCH_ROWS, self.labels.iter()).record(rows as f64);
        let took = seconds(batch.began_us, batch.ended_us);
        histogram!(WRITE_SECONDS, self.labels.iter()).record(took);
        // The two ends of the batch; those between lie between.
        if let Some((oldest, newest)) = batch.appended {
            let freshness = histogram!(FRESHNESS_SECONDS, self.labels.iter());
            freshness.record(seconds(oldest.micros(), batch.ended_us));
            freshness.record(seconds(newest.micros(), batch.ended_us));
        }
    }

    pub(crate) fn write_failed(&self) {
        counter!(WRITE_FAILURES_TOTAL, self.labels.iter()).increment(1);
    }

    pub(crate) fn rebalanced(&self) {
        counter!(REBALANCES_TOTAL, self.labels.iter()).increment(1);
    }
}

/// The clocks of two machines, or one that was set back, can make a time negative.
fn seconds(from_us: i64, to_us: i64) -> f64 {
    let micros = u64::try_from(to_us.saturating_sub(from_us)).unwrap_or(0);
    Duration::from_micros(micros).as_secs_f64()
}
