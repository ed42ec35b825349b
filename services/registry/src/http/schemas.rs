use axum::Json;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Deserialize;
use twinfold_http_kit::extract::{Path, Query};
use twinfold_http_kit::{Operation, Routes};
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
            Operation::new("The schema that a record names")
                .query::<Rows>()
                .answers::<SchemaBody>(),
        )
        .get(
            "/feature-groups/{project}/{name}/{version}/schemas",
            list,
            Operation::new("The schemas that writers of a feature group have used")
                .answers::<Vec<SchemaBody>>(),
        )
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Rows {
    /// The name of the topic and tables whose rows name the schema.
    resource: String,
}

async fn show(
    State(registry): State<Registry>,
    Path(id): Path<u32>,
    Query(rows): Query<Rows>,
) -> Answer<SchemaBody> {
    let schema = registry.writer_schema(SchemaId(id), &rows.resource).await?;
    Ok(Json(body(schema)))
}

/// All that rows of the group may be written with, oldest first.
async fn list(State(registry): State<Registry>, path: VersionPath) -> Answer<Vec<SchemaBody>> {
    let schemas = registry.schemas(&group_id(path)?).await?;
    Ok(Json(schemas.into_iter().map(body).collect()))
}

fn body(record: SchemaRecord) -> SchemaBody {
    SchemaBody {
        id: record.id.0,
        avro_json: record.avro_json,
    }
}
