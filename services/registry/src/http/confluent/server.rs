use std::collections::BTreeSet;

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use serde_json::{Value as Json, json};

use super::answer::{Answer, Result};
use super::extract::Parameters;
use crate::Registry;
use crate::subjects::{DEFAULT_CONTEXT, Seen, Subject};

pub(super) fn routes() -> Router<Registry> {
    Router::new()
        .route("/", get(root))
        .route("/contexts", get(contexts))
        .route("/v1/metadata/id", get(id))
        .route("/v1/metadata/version", get(version))
}

/// Clients ask it whether there is a registry.
async fn root() -> Answer<Json> {
    Answer(json!({}))
}

async fn contexts(State(registry): State<Registry>, parameters: Parameters) -> Result<Vec<String>> {
    let mut contexts = BTreeSet::from([DEFAULT_CONTEXT.to_owned()]);
    for name in registry.subjects(Seen::DeletedToo).await? {
        contexts.insert(Subject::new(&name)?.context().to_owned());
    }
    Ok(Answer(parameters.page(contexts.into_iter().collect())))
}

async fn id() -> Answer<Json> {
    let clusters = json!({"schema-registry-cluster": "twinfold"});
    Answer(json!({"id": "", "scope": {"path": [], "clusters": clusters}}))
}

async fn version() -> Answer<Json> {
    Answer(json!({"version": env!("CARGO_PKG_VERSION"), "commitId": ""}))
}
