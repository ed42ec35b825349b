use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use twinfold_client::{ReadRequest, Spine};
use twinfold_http_kit::Failure;
use twinfold_http_kit::extract::{self, JsonBytesMax, from_json, json};
use twinfold_model::{AsOf, Error as ModelError, EventTime};
use twinfold_wire::arrow_stream::{CONTENT_TYPE as ARROW_STREAM, REQUEST_KEY, without_request};
use twinfold_wire::rest::{CommitBody, ReadBody};

use super::arrow_stream::{answer, rows};
use super::{Answer, Api, GroupPath, below, group_id, group_path};

/// Commits that are listed unless it is said otherwise.
const COMMITS: usize = 100;

pub(super) fn routes() -> Router<Api> {
    Router::new()
        .route(&below("/reads"), post(read))
        .route(&group_path("/online"), get(read_online))
        .route(&group_path("/changes"), get(read_changes))
        .route(&group_path("/commits"), get(commits))
}

/// A body of rows is a spine, with the request in its schema's metadata; any other is the request.
async fn read(State(api): State<Api>, headers: HeaderMap, body: Body) -> Result<Response, Failure> {
    let is_spine = headers
        .get(CONTENT_TYPE)
        .is_some_and(|found| found.as_bytes() == ARROW_STREAM.as_bytes());
    let request = if is_spine {
        over_spine(body, &api).await?
    } else {
        let bytes_max = JsonBytesMax(api.limits.json_bytes_max);
        let body: ReadBody = json(body, bytes_max).await?;
        ReadRequest::from_body(body, None)?
    };
    answer(api.platform.read(request).await?).await
}

async fn over_spine(body: Body, api: &Api) -> Result<ReadRequest, Failure> {
    let rows = rows(body, api.limits.rows_bytes_max).await?;
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
    Ok(ReadRequest::from_body(request, Some(spine))?)
}

async fn read_online(State(api): State<Api>, path: GroupPath) -> Result<Response, Failure> {
    answer(api.platform.read_online(&group_id(path)?).await?).await
}

/// Each end is a commit or a time.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Span {
    from_commit: Option<u64>,
    from_us: Option<i64>,
    to_commit: Option<u64>,
    to_us: Option<i64>,
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
    let from = end("from", span.from_commit, span.from_us)?;
    let to = end("to", span.to_commit, span.to_us)?;
    answer(api.platform.read_changes(&id, from, to).await?).await
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Listing {
    limit: Option<usize>,
}

async fn commits(
    State(api): State<Api>,
    path: GroupPath,
    extract::Query(listing): extract::Query<Listing>,
) -> Answer<Vec<CommitBody>> {
    let id = group_id(path)?;
    let limit = listing.limit.unwrap_or(COMMITS);
    let commits = api.platform.commits(&id, limit).await?;
    Ok(Json(commits.iter().map(CommitBody::from).collect()))
}
