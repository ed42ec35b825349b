use axum::Router;
use axum::extract::State;
use axum::routing::get;
use serde::{Deserialize, Serialize};

use super::answer::{Answer, Result};
use super::extract::{Body, InPath, Parameters};
use crate::Registry;
use crate::subjects::{Mode, SchemaError, Scope};

pub(super) fn routes() -> Router<Registry> {
    let of_all = get(show_all).put(set_all).delete(forget_all);
    Router::new()
        .route("/mode", of_all)
        .route("/mode/{scope}", get(show).put(set).delete(forget))
}

#[derive(Debug, Serialize, Deserialize)]
struct ModeBody {
    mode: String,
}

async fn show_all(State(registry): State<Registry>) -> Result<ModeBody> {
    Ok(body(registry.effective_mode(&Scope::ALL).await?))
}

async fn show(
    State(registry): State<Registry>,
    InPath(scope): InPath<String>,
    parameters: Parameters,
) -> Result<ModeBody> {
    let scope = Scope::new(&scope)?;
    if parameters.is_set("defaultToGlobal") {
        return Ok(body(registry.effective_mode(&scope).await?));
    }
    let unset = || SchemaError::NoMode {
        scope: scope.as_str().to_owned(),
    };
    Ok(body(registry.mode(&scope).await?.ok_or_else(unset)?))
}

async fn set_all(
    State(registry): State<Registry>,
    Body(request): Body<ModeBody>,
) -> Result<ModeBody> {
    change(&registry, &Scope::ALL, &request).await
}

async fn set(
    State(registry): State<Registry>,
    InPath(scope): InPath<String>,
    Body(request): Body<ModeBody>,
) -> Result<ModeBody> {
    change(&registry, &Scope::new(&scope)?, &request).await
}

async fn change(registry: &Registry, scope: &Scope, request: &ModeBody) -> Result<ModeBody> {
    let mode = Mode::parse(&request.mode)?;
    registry.set_mode(scope, Some(mode)).await?;
    Ok(body(mode))
}

async fn forget_all(State(registry): State<Registry>) -> Result<ModeBody> {
    let before = registry.set_mode(&Scope::ALL, None).await?;
    Ok(body(before.unwrap_or(Mode::ReadWrite)))
}

async fn forget(
    State(registry): State<Registry>,
    InPath(scope): InPath<String>,
) -> Result<ModeBody> {
    let scope = Scope::new(&scope)?;
    let unset = || SchemaError::SubjectNotFound {
        subject: scope.as_str().to_owned(),
    };
    let before = registry.set_mode(&scope, None).await?;
    Ok(body(before.ok_or_else(unset)?))
}

fn body(mode: Mode) -> Answer<ModeBody> {
    Answer(ModeBody {
        mode: mode.to_string(),
    })
}
