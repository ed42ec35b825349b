//! Any platform over HTTP: definitions and short answers as JSON, rows as Arrow streams, failures as
//! `{code, message, details}`. `docs/http-api.md` lists the routes.

mod arrow_stream;
mod catalog;
mod datasets;
mod ingestion;
mod limits;
mod reading;
mod serving;

use std::sync::Arc;

use axum::extract::State;
use axum::routing::get;
use axum::{Extension, Json, Router, middleware};
use twinfold_client::Platform;
use twinfold_http_kit::extract::{self, JsonBytesMax};
use twinfold_http_kit::{Failure, no_such_method, no_such_route};
use twinfold_model::FeatureGroupId;
use twinfold_service_kit::metrics::count_requests;
use twinfold_wire::rest::{LimitsBody, PlatformBody};

pub use limits::HttpLimits;
use serving::Readers;

/// Everything lies below this path, apart from the routes of the services.
const ROOT: &str = "/v1/platform";

/// What the handlers share.
type Api = Arc<Served>;

type Answer<T> = Result<Json<T>, Failure>;

#[derive(Debug)]
struct Served {
    platform: Arc<dyn Platform>,
    limits: HttpLimits,
    readers: Readers,
}

/// Every route, within the usual limits.
pub fn router(platform: Arc<dyn Platform>) -> Router {
    router_with(platform, HttpLimits::default())
}

pub fn router_with(platform: Arc<dyn Platform>, limits: HttpLimits) -> Router {
    let served = Served {
        platform,
        limits,
        readers: Readers::new(limits.vector_readers_max),
    };
    Router::new()
        .route(ROOT, get(show))
        .merge(catalog::routes())
        .merge(ingestion::routes())
        .merge(reading::routes())
        .merge(datasets::routes())
        .merge(serving::routes())
        .layer(Extension(JsonBytesMax(limits.json_bytes_max)))
        .fallback(no_such_route)
        .method_not_allowed_fallback(no_such_method)
        .with_state(Arc::new(served))
        .layer(middleware::from_fn(count_requests))
}

async fn show(State(api): State<Api>) -> Json<PlatformBody> {
    Json(PlatformBody {
        project: api.platform.project().to_owned(),
        partitions_default: api.platform.partitions_default(),
        limits: LimitsBody {
            rows_bytes_max: api.limits.rows_bytes_max,
            entries_max: api.limits.entries_max as u64,
            wait_ms_max: api.limits.wait_ms_max,
        },
    })
}

fn below(path: &str) -> String {
    format!("{ROOT}{path}")
}

/// Where a feature group is, or what belongs to it.
fn group_path(part: &str) -> String {
    below(&format!(
        "/feature-groups/{{project}}/{{name}}/{{version}}{part}"
    ))
}

type GroupPath = extract::Path<(String, String, u32)>;

fn group_id(extract::Path((project, name, version)): GroupPath) -> Result<FeatureGroupId, Failure> {
    Ok(FeatureGroupId::new(&project, &name, version)?)
}
