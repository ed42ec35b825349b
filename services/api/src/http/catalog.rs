use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use schemars::JsonSchema;
use serde::Deserialize;
use twinfold_client::{GroupDefinition, revision};
use twinfold_http_kit::{Failure, Forced, Operation, Routes, Tagged, expected, extract};
use twinfold_model::{Feature, FeatureGroup, FeatureView, FeatureViewId};
use twinfold_wire::rest::{
    FeatureBody, FeatureGroupBody, FeatureViewBody, GroupDefinitionBody, GroupDescriptionBody,
};

use super::{Answer, Api, GroupPath, group_id, group_path};

pub(super) fn routes(routes: Routes<Api>) -> Routes<Api> {
    let routes = routes
        .get(
            "/feature-groups",
            list_groups,
            Operation::new("Every feature group").answers::<Vec<GroupDefinitionBody>>(),
        )
        .post(
            "/feature-groups",
            create_group,
            Operation::new("Create a feature group with its topic and tables")
                .asks::<FeatureGroupBody>()
                .answers::<GroupDefinitionBody>()
                .tagged(),
        )
        .get(
            "/feature-groups/{name}",
            show_group,
            Operation::new("One feature group")
                .query::<Version>()
                .answers::<GroupDefinitionBody>()
                .tagged(),
        )
        .patch(
            &group_path(""),
            describe_group,
            Operation::new("Change description and tags of a feature group")
                .asks::<GroupDescriptionBody>()
                .answers::<GroupDefinitionBody>()
                .tied()
                .tagged(),
        )
        .delete(
            &group_path(""),
            delete_group,
            Operation::new("Delete a feature group with its topic and tables")
                .query::<Forced>()
                .tied(),
        )
        .post(
            &group_path("/features"),
            append_features,
            Operation::new("Add features to a feature group")
                .asks::<Vec<FeatureBody>>()
                .answers::<GroupDefinitionBody>()
                .tied()
                .tagged(),
        );
    view_routes(routes)
}

fn view_routes(routes: Routes<Api>) -> Routes<Api> {
    routes
        .get(
            "/feature-views",
            list_views,
            Operation::new("Every feature view").answers::<Vec<FeatureViewBody>>(),
        )
        .post(
            "/feature-views",
            create_view,
            Operation::new("Create a feature view").asks::<FeatureViewBody>(),
        )
        .get(
            "/feature-views/{name}",
            show_view,
            Operation::new("One feature view")
                .query::<Version>()
                .answers::<FeatureViewBody>(),
        )
        .delete(
            "/feature-views/{project}/{name}/{version}",
            delete_view,
            Operation::new("Delete a feature view"),
        )
}

/// A group with what a later change can be tied to.
type TaggedGroup = Result<Tagged<GroupDefinitionBody>, Failure>;

fn tagged(definition: &GroupDefinition) -> Tagged<GroupDefinitionBody> {
    Tagged {
        revision: revision(&definition.group, &definition.resource),
        body: definition.into(),
    }
}

/// Which version; the newest when none is named.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Version {
    pub(super) version: Option<u32>,
}

async fn list_groups(State(api): State<Api>) -> Answer<Vec<GroupDefinitionBody>> {
    let groups = api.platform.feature_groups().await?;
    let bodies = groups
        .iter()
        .map(|group| GroupDefinitionBody::from(group.as_ref()));
    Ok(Json(bodies.collect()))
}

async fn create_group(
    State(api): State<Api>,
    extract::Json(group): extract::Json<FeatureGroupBody>,
) -> TaggedGroup {
    let group = FeatureGroup::try_from(group)?;
    let created = api.platform.create_feature_group(group).await?;
    Ok(tagged(&created))
}

async fn show_group(
    State(api): State<Api>,
    extract::Path(name): extract::Path<String>,
    extract::Query(asked): extract::Query<Version>,
) -> TaggedGroup {
    let found = api.platform.feature_group(&name, asked.version).await?;
    Ok(tagged(&found))
}

async fn append_features(
    State(api): State<Api>,
    path: GroupPath,
    headers: HeaderMap,
    extract::Json(features): extract::Json<Vec<FeatureBody>>,
) -> TaggedGroup {
    let (id, expected) = (group_id(path)?, expected(&headers)?);
    let features = features.into_iter().map(Feature::try_from);
    let features = features.collect::<Result<Vec<_>, _>>()?;
    let changed = api.platform.append_features(&id, features, &expected);
    let changed = changed.await?;
    Ok(tagged(&changed))
}

async fn describe_group(
    State(api): State<Api>,
    path: GroupPath,
    headers: HeaderMap,
    extract::Json(said): extract::Json<GroupDescriptionBody>,
) -> TaggedGroup {
    let (id, expected) = (group_id(path)?, expected(&headers)?);
    let said = said.into();
    let platform = &api.platform;
    let described = platform.describe_feature_group(&id, &said, &expected);
    let described = described.await?;
    Ok(tagged(&described))
}

async fn delete_group(
    State(api): State<Api>,
    path: GroupPath,
    extract::Query(forced): extract::Query<Forced>,
    headers: HeaderMap,
) -> Result<StatusCode, Failure> {
    let (id, expected) = (group_id(path)?, expected(&headers)?);
    let deletion = forced.into();
    let platform = &api.platform;
    let deleted = platform.delete_feature_group(&id, deletion, &expected);
    deleted.await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn list_views(State(api): State<Api>) -> Answer<Vec<FeatureViewBody>> {
    let views = api.platform.feature_views().await?;
    Ok(Json(views.iter().map(FeatureViewBody::from).collect()))
}

async fn create_view(
    State(api): State<Api>,
    extract::Json(view): extract::Json<FeatureViewBody>,
) -> Result<StatusCode, Failure> {
    let view = FeatureView::try_from(view)?;
    api.platform.create_feature_view(view).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn show_view(
    State(api): State<Api>,
    extract::Path(name): extract::Path<String>,
    extract::Query(asked): extract::Query<Version>,
) -> Answer<FeatureViewBody> {
    let found = api.platform.feature_view(&name, asked.version).await?;
    Ok(Json((&found).into()))
}

async fn delete_view(
    State(api): State<Api>,
    extract::Path((project, name, version)): extract::Path<(String, String, u32)>,
) -> Result<StatusCode, Failure> {
    let id = FeatureViewId::new(&project, &name, version)?;
    api.platform.delete_feature_view(&id).await?;
    Ok(StatusCode::NO_CONTENT)
}
