//! The registry over HTTP: resources as JSON, errors as `{code, message}`.

mod errors;
mod feature_groups;
mod feed;
mod quarantine;
mod schemas;

use axum::{Router, middleware};
use twinfold_service_kit::metrics::count_requests;

use crate::Registry;

/// Longer waits would be cut by proxies.
const WAIT_MS_MAX: u64 = 30_000;

/// Every route, below `/v1`.
pub fn router(registry: Registry) -> Router {
    let resources = Router::new()
        .merge(feature_groups::routes())
        .merge(schemas::routes())
        .merge(feed::routes())
        .merge(quarantine::routes())
        .fallback(errors::no_such_route)
        .method_not_allowed_fallback(errors::no_such_method)
        .with_state(registry);
    Router::new()
        .nest("/v1", resources)
        .layer(middleware::from_fn(count_requests))
}
