use std::collections::BTreeMap;

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use serde::Serialize;
use serde_json::Value as Json;

use super::answer::{Answer, Result};
use super::extract::{Body, InPath, Parameters};
use crate::Registry;
use crate::subjects::{Level, SchemaError, Scope};

/// What a change of the configuration may say beside the level. They concern schemas of other types, or are
/// what this registry always does.
const IGNORED: [&str; 2] = ["normalize", "validateFields"];

pub(super) fn routes() -> Router<Registry> {
    let of_all = get(show_all).put(set_all).delete(forget_all);
    Router::new()
        .route("/config", of_all)
        .route("/config/{scope}", get(show).put(set).delete(forget))
}

/// Reading it says `compatibilityLevel`, setting it `compatibility`: so it is in Confluent's registry.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct LevelBody {
    compatibility_level: String,
}

#[derive(Debug, Serialize)]
struct SetBody {
    compatibility: String,
}

type Request = BTreeMap<String, Json>;

async fn show_all(State(registry): State<Registry>) -> Result<LevelBody> {
    Ok(body(registry.effective_compatibility(&Scope::ALL).await?))
}

async fn show(
    State(registry): State<Registry>,
    InPath(scope): InPath<String>,
    parameters: Parameters,
) -> Result<LevelBody> {
    let scope = Scope::new(&scope)?;
    if parameters.is_set("defaultToGlobal") {
        return Ok(body(registry.effective_compatibility(&scope).await?));
    }
    let unset = || SchemaError::NoCompatibility {
        scope: scope.as_str().to_owned(),
    };
    let level = registry.compatibility(&scope).await?;
    Ok(body(level.ok_or_else(unset)?))
}

async fn set_all(
    State(registry): State<Registry>,
    Body(request): Body<Request>,
) -> Result<SetBody> {
    change(&registry, &Scope::ALL, &request).await
}

async fn set(
    State(registry): State<Registry>,
    InPath(scope): InPath<String>,
    Body(request): Body<Request>,
) -> Result<SetBody> {
    change(&registry, &Scope::new(&scope)?, &request).await
}

async fn change(registry: &Registry, scope: &Scope, request: &Request) -> Result<SetBody> {
    let level = level(request)?;
    registry.set_compatibility(scope, Some(level)).await?;
    Ok(Answer(SetBody {
        compatibility: level.to_string(),
    }))
}

fn level(request: &Request) -> std::result::Result<Level, SchemaError> {
    let mut found = "";
    for (name, value) in request.iter().filter(|(_, value)| !value.is_null()) {
        match name.as_str() {
            "compatibility" | "compatibilityLevel" => found = value.as_str().unwrap_or_default(),
            name if IGNORED.contains(&name) => {}
            name => {
                return Err(SchemaError::NotPermitted {
                    what: "a change of the configuration",
                    reason: format!("`{name}` is not supported"),
                });
            }
        }
    }
    Level::parse(found)
}

async fn forget_all(State(registry): State<Registry>) -> Result<LevelBody> {
    let before = registry.set_compatibility(&Scope::ALL, None).await?;
    Ok(body(before.unwrap_or(Level::DEFAULT)))
}

async fn forget(
    State(registry): State<Registry>,
    InPath(scope): InPath<String>,
) -> Result<LevelBody> {
    let scope = Scope::new(&scope)?;
    let unset = || SchemaError::SubjectNotFound {
        subject: scope.as_str().to_owned(),
    };
    let before = registry.set_compatibility(&scope, None).await?;
    Ok(body(before.ok_or_else(unset)?))
}

fn body(level: Level) -> Answer<LevelBody> {
    Answer(LevelBody {
        compatibility_level: level.to_string(),
    })
}
