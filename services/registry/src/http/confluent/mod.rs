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

use crate::Registry;

pub(super) use server::metadata_routes;

/// A schema and what is said about it.
const BODY_BYTES_MAX: usize = 2 << 20;

/// The routes that stand at the root.
pub(super) fn routes() -> Router<Registry> {
    Router::new()
        .merge(server::routes())
        .merge(schemas::routes())
        .merge(subjects::routes())
        .merge(compatibility::routes())
        .merge(config::routes())
        .merge(mode::routes())
        .fallback(answer::no_such_route)
        .method_not_allowed_fallback(answer::no_such_method)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
}
