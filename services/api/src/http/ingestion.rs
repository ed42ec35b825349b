use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use twinfold_client::{Receipt, WaitTarget};
use twinfold_http_kit::{Failure, extract};
use twinfold_model::{Error as ModelError, EventTime, Offset, PartitionId, Position};
use twinfold_wire::rest::{
    PositionBody, ProgressBody, QuarantinedRecordBody, ReceiptBody, WaitBody,
};

use super::arrow_stream::rows;
use super::{Answer, Api, GroupPath, below, group_id, group_path};

/// Records of one page of the quarantine unless it says otherwise.
const PAGE_RECORDS: usize = 100;

pub(super) fn routes() -> Router<Api> {
    Router::new()
        .route(&group_path("/rows"), post(insert))
        .route(&group_path("/deletions"), post(delete))
        .route(&group_path("/progress"), get(progress))
        .route(&group_path("/quarantine"), get(quarantined))
        .route(&group_path("/replays"), post(replay))
        .route(&below("/receipts/wait"), post(wait))
}

async fn insert(State(api): State<Api>, path: GroupPath, body: Body) -> Answer<ReceiptBody> {
    let id = group_id(path)?;
    let rows = rows(body, api.limits.rows_bytes_max).await?;
    let receipt = api.platform.insert(&id, rows.batches, &|_| ()).await?;
    Ok(Json((&receipt).into()))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Deletion {
    /// Microseconds since 1970; now when absent.
    at_us: Option<i64>,
}

async fn delete(
    State(api): State<Api>,
    path: GroupPath,
    extract::Query(deletion): extract::Query<Deletion>,
    body: Body,
) -> Answer<ReceiptBody> {
    let id = group_id(path)?;
    let keys = rows(body, api.limits.rows_bytes_max).await?;
    let at = deletion.at_us.map(EventTime::from_micros);
    let receipt = api.platform.delete(&id, keys.batches, at).await?;
    Ok(Json((&receipt).into()))
}

/// Waits for as long as is asked, up to the limit; whoever wants to wait longer asks again.
async fn wait(
    State(api): State<Api>,
    extract::Json(asked): extract::Json<WaitBody>,
) -> Result<StatusCode, Failure> {
    let receipt = Receipt::try_from(asked.receipt)?;
    let target = WaitTarget {
        online: asked.online,
        offline: asked.offline,
    };
    let timeout = Duration::from_millis(asked.timeout_ms.min(api.limits.wait_ms_max));
    api.platform.wait(&receipt, target, timeout).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn progress(State(api): State<Api>, path: GroupPath) -> Answer<ProgressBody> {
    let progress = api.platform.progress(&group_id(path)?).await?;
    Ok(Json((&progress).into()))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Page {
    after_partition: Option<u32>,
    after_offset: Option<u64>,
    limit: Option<usize>,
}

impl Page {
    fn after(&self) -> Result<Option<Position>, ModelError> {
        match (self.after_partition, self.after_offset) {
            (None, None) => Ok(None),
            (Some(partition), Some(offset)) => Ok(Some(Position {
                partition: PartitionId(partition),
                offset: Offset(offset),
            })),
            _ => Err(ModelError::InvalidQuery {
                reason: "found one of `after_partition` and `after_offset`, wanted both or none"
                    .to_owned(),
            }),
        }
    }
}

async fn quarantined(
    State(api): State<Api>,
    path: GroupPath,
    extract::Query(page): extract::Query<Page>,
) -> Answer<Vec<QuarantinedRecordBody>> {
    let id = group_id(path)?;
    let limit = page.limit.unwrap_or(PAGE_RECORDS);
    let records = api.platform.quarantined(&id, page.after()?, limit).await?;
    let bodies = records.iter().map(QuarantinedRecordBody::from);
    Ok(Json(bodies.collect()))
}

async fn replay(
    State(api): State<Api>,
    path: GroupPath,
    extract::Json(positions): extract::Json<Vec<PositionBody>>,
) -> Answer<ReceiptBody> {
    let id = group_id(path)?;
    let positions: Vec<Position> = positions.into_iter().map(Position::from).collect();
    let receipt = api.platform.replay(&id, &positions).await?;
    Ok(Json((&receipt).into()))
}
