//! What handlers take out of a request; what is wrong with it is said as every other failure is.

use std::num::NonZeroU64;
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{self, FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{Extensions, StatusCode};
use futures::StreamExt;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use twinfold_client::Error;

use crate::{Budget, Failure, Room};

/// How long a body may bring nothing: what came of it is held meanwhile, and its sender may have vanished.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// How much bodies in JSON may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JsonLimits {
    /// One of them.
    pub json_bytes_max: NonZeroU64,
    /// Those of all requests under way, until they are read.
    pub json_in_flight_bytes_max: NonZeroU64,
}

impl Default for JsonLimits {
    fn default() -> Self {
        let bytes = |bytes| NonZeroU64::new(bytes).expect("not zero");
        Self {
            json_bytes_max: bytes(64 << 20),
            json_in_flight_bytes_max: bytes(256 << 20),
        }
    }
}

/// Room for bodies in JSON, which a layer hands to all handlers with `Extension`.
#[derive(Debug, Clone)]
pub struct JsonRoom {
    bytes_max: u64,
    budget: Budget,
}

impl JsonRoom {
    pub fn within(limits: JsonLimits) -> Self {
        let JsonLimits {
            json_bytes_max: bytes_max,
            json_in_flight_bytes_max: all_bytes_max,
        } = limits;
        Self {
            bytes_max: bytes_max.get(),
            budget: Budget::new("json_in_flight_bytes_max", all_bytes_max, bytes_max),
        }
    }

    /// What a layer has handed to a request.
    pub fn of(extensions: &Extensions) -> Self {
        // A router without the layer has room for each body alone.
        let handed = extensions.get().cloned();
        handed.unwrap_or_else(|| Self::within(JsonLimits::default()))
    }
}

#[derive(Debug)]
pub struct Path<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Path<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        let path = extract::Path::<T>::from_request_parts(parts, state).await;
        let path = path.map_err(|rejection| Failure::Unreadable(rejection.body_text()))?;
        Ok(Self(path.0))
    }
}

#[derive(Debug)]
pub struct Query<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        let query = extract::Query::<T>::from_request_parts(parts, state).await;
        let query = query.map_err(|rejection| Failure::Unreadable(rejection.body_text()))?;
        Ok(Self(query.0))
    }
}

#[derive(Debug)]
pub struct Json<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Failure> {
        let room = JsonRoom::of(request.extensions());
        json(request.into_body(), &room).await.map(Self)
    }
}

/// A body in JSON.
pub async fn json<T: DeserializeOwned>(body: Body, room: &JsonRoom) -> Result<T, Failure> {
    let (bytes, _room) = json_bytes(body, room).await?;
    from_json(&bytes)
}

/// The bytes of a body in JSON, in one piece, and the room that they take.
pub async fn json_bytes(body: Body, room: &JsonRoom) -> Result<(Bytes, Room), Failure> {
    let mut taken = room.budget.room();
    let take = |chunk: &Bytes| taken.grow(chunk.len());
    let chunks = collect(body, "a body in JSON", room.bytes_max, take).await?;
    Ok((chunks.concat().into(), taken))
}

pub fn from_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Failure> {
    serde_json::from_slice(bytes).map_err(|error| {
        Failure::Unreadable(format!(
            "the request is not the JSON that is wanted: {error}"
        ))
    })
}

/// The bytes of a body, as they came. `take` hears of each part before it is kept, and may refuse it. A body
/// that falls silent is given up.
pub async fn collect(
    body: Body,
    what: &'static str,
    bytes_max: u64,
    take: impl FnMut(&Bytes) -> Result<(), Failure>,
) -> Result<Vec<Bytes>, Failure> {
    collect_within(SILENCE_MAX, body, what, bytes_max, take).await
}

async fn collect_within(
    silence_max: Duration,
    body: Body,
    what: &'static str,
    bytes_max: u64,
    mut take: impl FnMut(&Bytes) -> Result<(), Failure>,
) -> Result<Vec<Bytes>, Failure> {
    // Refused before the first byte is read, where the length was said ahead.
    check_size(what, body.size_hint().lower(), bytes_max)?;
    let mut chunks = Vec::new();
    let mut bytes = 0;
    let mut stream = body.into_data_stream();
    loop {
        let next = tokio::time::timeout(silence_max, stream.next()).await;
        let Some(chunk) = next.map_err(|_| silent(what, bytes, silence_max))? else {
            return Ok(chunks);
        };
        let chunk = chunk.map_err(|error| {
            Failure::Unreadable(format!("{what} ended after {bytes} bytes: {error}"))
        })?;
        bytes += chunk.len() as u64;
        check_size(what, bytes, bytes_max)?;
        take(&chunk)?;
        chunks.push(chunk);
    }
}

fn silent(what: &'static str, bytes: u64, silence_max: Duration) -> Failure {
    let silence_s = silence_max.as_secs_f64();
    Failure::Refused {
        status: StatusCode::REQUEST_TIMEOUT,
        code: "silent",
        message: format!("{what} brought nothing for {silence_s} s after {bytes} bytes"),
    }
}

fn check_size(what: &'static str, bytes: u64, bytes_max: u64) -> Result<(), Error> {
    if bytes <= bytes_max {
        return Ok(());
    }
    Err(Error::TooLarge {
        what: what.into(),
        bytes,
        bytes_max,
    })
}

#[cfg(test)]
mod tests {
    use futures::{FutureExt, stream};
    use twinfold_client::Error;

    use super::*;

    #[tokio::test]
    async fn bodies_in_json_find_no_room_until_others_are_read() {
        let bytes = |bytes| NonZeroU64::new(bytes).expect("not zero");
        let room = JsonRoom::within(JsonLimits {
            json_bytes_max: bytes(10),
            json_in_flight_bytes_max: bytes(15),
        });
        let begun = stream::iter([Ok::<_, std::io::Error>(Bytes::from_static(b"[1,2,3,4,"))]);
        let begun = Body::from_stream(begun.chain(stream::pending()));
        let mut slow = Box::pin(json::<Vec<u32>>(begun, &room));
        assert!((&mut slow).now_or_never().is_none());
        let refused = json::<Vec<u32>>(Body::from("[1,2,3]"), &room).await;
        assert!(
            matches!(refused, Err(Failure::Platform(Error::Busy { .. }))),
            "{refused:?}"
        );
        drop(slow);
        for _ in 0..3 {
            let read = json::<Vec<u32>>(Body::from("[1,2,3]"), &room).await;
            assert_eq!(read.expect("room"), [1, 2, 3]);
        }
    }

    #[tokio::test]
    async fn one_body_in_json_always_finds_room() {
        let bytes = |bytes| NonZeroU64::new(bytes).expect("not zero");
        let room = JsonRoom::within(JsonLimits {
            json_bytes_max: bytes(10),
            json_in_flight_bytes_max: bytes(1),
        });
        let read = json::<Vec<u32>>(Body::from("[1,2,3,4]"), &room).await;
        assert_eq!(read.expect("room"), [1, 2, 3, 4]);
    }

    #[tokio::test]
    async fn a_body_is_taken_up_to_its_limit() {
        let body = || {
            let chunks = [Bytes::from_static(b"abc"), Bytes::from_static(b"de")];
            Body::from_stream(stream::iter(chunks.map(Ok::<_, std::io::Error>)))
        };
        let chunks = collect(body(), "a body", 5, |_| Ok(()))
            .await
            .expect("fits");
        assert_eq!(chunks, ["abc", "de"]);
        for too_large in [body(), Body::from("abcde")] {
            let failure = collect(too_large, "a body", 4, |_| Ok(()))
                .await
                .expect_err("too large");
            let Failure::Platform(Error::TooLarge {
                bytes, bytes_max, ..
            }) = failure
            else {
                panic!("{failure:?}");
            };
            assert_eq!((bytes, bytes_max), (5, 4));
        }
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_is_no_shorter_body() {
        let chunks = [
            Ok(Bytes::from_static(b"abc")),
            Err(std::io::Error::other("reset")),
        ];
        let body = Body::from_stream(stream::iter(chunks));
        let failure = collect(body, "a body", 5, |_| Ok(()))
            .await
            .expect_err("broken");
        let Failure::Unreadable(message) = failure else {
            panic!("{failure:?}");
        };
        assert!(message.contains("ended after 3 bytes"), "{message}");
    }

    #[tokio::test]
    async fn a_body_that_falls_silent_is_given_up() {
        let begun = stream::iter([Ok::<_, std::io::Error>(Bytes::from_static(b"abc"))]);
        let body = Body::from_stream(begun.chain(stream::pending()));
        let failure = collect_within(Duration::from_millis(5), body, "a body", 5, |_| Ok(()))
            .await
            .expect_err("it never ends");
        let Failure::Refused {
            status,
            code,
            message,
        } = failure
        else {
            panic!("{failure:?}");
        };
        assert_eq!((status, code), (StatusCode::REQUEST_TIMEOUT, "silent"));
        assert_eq!(message, "a body brought nothing for 0.005 s after 3 bytes");
    }
}
