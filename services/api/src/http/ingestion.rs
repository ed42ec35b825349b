use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use schemars::JsonSchema;
use serde::Deserialize;
use twinfold_client::{Receipt, WaitTarget};
use twinfold_http_kit::{Failure, Operation, Paging, Routes, Stopping, after_position, extract};
use twinfold_model::{EventTime, Position};
use twinfold_wire::rest::{
    PositionBody, ProgressBody, QuarantinedRecordBody, ReceiptBody, WaitBody,
};

use super::arrow_stream::rows;
use super::{Answer, Api, GroupPath, group_id, group_path};

pub(super) fn routes(routes: Routes<Api>) -> Routes<Api> {
    routes
        .post(
            &group_path("/rows"),
            insert,
            Operation::new("Insert rows")
                .query::<Insertion>()
                .asks_rows()
                .answers::<ReceiptBody>(),
        )
        .post(
            &group_path("/deletions"),
            delete,
            Operation::new("Delete the rows of keys")
                .query::<Deletion>()
                .asks_rows()
                .answers::<ReceiptBody>(),
        )
        .post(
            "/receipts/wait",
            wait,
            Operation::new("Wait until the stores have the rows of a receipt").asks::<WaitBody>(),
        )
        .get(
            &group_path("/progress"),
            progress,
            Operation::new("How far the stores have come").answers::<ProgressBody>(),
        )
        .get(
            &group_path("/quarantine"),
            quarantined,
            Operation::new("Records that could not be applied")
                .query::<Page>()
                .answers::<Vec<QuarantinedRecordBody>>(),
        )
        .post(
            &group_path("/replays"),
            replay,
            Operation::new("Append quarantined records again")
                .asks::<Vec<PositionBody>>()
                .answers::<ReceiptBody>(),
        )
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Insertion {
    /// Event time of rows of a group that has no feature for it, in microseconds since 1970; now when absent.
    at_us: Option<i64>,
}

async fn insert(
    State(api): State<Api>,
    path: GroupPath,
    extract::Query(insertion): extract::Query<Insertion>,
    body: Body,
) -> Answer<ReceiptBody> {
    let id = group_id(path)?;
    let bytes_max = api.limits.rows_bytes_max.get();
    let rows = rows(body, bytes_max, api.rows_budget.room()).await?;
    let at = insertion.at_us.map(EventTime::from_micros);
    let inserting = api.platform.insert_at(&id, rows.batches, at, &|_| ());
    let receipt = inserting.await;
    drop(rows.room);
    let receipt = receipt?;
    Ok(Json((&receipt).into()))
}

#[derive(Debug, Deserialize, JsonSchema)]
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
    let bytes_max = api.limits.rows_bytes_max.get();
    let keys = rows(body, bytes_max, api.rows_budget.room()).await?;
    let at = deletion.at_us.map(EventTime::from_micros);
    let receipt = api.platform.delete(&id, keys.batches, at).await;
    drop(keys.room);
    let receipt = receipt?;
    Ok(Json((&receipt).into()))
}

/// Waits for as long as is asked, up to the limit; whoever wants to wait longer asks again. A server that stops
/// is not kept.
async fn wait(
    State(api): State<Api>,
    stopping: Stopping,
    extract::Json(asked): extract::Json<WaitBody>,
) -> Result<StatusCode, Failure> {
    let receipt = Receipt::try_from(asked.receipt)?;
    let target = WaitTarget {
        online: asked.online,
        offline: asked.offline,
    };
    let timeout = Duration::from_millis(asked.timeout_ms.min(api.limits.wait_ms_max));
    let waiting = api.platform.wait(&receipt, target, timeout);
    stopping.or_refused(waiting).await??;
    Ok(StatusCode::NO_CONTENT)
}

async fn progress(State(api): State<Api>, path: GroupPath) -> Answer<ProgressBody> {
    let progress = api.platform.progress(&group_id(path)?).await?;
    Ok(Json((&progress).into()))
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Page {
    after_partition: Option<u32>,
    after_offset: Option<u64>,
    limit: Option<usize>,
}

async fn quarantined(
    State(api): State<Api>,
    path: GroupPath,
    extract::Query(page): extract::Query<Page>,
) -> Answer<Vec<QuarantinedRecordBody>> {
    let id = group_id(path)?;
    let after = after_position(page.after_partition, page.after_offset)?;
    let paging = Paging {
        limit: page.limit,
        page_token: None,
    };
    let limit = paging.limit()?;
    let records = api.platform.quarantined(&id, after, limit).await?;
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
