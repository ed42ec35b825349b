use axum::Json;
use axum::extract::State;
use twinfold_http_kit::{Operation, Routes, extract};
use twinfold_model::SchemaId;
use twinfold_store_metadata::SchemaRecord;
use twinfold_wire::rest::SchemaBody;

use super::{Answer, VersionPath, group_id};
use crate::Registry;

pub(super) fn routes(routes: Routes<Registry>) -> Routes<Registry> {
    routes
        .get(
            "/schemas/{id}",
            show,
            Operation::new("The schema that a record names").answers::<SchemaBody>(),
        )
        .get(
            "/feature-groups/{project}/{name}/{version}/schemas",
            list,
            Operation::new("The schemas that writers of a feature group have used")
                .answers::<Vec<SchemaBody>>(),
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
