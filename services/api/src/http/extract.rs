//! What handlers take out of a request; what is wrong with it is said as every other failure is.

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{self, FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use futures::StreamExt;
use serde::de::DeserializeOwned;
use twinfold_client::Error;

use super::Api;
use super::errors::Failure;

pub(super) struct Path<T>(pub(super) T);

impl<T: DeserializeOwned + Send> FromRequestParts<Api> for Path<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Failure> {
        let path = extract::Path::<T>::from_request_parts(parts, api).await;
        let path = path.map_err(|rejection| Failure::Unreadable(rejection.body_text()))?;
        Ok(Self(path.0))
    }
}

pub(super) struct Query<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequestParts<Api> for Query<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Failure> {
        let query = extract::Query::<T>::from_request_parts(parts, api).await;
        let query = query.map_err(|rejection| Failure::Unreadable(rejection.body_text()))?;
        Ok(Self(query.0))
    }
}

pub(super) struct Json<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest<Api> for Json<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, api: &Api) -> Result<Self, Failure> {
        json(request.into_body(), api).await.map(Self)
    }
}

/// A body in JSON.
pub(super) async fn json<T: DeserializeOwned>(body: Body, api: &Api) -> Result<T, Failure> {
    let chunks = collect(body, "a body in JSON", api.limits.json_bytes_max).await?;
    let mut bytes = Vec::new();
    for chunk in &chunks {
        bytes.extend_from_slice(chunk);
    }
    from_json(&bytes)
}

pub(super) fn from_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Failure> {
    serde_json::from_slice(bytes).map_err(|error| {
        Failure::Unreadable(format!(
            "the request is not the JSON that is wanted: {error}"
        ))
    })
}

/// The bytes of a body, as they came.
pub(super) async fn collect(
    body: Body,
    what: &'static str,
    bytes_max: u64,
) -> Result<Vec<Bytes>, Failure> {
    // Refused before the first byte is read, where the length was said ahead.
    check_size(what, body.size_hint().lower(), bytes_max)?;
    let mut chunks = Vec::new();
    let mut bytes = 0;
    let mut stream = body.into_data_stream();
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.map_err(|error| {
            Failure::Unreadable(format!("{what} ended after {bytes} bytes: {error}"))
        })?;
        bytes += chunk.len() as u64;
        check_size(what, bytes, bytes_max)?;
        chunks.push(chunk);
    }
    Ok(chunks)
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
    use futures::stream;

    use super::*;

    #[tokio::test]
    async fn a_body_is_taken_up_to_its_limit() {
        let body = || {
            let chunks = [Bytes::from_static(b"abc"), Bytes::from_static(b"de")];
            Body::from_stream(stream::iter(chunks.map(Ok::<_, std::io::Error>)))
        };
        let chunks = collect(body(), "a body", 5).await.expect("fits");
        assert_eq!(chunks, ["abc", "de"]);
        for too_large in [body(), Body::from("abcde")] {
            let failure = collect(too_large, "a body", 4)
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
        let failure = collect(body, "a body", 5).await.expect_err("broken");
        let Failure::Unreadable(message) = failure else {
            panic!("{failure:?}");
        };
        assert!(message.contains("ended after 3 bytes"), "{message}");
    }
}
