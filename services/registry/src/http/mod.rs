//! The registry over HTTP: our resources as JSON below `/v1`, lists in pages, failures as `{code, message,
//! details}`, and beside them the API of Confluent's schema registry. `docs/http-api.md` lists our routes,
//! `docs/schema-registry.md` is about the others.

mod confluent;
mod feature_groups;
mod feature_views;
mod feed;
mod idempotency;
mod projects;
mod quarantine;
mod schemas;
mod training_datasets;

use axum::routing::{any, get};
use axum::{Extension, Json, Router, middleware};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use twinfold_http_kit::extract::{JsonLimits, JsonRoom, Path};
use twinfold_http_kit::{Failure, Paging, Routes, no_such_method, no_such_route};
use twinfold_model::{FeatureGroupId, ProjectName};
use twinfold_service_kit::TaskGroup;
use twinfold_service_kit::metrics::count_requests;
use twinfold_wire::rest::PageBody;

use crate::{Error, Registry};
use idempotency::Keyed;

const TITLE: &str = "Twinfold registry";
/// Longer waits would be cut by proxies.
const WAIT_MS_MAX: u64 = 30_000;

type Answer<T> = Result<Json<T>, Failure>;

/// Every route, within the usual limits.
pub fn router(registry: Registry, tasks: TaskGroup) -> Router {
    router_with(registry, tasks, JsonLimits::default())
}

/// Every route: ours below `/v1` with the document that describes them, those of a schema registry at the
/// root. Where another registry keeps the schemas, the root refers to it.
pub fn router_with(registry: Registry, tasks: TaskGroup, limits: JsonLimits) -> Router {
    let keyed = Keyed {
        registry: registry.clone(),
        tasks,
    };
    let routes = routes();
    let document = Json(routes.document(TITLE));
    let resources = routes
        .into_router()
        .layer(middleware::from_fn_with_state(keyed, idempotency::once))
        .layer(Extension(JsonRoom::within(limits)))
        .route("/openapi.json", get(move || async move { document }))
        .route("/v1/{*unknown}", any(no_such_route))
        .method_not_allowed_fallback(no_such_method)
        .with_state(registry.clone());
    let root = match registry.foreign() {
        Some(foreign) => confluent::elsewhere(foreign.url()),
        None => schema_registry(registry).fallback(confluent::no_such_route),
    };
    root.merge(resources)
        .layer(middleware::from_fn(count_requests))
}

/// The routes of Confluent's schema registry alone, for who has routes of its own beside them.
pub fn schema_registry(registry: Registry) -> Router {
    confluent::routes().with_state(registry)
}

/// The OpenAPI document of our routes.
pub fn document() -> Value {
    routes().document(TITLE)
}

fn routes() -> Routes<Registry> {
    let parts = [
        projects::routes,
        feature_groups::routes,
        feature_views::routes,
        training_datasets::routes,
        quarantine::routes,
        schemas::routes,
        feed::routes,
    ];
    let none = Routes::below("/v1").taking_keys();
    parts.into_iter().fold(none, |routes, add| add(routes))
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Platform(error.into())
    }
}

/// Which definitions of a kind are wanted.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Listing {
    /// Those of all projects when absent.
    project: Option<String>,
    limit: Option<usize>,
    page_token: Option<String>,
}

impl Listing {
    fn parts(self) -> Result<(Option<ProjectName>, Paging), Failure> {
        let Self {
            project,
            limit,
            page_token,
        } = self;
        let project = project.map(ProjectName::new).transpose()?;
        Ok((project, Paging { limit, page_token }))
    }

    /// The wanted part of definitions that are ordered by project, name and version.
    fn page<T, B>(
        paging: &Paging,
        all: &[T],
        id: impl Fn(&T) -> (String, String, u32),
        body: impl Fn(&T) -> B,
    ) -> Answer<PageBody<B>> {
        Ok(Json(paging.page(all, id, body)?))
    }
}

/// Where one version of something is.
type VersionPath = Path<(String, String, u32)>;

fn group_id(Path((project, name, version)): VersionPath) -> Result<FeatureGroupId, Failure> {
    Ok(FeatureGroupId::new(&project, &name, version)?)
}
