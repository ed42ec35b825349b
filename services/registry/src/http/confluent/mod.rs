//! The REST API of Confluent's schema registry, for producers and consumers that know no other.
//!
//! Paths, bodies and codes are Confluent's. What schemas and subjects are is in [`crate::subjects`].

mod answer;
mod compatibility;
mod config;
mod extract;
mod mode;
mod schemas;
mod server;
mod subjects;
mod version_body;

use axum::Router;
use axum::extract::DefaultBodyLimit;

use answer::Failure;

use crate::Registry;
use crate::subjects::SchemaError;

/// A schema and what is said about it.
const BODY_BYTES_MAX: usize = 2 << 20;

pub(super) use answer::no_such_route;

/// Every route. All stand at the root but for two below `/v1`.
pub(super) fn routes() -> Router<Registry> {
    Router::new()
        .merge(server::routes())
        .merge(schemas::routes())
        .merge(subjects::routes())
        .merge(compatibility::routes())
        .merge(config::routes())
        .merge(mode::routes())
        .method_not_allowed_fallback(answer::no_such_method)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
}

/// One answer to everything, where another registry keeps the schemas. What our metadata knows of them is too
/// little to answer with.
pub(super) fn elsewhere(url: &str) -> Router {
    let url = url.to_owned();
    Router::new().fallback(move || {
        let refusal = SchemaError::NotPermitted {
            what: "this request",
            reason: format!("schemas are kept by the registry at {url}: ask there"),
        };
        async move { Failure::from(refusal) }
    })
}
