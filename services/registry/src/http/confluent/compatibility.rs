use axum::Router;
use axum::extract::State;
use axum::routing::post;
use serde::Serialize;

use super::answer::{Answer, Result};
use super::extract::{Body, InPath, Parameters, SchemaRequest};
use crate::Registry;
use crate::subjects::{Against, Subject, VersionName};

pub(super) fn routes() -> Router<Registry> {
    Router::new()
        .route("/compatibility/subjects/{subject}/versions", post(all))
        .route(
            "/compatibility/subjects/{subject}/versions/{version}",
            post(one),
        )
}

#[derive(Debug, Serialize)]
struct CompatibilityBody {
    is_compatible: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    messages: Option<Vec<String>>,
}

async fn all(
    State(registry): State<Registry>,
    InPath(subject): InPath<String>,
    parameters: Parameters,
    Body(request): Body<SchemaRequest>,
) -> Result<CompatibilityBody> {
    check(
        &registry,
        &subject,
        Against::Compatibility,
        &parameters,
        &request,
    )
    .await
}

async fn one(
    State(registry): State<Registry>,
    InPath((subject, version)): InPath<(String, String)>,
    parameters: Parameters,
    Body(request): Body<SchemaRequest>,
) -> Result<CompatibilityBody> {
    let against = Against::One(VersionName::parse(&version)?);
    check(&registry, &subject, against, &parameters, &request).await
}

async fn check(
    registry: &Registry,
    subject: &str,
    against: Against,
    parameters: &Parameters,
    request: &SchemaRequest,
) -> Result<CompatibilityBody> {
    let subject = Subject::new(subject)?;
    let candidate = request.candidate()?;
    let reasons = registry.incompatibilities(&subject, &candidate, against);
    let reasons = reasons.await?;
    Ok(Answer(CompatibilityBody {
        is_compatible: reasons.is_empty(),
        messages: parameters.is_set("verbose").then_some(reasons),
    }))
}
