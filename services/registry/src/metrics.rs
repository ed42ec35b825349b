//! What the reconcile loop tells; `docs/operations.md` says what each number means.

use std::time::Duration;

use metrics::{counter, histogram};
use twinfold_model::FeatureGroupId;

const RECONCILE_SECONDS: &str = "twinfold_registry_reconcile_seconds";
const RECONCILE_FAILURES_TOTAL: &str = "twinfold_registry_reconcile_failures_total";

/// The steps of one group were taken, or one of them failed.
pub(crate) fn reconciled(took: Duration) {
    histogram!(RECONCILE_SECONDS).record(took.as_secs_f64());
}

pub(crate) fn reconcile_failed(group: &FeatureGroupId) {
    counter!(RECONCILE_FAILURES_TOTAL, "group" => group.to_string()).increment(1);
}
