use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use twinfold_model::QuarantinedRecord;
use twinfold_wire::rest::QuarantinedRecordBody;

use crate::{Registry, Result};

pub(super) fn routes() -> Router<Registry> {
    Router::new().route("/quarantine", post(add))
}

async fn add(
    State(registry): State<Registry>,
    Json(bodies): Json<Vec<QuarantinedRecordBody>>,
) -> Result<()> {
    let records = bodies.into_iter().map(QuarantinedRecord::try_from);
    let records: Vec<_> = records.collect::<Result<_, twinfold_model::Error>>()?;
    registry.quarantine(&records).await
}
