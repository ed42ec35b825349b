use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use futures::{StreamExt, future};
use schemars::JsonSchema;
use serde::Deserialize;
use twinfold_client::{BatchStream, ReadRequest, Spine};
use twinfold_http_kit::extract::{self, from_json, json};
use twinfold_http_kit::{Failure, Operation, Paging, Room, Routes, token};
use twinfold_model::{AsOf, Error as ModelError, EventTime};
use twinfold_wire::arrow_stream::{REQUEST_KEY, without_request};
use twinfold_wire::rest::{CommitBody, PageBody, ReadBody};

use super::arrow_stream::{answer, rows};
use super::media_type::MediaType;
use super::{Answer, Api, GroupPath, group_id, group_path};

pub(super) fn routes(routes: Routes<Api>) -> Routes<Api> {
    routes
        .post(
            "/reads",
            read,
            Operation::new("Rows of a query over histories; over a spine, if the body is one")
                .asks::<ReadBody>()
                .asks_rows()
                .answers_rows(),
        )
        .get(
            &group_path("/online"),
            read_online,
            Operation::new("The newest row of each key").answers_rows(),
        )
        .get(
            &group_path("/changes"),
            read_changes,
            Operation::new("What a history gained between two commits")
                .query::<Span>()
                .answers_rows(),
        )
        .get(
            &group_path("/commits"),
            commits,
            Operation::new("The commits of a history, the newest first")
                .query::<Listing>()
                .answers::<PageBody<CommitBody>>(),
        )
}

/// A body of rows is a spine, with the request in its schema's metadata; JSON is the request itself.
async fn read(State(api): State<Api>, headers: HeaderMap, body: Body) -> Result<Response, Failure> {
    if MediaType::of(&headers)? == MediaType::Rows {
        let (request, room) = over_spine(body, &api).await?;
        let rows = api.platform.read(request).await?;
        return answer(keeping(room, rows)).await;
    }
    let body: ReadBody = json(body, &api.json_room).await?;
    let request = ReadRequest::from_body(body, None)?;
    answer(api.platform.read(request).await?).await
}

/// A spine is held until the last row was read over it.
fn keeping(room: Room, rows: BatchStream) -> BatchStream {
    let batches = rows.batches;
    BatchStream {
        schema: rows.schema,
        batches: batches
            .scan(room, |_room, batch| future::ready(Some(batch)))
            .boxed(),
    }
}

async fn over_spine(body: Body, api: &Api) -> Result<(ReadRequest, Room), Failure> {
    let bytes_max = api.limits.rows_bytes_max.get();
    let rows = rows(body, bytes_max, api.rows_budget.room()).await?;
    let plain = without_request(&rows.schema, rows.batches);
    let (request, schema, batches) =
        plain.map_err(|error| Failure::Unreadable(format!("the spine: {error}")))?;
    let request = request.ok_or_else(|| {
        Failure::Unreadable(format!(
            "the metadata of the spine's schema has no `{REQUEST_KEY}`, wanted the request in JSON"
        ))
    })?;
    let spine = Spine {
        schema,
        batches,
        event_time: None,
    };
    let request: ReadBody = from_json(request.as_bytes())?;
    Ok((ReadRequest::from_body(request, Some(spine))?, rows.room))
}

async fn read_online(State(api): State<Api>, path: GroupPath) -> Result<Response, Failure> {
    answer(api.platform.read_online(&group_id(path)?).await?).await
}

/// Each end is a commit or a time.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Span {
    after_commit: Option<u64>,
    after_us: Option<i64>,
    up_to_commit: Option<u64>,
    up_to_us: Option<i64>,
}

fn end(name: &str, commit: Option<u64>, time: Option<i64>) -> Result<Option<AsOf>, ModelError> {
    match (commit, time) {
        (None, None) => Ok(None),
        (Some(id), None) => Ok(Some(AsOf::Commit(id))),
        (None, Some(micros)) => Ok(Some(AsOf::Time(EventTime::from_micros(micros)))),
        (Some(_), Some(_)) => Err(ModelError::InvalidQuery {
            reason: format!("found both `{name}_commit` and `{name}_us`, wanted one of them"),
        }),
    }
}

async fn read_changes(
    State(api): State<Api>,
    path: GroupPath,
    extract::Query(span): extract::Query<Span>,
) -> Result<Response, Failure> {
    let id = group_id(path)?;
    let after = end("after", span.after_commit, span.after_us)?;
    let up_to = end("up_to", span.up_to_commit, span.up_to_us)?;
    answer(api.platform.read_changes(&id, after, up_to).await?).await
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Listing {
    /// Begins behind this commit.
    before: Option<u64>,
    limit: Option<usize>,
    page_token: Option<String>,
}

async fn commits(
    State(api): State<Api>,
    path: GroupPath,
    extract::Query(listing): extract::Query<Listing>,
) -> Answer<PageBody<CommitBody>> {
    let id = group_id(path)?;
    let Listing {
        before,
        limit,
        page_token,
    } = listing;
    let paging = Paging { limit, page_token };
    let (before, limit) = (paging.after()?.or(before), paging.limit()?);
    let commits = api.platform.commits(&id, before, limit).await?;
    let last = commits.last().filter(|_| commits.len() == limit);
    Ok(Json(PageBody {
        items: commits.iter().map(CommitBody::from).collect(),
        next_page_token: last.map(|last| token(&last.id)),
    }))
}
