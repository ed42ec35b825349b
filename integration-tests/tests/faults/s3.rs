//! An S3 server that answers, but not as it should.

use std::time::Duration;

use twinfold_integration_tests::{S3Trouble, lasting};

use crate::stage::Stage;

const SLOW: Duration = Duration::from_secs(2);

pub async fn s3_fails(stage: &mut Stage) {
    troubled(stage, S3Trouble::InternalError).await;
}

pub async fn s3_is_unavailable(stage: &mut Stage) {
    troubled(stage, S3Trouble::Unavailable).await;
}

pub async fn s3_is_slow(stage: &mut Stage) {
    troubled(stage, S3Trouble::Slow(SLOW)).await;
}

pub async fn s3_loses_answers(stage: &mut Stage) {
    troubled(stage, S3Trouble::LostAnswers).await;
}

async fn troubled(stage: &mut Stage, trouble: S3Trouble) {
    stage.s3.trouble(Some(trouble));
    lasting(stage.fault).await;
    stage.s3.trouble(None);
}
