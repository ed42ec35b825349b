use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use twinfold_http_kit::extract;
use twinfold_model::SchemaId;
use twinfold_store_metadata::SchemaRecord;
use twinfold_wire::rest::SchemaBody;

use super::{Answer, VersionPath, group_id};
use crate::Registry;

pub(super) fn routes() -> Router<Registry> {
    Router::new().route("/schemas/{id}", get(show)).route(
        "/feature-groups/{project}/{name}/{version}/schemas",
        get(list),
    )
}

async fn show(
    State(registry): State<Registry>,
    extract::Path(id): extract::Path<u32>,
) -> Answer<SchemaBody> {
    Ok(Json(body(registry.schema(SchemaId(id)).await?)))
}

/// All of them, oldest first: a group has as many as it has gained features.
async fn list(State(registry): State<Registry>, path: VersionPath) -> Answer<Vec<SchemaBody>> {
    let schemas = registry.schemas(&group_id(path)?).await?;
    Ok(Json(schemas.into_iter().map(body).collect()))
}

fn body(record: SchemaRecord) -> SchemaBody {
    SchemaBody {
        id: record.id.0,
        group: (&record.group).into(),
        avro_json: record.avro_json,
    }
}
