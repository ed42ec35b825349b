use axum::extract::{Path, State};
use axum::routing::get;
use axum::{Json, Router};
use twinfold_model::SchemaId;
use twinfold_wire::rest::SchemaBody;

use crate::{Registry, Result};

pub(super) fn routes() -> Router<Registry> {
    Router::new().route("/schemas/{id}", get(show))
}

async fn show(State(registry): State<Registry>, Path(id): Path<u32>) -> Result<Json<SchemaBody>> {
    let record = registry.schema(SchemaId(id)).await?;
    Ok(Json(SchemaBody {
        id: record.id.0,
        group: (&record.group).into(),
        avro_json: record.avro_json,
    }))
}
