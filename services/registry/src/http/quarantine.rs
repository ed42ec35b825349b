use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use twinfold_http_kit::{Failure, Paging, extract, token};
use twinfold_model::{Error as ModelError, Offset, PartitionId, Position, QuarantinedRecord};
use twinfold_wire::rest::{PageBody, PositionBody, QuarantinedRecordBody};

use super::{Answer, VersionPath, group_id};
use crate::Registry;

pub(super) fn routes() -> Router<Registry> {
    let of_group = "/feature-groups/{project}/{name}/{version}/quarantine";
    Router::new()
        .route("/quarantine", post(add))
        .route(of_group, get(list))
        .route(&format!("{of_group}/replayed"), post(mark_replayed))
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

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Listing {
    /// Begins behind this position.
    after_partition: Option<u32>,
    after_offset: Option<u64>,
    limit: Option<usize>,
    page_token: Option<String>,
}

impl Listing {
    fn after(&self, paging: &Paging) -> Result<Option<Position>, ModelError> {
        if let Some((partition, offset)) = paging.after()? {
            return Ok(Some(position(partition, offset)));
        }
        match (self.after_partition, self.after_offset) {
            (None, None) => Ok(None),
            (Some(partition), Some(offset)) => Ok(Some(position(partition, offset))),
            _ => Err(ModelError::InvalidQuery {
                reason: "found one of `after_partition` and `after_offset`, wanted both or none"
                    .to_owned(),
            }),
        }
    }
}

fn position(partition: u32, offset: u64) -> Position {
    Position {
        partition: PartitionId(partition),
        offset: Offset(offset),
    }
}

async fn list(
    State(registry): State<Registry>,
    path: VersionPath,
    extract::Query(listing): extract::Query<Listing>,
) -> Answer<PageBody<QuarantinedRecordBody>> {
    let id = group_id(path)?;
    let paging = Paging {
        limit: listing.limit,
        page_token: listing.page_token.clone(),
    };
    let (after, limit) = (listing.after(&paging)?, paging.limit()?);
    let records = registry.quarantined(&id, after, limit).await?;
    let last = records.last().filter(|_| records.len() == limit);
    Ok(Json(PageBody {
        items: records.iter().map(QuarantinedRecordBody::from).collect(),
        next_page_token: last
            .map(|last| token(&(last.position.partition.0, last.position.offset.0))),
    }))
}

async fn mark_replayed(
    State(registry): State<Registry>,
    path: VersionPath,
    extract::Json(positions): extract::Json<Vec<PositionBody>>,
) -> Result<StatusCode, Failure> {
    let positions: Vec<Position> = positions.into_iter().map(Position::from).collect();
    registry.mark_replayed(&group_id(path)?, &positions).await?;
    Ok(StatusCode::NO_CONTENT)
}
