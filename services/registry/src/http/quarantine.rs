use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use schemars::JsonSchema;
use serde::Deserialize;
use twinfold_http_kit::{Failure, Operation, Paging, Routes, after_position, extract, token};
use twinfold_model::{Error as ModelError, FeatureGroupId, Position, QuarantinedRecord};
use twinfold_wire::rest::{PageBody, PositionBody, QuarantinedRecordBody};

use super::{Answer, VersionPath, group_id};
use crate::Registry;

pub(super) fn routes(routes: Routes<Registry>) -> Routes<Registry> {
    let of_group = "/feature-groups/{project}/{name}/{version}/quarantine";
    let of_replay = format!("{of_group}/replays/{{replay}}");
    routes
        .post(
            "/quarantine",
            add,
            Operation::new("Keep records that cannot be applied")
                .asks::<Vec<QuarantinedRecordBody>>(),
        )
        .get(
            of_group,
            list,
            Operation::new("Records of a feature group that were not replayed yet")
                .query::<Listing>()
                .answers::<PageBody<QuarantinedRecordBody>>(),
        )
        .post(
            &format!("{of_group}/replayed"),
            mark_replayed,
            Operation::new("Say that records were replayed")
                .query::<Life>()
                .asks::<Vec<PositionBody>>(),
        )
        .put(
            &of_replay,
            claim_replay,
            Operation::new("Begin a replay, which no other may go on beside"),
        )
        .delete(&of_replay, end_replay, Operation::new("End a replay"))
}

async fn add(
    State(registry): State<Registry>,
    extract::Json(bodies): extract::Json<Vec<QuarantinedRecordBody>>,
) -> Result<StatusCode, Failure> {
    let records = bodies.into_iter().map(QuarantinedRecord::try_from);
    let records: Vec<_> = records.collect::<Result<_, ModelError>>()?;
    registry.quarantine(&records).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Listing {
    /// Begins behind this position.
    after_partition: Option<u32>,
    after_offset: Option<u64>,
    limit: Option<usize>,
    page_token: Option<String>,
}

async fn list(
    State(registry): State<Registry>,
    path: VersionPath,
    extract::Query(listing): extract::Query<Listing>,
) -> Answer<PageBody<QuarantinedRecordBody>> {
    let id = group_id(path)?;
    let Listing {
        after_partition,
        after_offset,
        limit,
        page_token,
    } = listing;
    let paging = Paging { limit, page_token };
    let after = match paging.after()? {
        Some((partition, offset)) => after_position(Some(partition), Some(offset))?,
        None => after_position(after_partition, after_offset)?,
    };
    let records = registry.quarantined(&id, after, paging.limit()?).await?;
    // A page that is short may be one of large records.
    let last = records.last();
    Ok(Json(PageBody {
        items: records.iter().map(QuarantinedRecordBody::from).collect(),
        next_page_token: last
            .map(|last| token(&(last.position.partition.0, last.position.offset.0))),
    }))
}

type ReplayPath = extract::Path<(String, String, u32, String)>;

async fn claim_replay(
    State(registry): State<Registry>,
    extract::Path((project, name, version, replay)): ReplayPath,
) -> Result<StatusCode, Failure> {
    let id = FeatureGroupId::new(&project, &name, version)?;
    registry.claim_replay(&id, &replay).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn end_replay(
    State(registry): State<Registry>,
    extract::Path((project, name, version, replay)): ReplayPath,
) -> Result<StatusCode, Failure> {
    let id = FeatureGroupId::new(&project, &name, version)?;
    registry.end_replay(&id, &replay).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Life {
    /// The name of the topic in which the records stand.
    resource: String,
}

async fn mark_replayed(
    State(registry): State<Registry>,
    path: VersionPath,
    extract::Query(Life { resource }): extract::Query<Life>,
    extract::Json(positions): extract::Json<Vec<PositionBody>>,
) -> Result<StatusCode, Failure> {
    let positions: Vec<Position> = positions.into_iter().map(Position::from).collect();
    let group = group_id(path)?;
    registry
        .mark_replayed(&group, &resource, &positions)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}
