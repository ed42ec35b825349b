use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use twinfold_client::IngestProgress;
use twinfold_http_kit::{Failure, Forced, Operation, Routes, Tagged, expected, extract};
use twinfold_model::{Feature, FeatureGroup, ProjectName};
use twinfold_store_metadata::GroupRecord;
use twinfold_wire::rest::{
    FeatureBody, FeatureGroupBody, GroupDescriptionBody, GroupRecordBody, PageBody,
    PinnedCommitsBody, ProgressBody,
};

use super::{Answer, Listing, VersionPath, group_id};
use crate::revision::revision;
use crate::{Registry, definition, record_body};

const GROUPS: &str = "/feature-groups";
const GROUP: &str = "/feature-groups/{project}/{name}/{version}";

pub(super) fn routes(routes: Routes<Registry>) -> Routes<Registry> {
    let routes = routes
        .get(
            GROUPS,
            list,
            Operation::new("Every feature group")
                .query::<Listing>()
                .answers::<PageBody<GroupRecordBody>>(),
        )
        .post(
            GROUPS,
            create,
            Operation::new("Create a feature group; its topic and tables are made after it")
                .asks::<FeatureGroupBody>()
                .answers::<GroupRecordBody>()
                .tagged(),
        )
        .get(
            "/feature-groups/{project}/{name}",
            show_newest,
            Operation::new("The newest version of a feature group")
                .answers::<GroupRecordBody>()
                .tagged(),
        )
        .get(
            GROUP,
            show,
            Operation::new("One feature group")
                .answers::<GroupRecordBody>()
                .tagged(),
        )
        .patch(
            GROUP,
            describe,
            Operation::new("Change description and tags of a feature group")
                .asks::<GroupDescriptionBody>()
                .answers::<GroupRecordBody>()
                .tied()
                .tagged(),
        )
        .delete(
            GROUP,
            delete,
            Operation::new("Delete a feature group; its topic and tables go after it")
                .query::<Forced>()
                .tied(),
        );
    part_routes(routes)
}

fn part_routes(routes: Routes<Registry>) -> Routes<Registry> {
    let part = |part: &str| format!("{GROUP}/{part}");
    routes
        .post(
            &part("features"),
            append_features,
            Operation::new("Add features to a feature group")
                .asks::<Vec<FeatureBody>>()
                .answers::<GroupRecordBody>()
                .tied()
                .tagged(),
        )
        .get(
            &part("pinned-commits"),
            pinned_commits,
            Operation::new("Commits that training datasets were read from")
                .answers::<PinnedCommitsBody>(),
        )
        .get(
            &part("progress"),
            progress,
            Operation::new("How far the stores have come, as committed in the topic")
                .answers::<ProgressBody>(),
        )
}

/// A group with what a later change can be tied to.
type TaggedGroup = Result<Tagged<GroupRecordBody>, Failure>;

fn tagged(record: &GroupRecord) -> Tagged<GroupRecordBody> {
    Tagged {
        revision: revision(record),
        body: record_body(record),
    }
}

async fn list(
    State(registry): State<Registry>,
    extract::Query(listing): extract::Query<Listing>,
) -> Answer<PageBody<GroupRecordBody>> {
    let (project, paging) = listing.parts()?;
    let groups = registry.feature_groups(project.as_ref()).await?;
    let id = |record: &GroupRecord| {
        let id = record.group.id();
        (id.project.to_string(), id.name.to_string(), id.version)
    };
    Listing::page(&paging, &groups, id, record_body)
}

/// Answers when the definition is stored; topic and tables are made after it.
async fn create(
    State(registry): State<Registry>,
    extract::Json(body): extract::Json<FeatureGroupBody>,
) -> TaggedGroup {
    let group = FeatureGroup::try_from(body)?;
    Ok(tagged(&registry.create_feature_group(group).await?))
}

async fn show_newest(
    State(registry): State<Registry>,
    extract::Path((project, name)): extract::Path<(String, String)>,
) -> TaggedGroup {
    let project = ProjectName::new(project)?;
    let newest = registry.newest_feature_group(&project, &name).await?;
    Ok(tagged(&newest))
}

async fn show(State(registry): State<Registry>, path: VersionPath) -> TaggedGroup {
    Ok(tagged(&registry.feature_group(&group_id(path)?).await?))
}

async fn append_features(
    State(registry): State<Registry>,
    path: VersionPath,
    headers: HeaderMap,
    extract::Json(features): extract::Json<Vec<FeatureBody>>,
) -> TaggedGroup {
    let (id, expected) = (group_id(path)?, expected(&headers)?);
    let features = features.into_iter().map(Feature::try_from);
    let features = features.collect::<Result<Vec<_>, _>>()?;
    let changed = registry.append_features(&id, features, &expected);
    Ok(tagged(&changed.await?))
}

async fn describe(
    State(registry): State<Registry>,
    path: VersionPath,
    headers: HeaderMap,
    extract::Json(said): extract::Json<GroupDescriptionBody>,
) -> TaggedGroup {
    let (id, expected) = (group_id(path)?, expected(&headers)?);
    let said = said.into();
    let described = registry.describe_feature_group(&id, &said, &expected);
    Ok(tagged(&described.await?))
}

/// Answers when the deletion is stored; topic and tables go after it.
async fn delete(
    State(registry): State<Registry>,
    path: VersionPath,
    extract::Query(forced): extract::Query<Forced>,
    headers: HeaderMap,
) -> Result<StatusCode, Failure> {
    let (id, expected) = (group_id(path)?, expected(&headers)?);
    let deletion = forced.into();
    let deleted = registry.delete_feature_group(&id, deletion, &expected);
    deleted.await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn pinned_commits(
    State(registry): State<Registry>,
    path: VersionPath,
) -> Answer<PinnedCommitsBody> {
    let commits = registry.pinned_commits(&group_id(path)?).await?;
    Ok(Json(PinnedCommitsBody { commits }))
}

async fn progress(State(registry): State<Registry>, path: VersionPath) -> Answer<ProgressBody> {
    let record = registry.feature_group(&group_id(path)?).await?;
    let topics = registry.stores().topics.as_ref();
    let progress = IngestProgress::committed(topics, &definition(record)).await?;
    Ok(Json((&progress).into()))
}
