use axum::extract::{Path, Query, State};
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;
use twinfold_model::SchemaId;
use twinfold_wire::rest::SchemaBody;

use crate::{Registry, Result};

pub(super) fn routes() -> Router<Registry> {
    Router::new().route("/schemas/{id}", get(show))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rows {
    /// The name of the topic and tables whose rows name the schema.
    resource: String,
}

async fn show(
    State(registry): State<Registry>,
    Path(id): Path<u32>,
    Query(rows): Query<Rows>,
) -> Result<Json<SchemaBody>> {
    let record = registry.writer_schema(SchemaId(id), &rows.resource).await?;
    Ok(Json(SchemaBody {
        id: record.id.0,
        avro_json: record.avro_json,
    }))
}
