//! A producer whose clock is wrong. The log's is what counts.

use std::sync::atomic::Ordering;
use std::time::Duration;

use twinfold_integration_tests::lasting;

use crate::stage::Stage;

const HOUR_US: i64 = 3_600_000_000;
const WRONG: Duration = Duration::from_secs(1);
/// The first of them may have begun before.
const BATCHES: u64 = 2;

/// Its rows are late ones: all in history, and none in place of a newer one online.
pub async fn producer_an_hour_behind(stage: &mut Stage) {
    wrong_by(stage, -HOUR_US).await;
}

/// Its rows are quarantined, each with its position, and disturb no other.
pub async fn producer_an_hour_ahead(stage: &mut Stage) {
    wrong_by(stage, HOUR_US).await;
}

async fn wrong_by(stage: &mut Stage, skew_us: i64) {
    stage.skew_us.store(skew_us, Ordering::Relaxed);
    lasting(WRONG).await;
    stage.acknowledged.goes_on(BATCHES).await;
    stage.skew_us.store(0, Ordering::Relaxed);
}
