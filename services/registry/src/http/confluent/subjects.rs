use axum::Router;
use axum::extract::State;
use axum::routing::{get, post};
use serde::Serialize;
use serde_json::Value as Json;
use twinfold_store_metadata::SchemaVersion;

use super::answer::{Answer, Failure, Result, SchemaText};
use super::extract::{Body, InPath, Parameters, SchemaRequest};
use super::version_body::{VersionBody, metadata};
use crate::Registry;
use crate::subjects::{Removal, SchemaError, Seen, Subject, VersionName};

pub(super) fn routes() -> Router<Registry> {
    let version = get(show).delete(delete_version);
    Router::new()
        .route("/subjects", get(list))
        .route("/subjects/{subject}", post(look_up).delete(delete))
        .route("/subjects/{subject}/versions", get(versions).post(register))
        .route("/subjects/{subject}/versions/{version}", version)
        .route("/subjects/{subject}/versions/{version}/schema", get(text))
        .route(
            "/subjects/{subject}/versions/{version}/referencedby",
            get(referenced_by),
        )
        .route("/subjects/{subject}/metadata", get(newest_with_metadata))
}

#[derive(Debug, Serialize)]
struct RegisteredBody {
    id: u32,
    version: u32,
    guid: String,
}

async fn list(State(registry): State<Registry>, parameters: Parameters) -> Result<Vec<String>> {
    let mut names = registry.subjects(parameters.seen()).await?;
    if let Some(prefix) = parameters.one("subjectPrefix") {
        names.retain(|name| Subject::new(name).is_ok_and(|name| name.has_prefix(prefix)));
    }
    Ok(Answer(parameters.page(names)))
}

async fn register(
    State(registry): State<Registry>,
    InPath(subject): InPath<String>,
    Body(request): Body<SchemaRequest>,
) -> Result<RegisteredBody> {
    let subject = Subject::new(&subject)?;
    request.require_no_id()?;
    let registered = registry.register(&subject, &request.candidate()?).await?;
    Ok(Answer(RegisteredBody {
        id: registered.schema.id.0,
        version: registered.version,
        guid: registered.schema.guid,
    }))
}

async fn look_up(
    State(registry): State<Registry>,
    InPath(subject): InPath<String>,
    parameters: Parameters,
    Body(request): Body<SchemaRequest>,
) -> Result<VersionBody> {
    let subject = Subject::new(&subject)?;
    let candidate = request.candidate()?;
    let found = registry.look_up(&subject, &candidate, parameters.seen());
    Ok(Answer(found.await?.into()))
}

async fn delete(
    State(registry): State<Registry>,
    InPath(subject): InPath<String>,
    parameters: Parameters,
) -> Result<Vec<u32>> {
    let subject = Subject::new(&subject)?;
    let deleted = registry.delete_subject(&subject, removal(&parameters));
    Ok(Answer(deleted.await?))
}

async fn versions(
    State(registry): State<Registry>,
    InPath(subject): InPath<String>,
    parameters: Parameters,
) -> Result<Vec<u32>> {
    let subject = Subject::new(&subject)?;
    let versions = registry.versions(&subject, parameters.seen()).await?;
    let numbers = versions.iter().map(|version| version.version).collect();
    Ok(Answer(parameters.page(numbers)))
}

type InSubject = InPath<(String, String)>;

async fn show(
    State(registry): State<Registry>,
    path: InSubject,
    parameters: Parameters,
) -> Result<VersionBody> {
    let found = find(&registry, path, &parameters).await?;
    Ok(Answer(found.into()))
}

async fn text(
    State(registry): State<Registry>,
    path: InSubject,
    parameters: Parameters,
) -> std::result::Result<SchemaText, Failure> {
    let found = find(&registry, path, &parameters).await?;
    Ok(SchemaText(found.schema.avro_json))
}

/// Nothing refers to a schema: each has all of its types.
async fn referenced_by(
    State(registry): State<Registry>,
    path: InSubject,
    parameters: Parameters,
) -> Result<Vec<u32>> {
    find(&registry, path, &parameters).await?;
    Ok(Answer(Vec::new()))
}

async fn delete_version(
    State(registry): State<Registry>,
    InPath((subject, version)): InSubject,
    parameters: Parameters,
) -> Result<u32> {
    let (subject, version) = (Subject::new(&subject)?, VersionName::parse(&version)?);
    let deleted = registry.delete_version(&subject, version, removal(&parameters));
    Ok(Answer(deleted.await?))
}

async fn newest_with_metadata(
    State(registry): State<Registry>,
    InPath(subject): InPath<String>,
    parameters: Parameters,
) -> Result<VersionBody> {
    let subject = Subject::new(&subject)?;
    let wanted: Vec<(&str, &str)> = parameters.all("key").zip(parameters.all("value")).collect();
    let versions = registry.versions(&subject, parameters.seen()).await?;
    let mut newest_first = versions.into_iter().rev();
    let found = newest_first.find(|version| has_properties(version, &wanted));
    let unknown = || SchemaError::SchemaNotFound {
        schema: format!("of `{subject}` with these properties"),
    };
    Ok(Answer(found.ok_or_else(unknown)?.into()))
}

fn has_properties(version: &SchemaVersion, wanted: &[(&str, &str)]) -> bool {
    let metadata = metadata(&version.schema).unwrap_or_default();
    let properties = metadata.get("properties");
    wanted.iter().all(|(key, value)| {
        let found = properties.and_then(|properties| properties.get(key));
        found.and_then(Json::as_str) == Some(*value)
    })
}

async fn find(
    registry: &Registry,
    InPath((subject, version)): InSubject,
    parameters: &Parameters,
) -> std::result::Result<SchemaVersion, Failure> {
    let (subject, version) = (Subject::new(&subject)?, VersionName::parse(&version)?);
    // The newest version is one that is there, whatever else is asked for.
    let seen = match version {
        VersionName::Latest => Seen::Live,
        VersionName::Number(_) => parameters.seen(),
    };
    Ok(registry.version(&subject, version, seen).await?)
}

fn removal(parameters: &Parameters) -> Removal {
    if parameters.is_set("permanent") {
        Removal::Permanent
    } else {
        Removal::Delete
    }
}
