//! Requests to a service, and its errors as ours.

use std::time::Duration;

use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use twinfold_service_kit::with_causes;
use twinfold_wire::rest::{ErrorBody, PAGE_ITEMS_MAX, PageBody};
use uuid::Uuid;

use super::preconditions::tied;
use crate::{Error, Expected, Result};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Longer than the longest wait that is asked for.
pub(super) const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);

const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// What a service says to a key whose request it is serving.
const UNDER_WAY: &str = "request_under_way";
/// Requests without an answer.
const CREATE_ATTEMPTS_MAX: u32 = 5;
const CREATE_PAUSE: Duration = Duration::from_millis(500);
/// Answers that the request is being served. With the pauses 65 s: a registry that died over a request is
/// given up after 60.
const UNDER_WAY_ANSWERS_MAX: u32 = 130;

/// The request is being served; its answer is to be asked for again.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct UnderWay(String);

/// One service behind one address.
#[derive(Debug, Clone)]
pub(super) struct Service {
    client: reqwest::Client,
    /// Without a slash at the end.
    base: String,
    what: &'static str,
}

impl Service {
    /// `root` is where all that is asked for lies, below the address.
    pub(super) fn new(what: &'static str, address: &str, root: &str) -> Result<Self> {
        let client = reqwest::Client::builder().connect_timeout(CONNECT_TIMEOUT);
        let client = client.build();
        Ok(Self {
            client: client.map_err(|error| failed(what, &error))?,
            base: format!("{}{root}", address.trim_end_matches('/')),
            what,
        })
    }

    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        self.read(self.request(Method::GET, path)).await
    }

    /// Sends a body and takes no answer but that it went well.
    pub(super) async fn post(&self, path: &str, body: &impl Serialize) -> Result<()> {
        let request = self.request(Method::POST, path).json(body);
        self.answer(request).await.map(drop)
    }

    pub(super) async fn post_for<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T> {
        self.read(self.request(Method::POST, path).json(body)).await
    }

    /// Sends what is to be done once. While no answer comes, the same request is sent again under the same
    /// key, so that it is answered as if it had been sent once.
    pub(super) async fn create<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T> {
        self.create_tied(path, body, &Expected::Anything).await
    }

    /// The same to what is as it is expected to be.
    pub(super) async fn create_tied<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
        expected: &Expected,
    ) -> Result<T> {
        let key = Uuid::new_v4().to_string();
        let (mut attempts, mut under_way) = (1, 0);
        loop {
            let request = tied(self.request(Method::POST, path), expected);
            let request = request.header(IDEMPOTENCY_KEY, &key).json(body);
            match self.read(request).await {
                Err(Error::Dependency { source, .. }) if source.is::<UnderWay>() => {
                    under_way += 1;
                    if under_way > UNDER_WAY_ANSWERS_MAX {
                        return Err(Error::dependency(self.what, true, source));
                    }
                }
                Err(Error::Dependency { retry: true, .. }) if attempts < CREATE_ATTEMPTS_MAX => {
                    attempts += 1;
                }
                outcome => return outcome,
            }
            tokio::time::sleep(CREATE_PAUSE).await;
        }
    }

    /// All of a list, page by page.
    pub(super) async fn list<T: DeserializeOwned>(
        &self,
        path: &str,
        filter: &[(&str, &str)],
    ) -> Result<Vec<T>> {
        let (mut all, mut page_token) = (Vec::new(), None::<String>);
        loop {
            let request = self.request(Method::GET, path).query(filter);
            let mut request = request.query(&[("limit", PAGE_ITEMS_MAX)]);
            if let Some(token) = &page_token {
                request = request.query(&[("page_token", token)]);
            }
            let page: PageBody<T> = self.read(request).await?;
            all.extend(page.items);
            page_token = page.next_page_token;
            if page_token.is_none() {
                return Ok(all);
            }
        }
    }

    pub(super) async fn delete(&self, path: &str) -> Result<()> {
        let request = self.request(Method::DELETE, path);
        self.answer(request).await.map(drop)
    }

    /// A request that is answered in time or fails.
    pub(super) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.long_request(method, path).timeout(REQUEST_TIMEOUT)
    }

    /// A request that takes as long as its work does: rows in and out, datasets. A peer that is gone is
    /// noticed all the same, by the probes that keep a connection alive.
    pub(super) fn long_request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.base))
    }

    /// What an answer says.
    pub(super) async fn read<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T> {
        let answer = self.answer(request).await?;
        self.body(answer).await
    }

    pub(super) async fn body<T: DeserializeOwned>(&self, answer: Response) -> Result<T> {
        let body = answer.json().await;
        body.map_err(|error| failed(self.what, &error))
    }

    /// An answer as soon as it begins, if it is not a failure.
    pub(super) async fn answer(&self, request: RequestBuilder) -> Result<Response> {
        let response = request.send().await;
        let response = response.map_err(|error| failed(self.what, &error))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        let text = response.text().await.unwrap_or_default();
        Err(refused(self.what, status, &text))
    }
}

/// There was no answer, or none that can be read.
fn failed(what: &'static str, error: &reqwest::Error) -> Error {
    // What cannot even be sent will not be sent the next time either.
    Error::dependency(what, !error.is_builder(), with_causes(error))
}

/// The error that an answer says.
fn refused(what: &'static str, status: StatusCode, text: &str) -> Error {
    let retry = status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS;
    let Ok(body) = serde_json::from_str::<ErrorBody>(text) else {
        // A proxy in between may answer in its own words.
        return Error::dependency(what, retry, format!("{status}: {text}"));
    };
    match body.details {
        Some(details) => Error::try_from(details)
            .unwrap_or_else(|unreadable| Error::dependency(what, false, unreadable)),
        None if body.code == "not_found" => Error::NotFound {
            what: what.into(),
            name: String::new(),
            hint: format!("; {}", body.message),
        },
        None if body.code == UNDER_WAY => Error::dependency(what, true, UnderWay(body.message)),
        None => Error::dependency(what, retry, body.message),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_the_error_that_it_says() {
        let error = refused("platform", StatusCode::SERVICE_UNAVAILABLE, "<html>busy");
        assert!(error.retry());
        assert_eq!(
            error.to_string(),
            "platform: 503 Service Unavailable: <html>busy"
        );
        let said = Error::NotReady {
            group: "default.weather_1".to_owned(),
            reason: "it is being deleted".to_owned(),
        };
        let body = serde_json::to_string(&ErrorBody::from(&said)).expect("serializable");
        let error = refused("platform", StatusCode::SERVICE_UNAVAILABLE, &body);
        assert!(matches!(error, Error::NotReady { .. }), "{error}");
        let no_route = r#"{"code":"no_such_resource","message":"there is no resource `/x`"}"#;
        let error = refused("platform", StatusCode::NOT_FOUND, no_route);
        assert!(!error.retry());
        assert_eq!(error.to_string(), "platform: there is no resource `/x`");
    }
}
