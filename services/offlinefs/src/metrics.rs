//! What offlinefs tells of histories; `docs/operations.md` says what each number means.

use std::time::Duration;

use metrics::gauge;
use twinfold_model::FeatureGroupId;

const COMMIT_AGE_SECONDS: &str = "twinfold_history_commit_age_seconds";

/// For how long rows of the group have waited for a commit.
pub(crate) fn commit_age(group: &FeatureGroupId, waited: Duration) {
    gauge!(COMMIT_AGE_SECONDS, "group" => group.to_string()).set(waited.as_secs_f64());
}
