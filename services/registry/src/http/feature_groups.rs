use std::time::Duration;

use axum::extract::{Path, Query, State};
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;
use twinfold_model::{FeatureGroup, FeatureGroupId, ProjectName};
use twinfold_wire::rest::{FeatureGroupBody, GroupRecordBody, PinnedCommitsBody};

use super::WAIT_MS_MAX;
use crate::{Deletion, Registry, Result, record_body};

pub(super) fn routes() -> Router<Registry> {
    let group = get(show).delete(delete);
    Router::new()
        .route("/feature-groups", get(list).post(create))
        .route("/feature-groups/{project}/{name}/{version}", group)
        .route(
            "/feature-groups/{project}/{name}/{version}/pinned-commits",
            get(pinned_commits),
        )
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Filter {
    project: Option<String>,
}

async fn list(
    State(registry): State<Registry>,
    Query(filter): Query<Filter>,
) -> Result<Json<Vec<GroupRecordBody>>> {
    let project = filter.project.map(ProjectName::new).transpose()?;
    let groups = registry.feature_groups(project.as_ref()).await?;
    Ok(Json(groups.iter().map(record_body).collect()))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wait {
    /// For the topic and tables; 0 answers as soon as the group is stored.
    #[serde(default)]
    wait_ms: u64,
}

async fn create(
    State(registry): State<Registry>,
    Query(wait): Query<Wait>,
    Json(body): Json<FeatureGroupBody>,
) -> Result<Json<GroupRecordBody>> {
    let group = FeatureGroup::try_from(body)?;
    let mut record = registry.create_feature_group(group).await?;
    if wait.wait_ms > 0 {
        let patience = Duration::from_millis(wait.wait_ms.min(WAIT_MS_MAX));
        record = registry.wait_active(record.group.id(), patience).await?;
    }
    Ok(Json(record_body(&record)))
}

type Id = Path<(String, String, u32)>;

fn id(Path((project, name, version)): Id) -> Result<FeatureGroupId> {
    Ok(FeatureGroupId::new(&project, &name, version)?)
}

async fn show(State(registry): State<Registry>, path: Id) -> Result<Json<GroupRecordBody>> {
    let record = registry.feature_group(&id(path)?).await?;
    Ok(Json(record_body(&record)))
}

/// Answers when the deletion is stored; the resources go after it.
async fn delete(State(registry): State<Registry>, path: Id) -> Result<()> {
    let id = id(path)?;
    let deleted = registry.delete_feature_group(&id, Deletion::RefuseIfUsed);
    deleted.await.map(drop)
}

async fn pinned_commits(
    State(registry): State<Registry>,
    path: Id,
) -> Result<Json<PinnedCommitsBody>> {
    let commits = registry.pinned_commits(&id(path)?).await?;
    Ok(Json(PinnedCommitsBody { commits }))
}
