//! The registry over HTTP: our resources as JSON below `/v1`, errors as `{code, message}`, and beside them the
//! API of Confluent's schema registry.

mod confluent;
mod errors;
mod feature_groups;
mod feed;
mod quarantine;
mod schemas;

use axum::Router;

use crate::Registry;

/// Longer waits would be cut by proxies.
const WAIT_MS_MAX: u64 = 30_000;

/// Every route: ours below `/v1`, beside those of a schema registry.
pub fn router(registry: Registry) -> Router {
    let resources = Router::new()
        .merge(feature_groups::routes())
        .merge(schemas::routes())
        .merge(feed::routes())
        .merge(quarantine::routes())
        .fallback(errors::no_such_route)
        .method_not_allowed_fallback(errors::no_such_method)
        .with_state(registry.clone());
    schema_registry(registry)
        .nest("/v1", resources)
        .fallback(confluent::no_such_route)
}

/// The routes of Confluent's schema registry alone, for who has routes of its own beside them.
pub fn schema_registry(registry: Registry) -> Router {
    confluent::routes().with_state(registry)
}
