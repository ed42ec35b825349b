use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use twinfold_http_kit::{Failure, Operation, Routes, extract};
use twinfold_model::{FeatureView, FeatureViewId, ProjectName};
use twinfold_wire::rest::{FeatureViewBody, PageBody};

use super::{Answer, Listing, VersionPath};
use crate::Registry;

pub(super) fn routes(routes: Routes<Registry>) -> Routes<Registry> {
    let view = "/feature-views/{project}/{name}/{version}";
    routes
        .get(
            "/feature-views",
            list,
            Operation::new("Every feature view")
                .query::<Listing>()
                .answers::<PageBody<FeatureViewBody>>(),
        )
        .post(
            "/feature-views",
            create,
            Operation::new("Create a feature view")
                .asks::<FeatureViewBody>()
                .answers::<FeatureViewBody>(),
        )
        .get(
            "/feature-views/{project}/{name}",
            show_newest,
            Operation::new("The newest version of a feature view").answers::<FeatureViewBody>(),
        )
        .get(
            view,
            show,
            Operation::new("One feature view").answers::<FeatureViewBody>(),
        )
        .delete(view, delete, Operation::new("Delete a feature view"))
}

async fn list(
    State(registry): State<Registry>,
    extract::Query(listing): extract::Query<Listing>,
) -> Answer<PageBody<FeatureViewBody>> {
    let (project, paging) = listing.parts()?;
    let views = registry.feature_views(project.as_ref()).await?;
    let id = |FeatureView { id, .. }: &FeatureView| {
        (id.project.to_string(), id.name.to_string(), id.version)
    };
    Listing::page(&paging, &views, id, |view| view.into())
}

async fn create(
    State(registry): State<Registry>,
    extract::Json(view): extract::Json<FeatureViewBody>,
) -> Answer<FeatureViewBody> {
    let view = FeatureView::try_from(view)?;
    let created = registry.create_feature_view(view).await?;
    Ok(Json((&created).into()))
}

async fn show_newest(
    State(registry): State<Registry>,
    extract::Path((project, name)): extract::Path<(String, String)>,
) -> Answer<FeatureViewBody> {
    let project = ProjectName::new(project)?;
    let view = registry.newest_feature_view(&project, &name).await?;
    Ok(Json((&view).into()))
}

fn view_id(extract::Path((project, name, version)): VersionPath) -> Result<FeatureViewId, Failure> {
    Ok(FeatureViewId::new(&project, &name, version)?)
}

async fn show(State(registry): State<Registry>, path: VersionPath) -> Answer<FeatureViewBody> {
    let view = registry.feature_view(&view_id(path)?).await?;
    Ok(Json((&view).into()))
}

async fn delete(
    State(registry): State<Registry>,
    path: VersionPath,
) -> Result<StatusCode, Failure> {
    registry.delete_feature_view(&view_id(path)?).await?;
    Ok(StatusCode::NO_CONTENT)
}
