//! Requests to a schema registry of Confluent's API, and its answers.

use std::fmt;
use std::num::NonZeroU64;
use std::ops::RangeInclusive;
use std::time::Duration;

use reqwest::{Client, Method, RequestBuilder, Response, Url};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use twinfold_model::SchemaId;
use twinfold_service_kit::with_causes;

use super::error::{ForeignError, Result};

const MEDIA_TYPE: &str = "application/vnd.schemaregistry.v1+json";
/// Of a refusal in an error: a proxy may answer with a page.
const MESSAGE_CHARS_MAX: usize = 500;
const INCOMPATIBLE: u32 = 409;
/// Codes that say that a subject, a version or a schema is not there.
const NOT_THERE: RangeInclusive<u32> = 40_401..=40_403;

/// Where it is, and as whom we ask.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ForeignConfig {
    /// Empty when there is none.
    pub url: String,
    /// For basic authentication; without when empty.
    pub user: String,
    pub password: String,
    /// How long one request may take.
    pub request_timeout_ms_max: NonZeroU64,
}

impl fmt::Debug for ForeignConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ForeignConfig")
            .field("url", &self.url)
            .field("user", &self.user)
            .field("request_timeout_ms_max", &self.request_timeout_ms_max)
            .finish_non_exhaustive()
    }
}

impl ForeignConfig {
    /// Whether its url names a server, and nobody.
    pub fn check(&self) -> Result<()> {
        let invalid = |reason: String| ForeignError::InvalidUrl { reason };
        let url = Url::parse(&self.url).map_err(|error| invalid(error.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") {
            let scheme = url.scheme();
            return Err(invalid(format!(
                "found scheme `{scheme}`, wanted http or https"
            )));
        }
        if !url.username().is_empty() || url.password().is_some() {
            let reason = "it names a user: `user` and `password` are settings of their own";
            return Err(invalid(reason.to_owned()));
        }
        Ok(())
    }
}

/// A schema registry that others run, in the place of ours.
#[derive(Debug, Clone)]
pub struct ForeignRegistry {
    client: Client,
    config: ForeignConfig,
}

/// A schema as it stands there.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ForeignSchema {
    schema: String,
    #[serde(default)]
    schema_type: Option<String>,
    #[serde(default)]
    references: Option<Vec<Json>>,
}

impl ForeignSchema {
    /// The text, or why it cannot be one of rows.
    pub(super) fn avro_json(self) -> Result<String, String> {
        match self.schema_type.as_deref() {
            None | Some("AVRO") => {}
            Some(other) => return Err(format!("its type is {other}, wanted AVRO")),
        }
        if self.references.is_some_and(|all| !all.is_empty()) {
            return Err("it refers to other schemas, which is not supported".to_owned());
        }
        Ok(self.schema)
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct RegistrationRequest<'a> {
    schema: &'a str,
    schema_type: &'a str,
}

#[derive(Debug, Deserialize)]
struct RegistrationAnswer {
    id: u32,
}

#[derive(Debug, Deserialize)]
struct Place {
    subject: String,
}

#[derive(Debug, Deserialize)]
struct ErrorAnswer {
    error_code: u32,
    message: String,
}

impl ForeignRegistry {
    /// Asks nothing yet: a registry that is down for a while must not keep others from starting.
    pub fn new(mut config: ForeignConfig) -> Result<Self> {
        config.check()?;
        config.url.truncate(config.url.trim_end_matches('/').len());
        let timeout = Duration::from_millis(config.request_timeout_ms_max.get());
        let client = Client::builder().timeout(timeout).build();
        let client = client.map_err(|error| ForeignError::Unavailable {
            url: config.url.clone(),
            reason: with_causes(&error),
        })?;
        Ok(Self { client, config })
    }

    /// Without a slash at the end.
    pub fn url(&self) -> &str {
        &self.config.url
    }

    /// Registers a schema as a version of the subject, unless a version has it; its id.
    ///
    /// Subjects are made of the names of topics: nothing in them has a meaning in a path.
    pub(super) async fn register(&self, subject: &str, avro_json: &str) -> Result<SchemaId> {
        let path = format!("/subjects/{subject}/versions");
        let request = self
            .request(Method::POST, &path)
            .json(&RegistrationRequest {
                schema: avro_json,
                schema_type: "AVRO",
            });
        match self.ask::<RegistrationAnswer>(request).await {
            Ok(answer) => Ok(SchemaId(answer.id)),
            Err(ForeignError::Refused { code, message, .. }) if code == INCOMPATIBLE => {
                Err(ForeignError::Incompatible {
                    url: self.url().to_owned(),
                    subject: subject.to_owned(),
                    message,
                })
            }
            Err(other) => Err(other),
        }
    }

    /// The schema of an id.
    pub(super) async fn schema(&self, id: SchemaId) -> Result<Option<ForeignSchema>> {
        let request = self.request(Method::GET, &format!("/schemas/ids/{}", id.0));
        there(self.ask(request).await)
    }

    /// Whether the schema is or was a version of the subject.
    pub(super) async fn stands_under(&self, id: SchemaId, subject: &str) -> Result<bool> {
        let path = format!("/schemas/ids/{}/versions", id.0);
        // Rows that were written with a version outlive it.
        let request = self
            .request(Method::GET, &path)
            .query(&[("deleted", "true")]);
        let places: Option<Vec<Place>> = there(self.ask(request).await)?;
        let mut places = places.into_iter().flatten();
        Ok(places.any(|place| place.subject == subject))
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.client.request(method, format!("{}{path}", self.url()));
        let request = request.header("accept", MEDIA_TYPE);
        if self.config.user.is_empty() {
            return request;
        }
        request.basic_auth(&self.config.user, Some(&self.config.password))
    }

    async fn ask<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T> {
        let answer = request.send().await;
        let answer = answer.map_err(|error| self.unable(with_causes(&error)))?;
        if !answer.status().is_success() {
            return Err(self.refusal(answer).await);
        }
        let body = answer.json().await;
        body.map_err(|error| self.unable(with_causes(&error)))
    }

    /// What an answer says that is none.
    async fn refusal(&self, answer: Response) -> ForeignError {
        let status = answer.status();
        let text = answer.text().await.unwrap_or_default();
        let (code, message) = match serde_json::from_str::<ErrorAnswer>(&text) {
            Ok(said) => (said.error_code, said.message),
            // A proxy in between may answer in its own words.
            Err(_) => (u32::from(status.as_u16()), text),
        };
        let message: String = message.chars().take(MESSAGE_CHARS_MAX).collect();
        if status.is_server_error() || matches!(status.as_u16(), 408 | 429) {
            return self.unable(format!("{status}: {message}"));
        }
        ForeignError::Refused {
            url: self.url().to_owned(),
            code,
            message,
        }
    }

    fn unable(&self, reason: String) -> ForeignError {
        ForeignError::Unavailable {
            url: self.url().to_owned(),
            reason,
        }
    }
}

/// `None` when the registry itself says that there is no such thing, and not somebody before it.
fn there<T>(answer: Result<T>) -> Result<Option<T>> {
    match answer {
        Ok(found) => Ok(Some(found)),
        Err(ForeignError::Refused { code, .. }) if NOT_THERE.contains(&code) => Ok(None),
        Err(other) => Err(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(url: &str) -> Result<ForeignRegistry> {
        ForeignRegistry::new(ForeignConfig {
            url: url.to_owned(),
            user: "twinfold".to_owned(),
            password: "secret".to_owned(),
            request_timeout_ms_max: NonZeroU64::MIN,
        })
    }

    #[test]
    fn a_url_names_a_server_and_nobody() {
        let registry = at("https://schemas.example:8081/api/").expect("valid");
        assert_eq!(registry.url(), "https://schemas.example:8081/api");
        assert!(!format!("{registry:?}").contains("secret"), "{registry:?}");
        for (url, reason) in [
            ("schemas:8081", "found scheme `schemas`"),
            ("nowhere", "relative URL without a base"),
            ("http://me:secret@schemas:8081", "it names a user"),
        ] {
            let error = at(url).expect_err(url).to_string();
            assert!(error.contains(reason), "{error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn only_the_registry_says_that_a_schema_is_not_there() {
        let refused = |code| {
            Err::<(), ForeignError>(ForeignError::Refused {
                url: "http://schemas:8081".to_owned(),
                code,
                message: "not found".to_owned(),
            })
        };
        assert!(matches!(there(refused(40_403)), Ok(None)));
        assert!(there(refused(404)).is_err(), "a proxy knows no schemas");
    }

    #[test]
    fn what_is_not_avro_by_itself_is_not_supported() {
        let found = |json: &str| {
            let schema: ForeignSchema = serde_json::from_str(json).expect("an answer");
            schema.avro_json().is_err()
        };
        assert!(!found(r#"{"schema": "\"int\"", "id": 7}"#));
        assert!(!found(
            r#"{"schema": "\"int\"", "schemaType": "AVRO", "references": []}"#
        ));
        assert!(found(r#"{"schema": "{}", "schemaType": "JSON"}"#));
        assert!(found(
            r#"{"schema": "\"a\"", "references": [{"name": "a"}]}"#
        ));
    }
}
