//! Requests that are carried out once, however often they are sent: those with an `Idempotency-Key`.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::header::{CONTENT_TYPE, ETAG, IF_MATCH};
use axum::http::request::Parts;
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tracing::warn;
use twinfold_http_kit::Failure;
use twinfold_http_kit::extract::{JsonRoom, json_bytes};
use twinfold_model::EventTime;
use twinfold_service_kit::TaskGroup;
use twinfold_store_metadata::{Answer, KeyClaim, KeyState, KeyedRequest};

use crate::{Error, Registry};

const HEADER: &str = "idempotency-key";
const KEY_BYTES_MAX: usize = 255;
/// How long a key and its answer are remembered.
const REMEMBERED_FOR: Duration = Duration::from_secs(24 * 3_600);
/// Who has not answered after this long has failed, and whoever asks again is served.
const ANSWERED_WITHIN: Duration = Duration::from_secs(60);
/// Of an answer that is remembered; larger than any.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// What it takes to serve a request once.
#[derive(Debug, Clone)]
pub(super) struct Keyed {
    pub(super) registry: Registry,
    /// For requests whose callers do not wait for them.
    pub(super) tasks: TaskGroup,
}

/// Serves a request that has a key unless it was served before: then its answer is the one of that time.
/// Failures of the registry itself are no answers, so that the same key may be tried again.
pub(super) async fn once(
    State(Keyed { registry, tasks }): State<Keyed>,
    request: Request,
    next: Next,
) -> Result<Response, Failure> {
    let Some(key) = key(&request)? else {
        return Ok(next.run(request).await);
    };
    let (parts, body) = request.into_parts();
    let (body, room) = json_bytes(body, &JsonRoom::of(&parts.extensions)).await?;
    let digest = digest(&parts, &body);
    let at = registry.now();
    match registry.claim_key(&key, &digest, at).await? {
        KeyState::Answered(answer) => return Ok(again(answer)),
        KeyState::Reused => return Err(reused(&key)),
        KeyState::Pending => return Err(under_way(&key)),
        KeyState::Claimed => {}
    }
    let request = Request::from_parts(parts, Body::from(body));
    // Who serves the request takes room for its body again.
    drop(room);
    let (told, answer) = oneshot::channel();
    // To its end, also when the caller has gone: it comes back for the answer.
    tasks.spawn("keyed request", |_| async move {
        // Of its own, because a panic is only seen from outside.
        let mut serving = JoinSet::new();
        serving.spawn(next.run(request));
        let response = match serving.join_next().await {
            Some(Ok(response)) => response,
            _ => ended_early().into_response(),
        };
        let claim = KeyClaim { key: &key, at };
        let _gone = told.send(remember(&registry, claim, response).await);
        Ok::<(), Infallible>(())
    });
    answer.await.unwrap_or_else(|_| Err(ended_early()))
}

fn ended_early() -> Failure {
    twinfold_client::Error::Internal("a request ended early".to_owned()).into()
}

fn key(request: &Request) -> Result<Option<String>, Failure> {
    let Some(header) = request.headers().get(HEADER) else {
        return Ok(None);
    };
    if request.method() != Method::POST {
        return Ok(None);
    }
    match header.to_str() {
        Ok(key) if (1..=KEY_BYTES_MAX).contains(&key.len()) => Ok(Some(key.to_owned())),
        _ => Err(Failure::Unreadable(format!(
            "header {HEADER}: wanted 1 to {KEY_BYTES_MAX} visible characters"
        ))),
    }
}

/// Of all that decides what a request does.
fn digest(parts: &Parts, body: &[u8]) -> String {
    let mut hash = Sha256::new();
    hash.update(format!("{} {}\n", parts.method, parts.uri));
    for tags in parts.headers.get_all(IF_MATCH) {
        hash.update(tags.as_bytes());
        // No header has one.
        hash.update(b"\n");
    }
    hash.update(b"\n");
    hash.update(body);
    let digest: [u8; 32] = hash.finalize().into();
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn again(answer: Answer) -> Response {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::OK);
    let etag = answer.etag.map(|etag| [(ETAG, etag)]);
    let content_type = (!answer.body.is_empty()).then_some([(CONTENT_TYPE, "application/json")]);
    let mut response = (status, answer.body).into_response();
    response.headers_mut().remove(CONTENT_TYPE);
    (content_type, etag, response).into_response()
}

fn reused(key: &str) -> Failure {
    Failure::Refused {
        status: StatusCode::UNPROCESSABLE_ENTITY,
        code: "idempotency_key_reused",
        message: format!("idempotency key `{key}` was sent with another request before"),
    }
}

fn under_way(key: &str) -> Failure {
    Failure::Refused {
        status: StatusCode::CONFLICT,
        code: "request_under_way",
        message: format!("the request with idempotency key `{key}` is still being served"),
    }
}

/// Keeps an answer before it is given. What was done is done even if that fails, so the answer is given
/// all the same.
async fn remember(
    registry: &Registry,
    claim: KeyClaim<'_>,
    response: Response,
) -> Result<Response, Failure> {
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, ANSWER_BYTES_MAX).await.map_err(|error| {
        twinfold_client::Error::Internal(format!("an answer cannot be read: {error}"))
    })?;
    let etag = parts.headers.get(ETAG).and_then(|etag| etag.to_str().ok());
    let kept = if parts.status.is_server_error() {
        registry.release_key(claim).await
    } else {
        let answer = Answer {
            status: parts.status.as_u16(),
            etag: etag.map(str::to_owned),
            body: String::from_utf8_lossy(&body).into_owned(),
        };
        registry.answer_key(claim, &answer).await
    };
    if let Err(error) = kept {
        warn!(key = claim.key, %error, "the answer to a request is not remembered");
    }
    Ok(Response::from_parts(parts, Body::from(body)))
}

impl Registry {
    async fn claim_key(&self, key: &str, digest: &str, now: EventTime) -> Result<KeyState, Error> {
        let request = KeyedRequest {
            key,
            digest,
            now,
            forget_before: before(now, REMEMBERED_FOR),
            abandoned_before: before(now, ANSWERED_WITHIN),
        };
        Ok(self.metadata().claim_key(request).await?)
    }

    async fn answer_key(&self, claim: KeyClaim<'_>, answer: &Answer) -> Result<(), Error> {
        Ok(self.metadata().answer_key(claim, answer).await?)
    }

    async fn release_key(&self, claim: KeyClaim<'_>) -> Result<(), Error> {
        Ok(self.metadata().release_key(claim).await?)
    }
}

fn before(now: EventTime, by: Duration) -> EventTime {
    let micros = i64::try_from(by.as_micros()).unwrap_or(i64::MAX);
    EventTime::from_micros(now.micros().saturating_sub(micros))
}
