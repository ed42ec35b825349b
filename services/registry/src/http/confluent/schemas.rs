use axum::Router;
use axum::extract::State;
use axum::routing::get;
use serde::Serialize;
use serde_json::Value as Json;
use twinfold_model::SchemaId;
use twinfold_store_metadata::SchemaRecord;

use super::answer::{Answer, Failure, Result, SchemaText};
use super::extract::{InPath, Parameters};
use super::version_body::{VersionBody, metadata, newest_of_each};
use crate::Registry;
use crate::subjects::{Seen, Subject};

pub(super) fn routes() -> Router<Registry> {
    Router::new()
        .route("/schemas", get(list))
        .route("/schemas/types", get(types))
        .route("/schemas/ids/{id}", get(by_id))
        .route("/schemas/ids/{id}/schema", get(text))
        .route("/schemas/ids/{id}/subjects", get(subjects))
        .route("/schemas/ids/{id}/versions", get(versions))
        .route("/schemas/guids/{guid}", get(by_guid))
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct SchemaBody {
    guid: String,
    schema: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<Json>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_id: Option<u32>,
}

impl SchemaBody {
    fn new(schema: SchemaRecord, max_id: Option<SchemaId>) -> Self {
        Self {
            metadata: metadata(&schema),
            guid: schema.guid,
            schema: schema.avro_json,
            max_id: max_id.map(|id| id.0),
        }
    }
}

#[derive(Debug, Serialize)]
struct PlaceBody {
    subject: String,
    version: u32,
}

async fn list(
    State(registry): State<Registry>,
    parameters: Parameters,
) -> Result<Vec<VersionBody>> {
    let mut versions = registry.all_schemas(parameters.seen()).await?;
    if let Some(prefix) = parameters.one("subjectPrefix") {
        let is_wanted = |name: &str| Subject::new(name).is_ok_and(|name| name.has_prefix(prefix));
        versions.retain(|version| is_wanted(&version.subject));
    }
    if parameters.is_set("latestOnly") {
        versions = newest_of_each(versions);
    }
    let bodies = versions.into_iter().map(VersionBody::from).collect();
    Ok(Answer(parameters.page(bodies)))
}

async fn types() -> Answer<[&'static str; 1]> {
    Answer(["AVRO"])
}

async fn by_id(
    State(registry): State<Registry>,
    InPath(id): InPath<u32>,
    parameters: Parameters,
) -> Result<SchemaBody> {
    let schema = registry.registered_schema(SchemaId(id)).await?;
    let max_id = if parameters.is_set("fetchMaxId") {
        Some(registry.newest_schema().await?)
    } else {
        None
    };
    Ok(Answer(SchemaBody::new(schema, max_id)))
}

async fn by_guid(
    State(registry): State<Registry>,
    InPath(guid): InPath<String>,
) -> Result<SchemaBody> {
    let schema = registry.schema_of_guid(&guid).await?;
    Ok(Answer(SchemaBody::new(schema, None)))
}

async fn text(
    State(registry): State<Registry>,
    InPath(id): InPath<u32>,
) -> std::result::Result<SchemaText, Failure> {
    let schema = registry.registered_schema(SchemaId(id)).await?;
    Ok(SchemaText(schema.avro_json))
}

async fn subjects(
    State(registry): State<Registry>,
    InPath(id): InPath<u32>,
    parameters: Parameters,
) -> Result<Vec<String>> {
    let mut names: Vec<String> = places(&registry, id, &parameters)
        .await?
        .into_iter()
        .map(|place| place.subject)
        .collect();
    names.dedup();
    Ok(Answer(parameters.page(names)))
}

async fn versions(
    State(registry): State<Registry>,
    InPath(id): InPath<u32>,
    parameters: Parameters,
) -> Result<Vec<PlaceBody>> {
    let places = places(&registry, id, &parameters).await?;
    Ok(Answer(parameters.page(places)))
}

/// Where a schema is registered, by subject.
async fn places(
    registry: &Registry,
    id: u32,
    parameters: &Parameters,
) -> std::result::Result<Vec<PlaceBody>, Failure> {
    let seen: Seen = parameters.seen();
    let mut versions = registry.places(SchemaId(id), seen).await?;
    if let Some(subject) = parameters.one("subject") {
        let subject = Subject::new(subject)?;
        versions.retain(|version| version.subject == subject.as_str());
    }
    let place = versions.into_iter().map(|version| PlaceBody {
        subject: version.subject,
        version: version.version,
    });
    Ok(place.collect())
}
