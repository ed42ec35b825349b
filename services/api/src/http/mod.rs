//! Any platform over HTTP: definitions and short answers as JSON, rows as Arrow streams, failures as
//! `{code, message, details}`. `docs/http-api.md` lists the routes.

mod arrow_stream;
mod catalog;
mod datasets;
mod ingestion;
mod limits;
mod media_type;
mod reading;
mod serving;

use std::sync::Arc;

use axum::extract::State;
use axum::routing::get;
use axum::{Extension, Json, Router, middleware};
use serde_json::Value;
use twinfold_client::Platform;
use twinfold_http_kit::extract::{self, JsonRoom};
use twinfold_http_kit::{Budget, Failure, Operation, Routes, no_such_method, no_such_route};
use twinfold_model::FeatureGroupId;
use twinfold_service_kit::metrics::count_requests;
use twinfold_wire::rest::{LimitsBody, PlatformBody};

pub use limits::HttpLimits;
use serving::Readers;

/// Everything lies below this path, apart from the routes of the services.
const ROOT: &str = "/v1/platform";
const TITLE: &str = "Twinfold platform";

/// What the handlers share.
type Api = Arc<Served>;

type Answer<T> = Result<Json<T>, Failure>;

#[derive(Debug)]
struct Served {
    platform: Arc<dyn Platform>,
    limits: HttpLimits,
    rows_budget: Budget,
    json_room: JsonRoom,
    readers: Readers,
}

/// Every route and the document that describes them, within the usual limits.
pub fn router(platform: Arc<dyn Platform>) -> Router {
    router_with(platform, HttpLimits::default())
}

pub fn router_with(platform: Arc<dyn Platform>, limits: HttpLimits) -> Router {
    let json_room = JsonRoom::within(limits.json());
    let served = Served {
        platform,
        limits,
        rows_budget: limits.rows(),
        json_room: json_room.clone(),
        readers: Readers::new(limits.vector_readers_max.get()),
    };
    let routes = routes();
    let document = Json(routes.document(TITLE));
    routes
        .into_router()
        .layer(Extension(json_room))
        .route("/openapi.json", get(move || async move { document }))
        .fallback(no_such_route)
        .method_not_allowed_fallback(no_such_method)
        .with_state(Arc::new(served))
        .layer(middleware::from_fn(count_requests))
}

/// The OpenAPI document of all routes.
pub fn document() -> Value {
    routes().document(TITLE)
}

fn routes() -> Routes<Api> {
    let parts = [
        catalog::routes,
        ingestion::routes,
        reading::routes,
        datasets::routes,
        serving::routes,
    ];
    let platform = Operation::new("What the platform is").answers::<PlatformBody>();
    let root = Routes::below(ROOT).get("", show, platform);
    parts.into_iter().fold(root, |routes, add| add(routes))
}

async fn show(State(api): State<Api>) -> Json<PlatformBody> {
    Json(PlatformBody {
        project: api.platform.project().to_owned(),
        partitions_default: api.platform.partitions_default(),
        limits: LimitsBody {
            rows_bytes_max: api.limits.rows_bytes_max.get(),
            entries_max: api.limits.entries_max.get() as u64,
            wait_ms_max: api.limits.wait_ms_max,
        },
    })
}

/// Where a feature group is, or what belongs to it.
fn group_path(part: &str) -> String {
    format!("/feature-groups/{{project}}/{{name}}/{{version}}{part}")
}

type GroupPath = extract::Path<(String, String, u32)>;

fn group_id(extract::Path((project, name, version)): GroupPath) -> Result<FeatureGroupId, Failure> {
    Ok(FeatureGroupId::new(&project, &name, version)?)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_document_is_the_one_committed() {
        twinfold_testkit::assert_committed("docs/openapi/platform.json", &super::document());
    }
}
