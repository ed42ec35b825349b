//! What handlers take out of a request; what is wrong with it is said as every other failure is.

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value as Json;

use super::answer::Failure;
use crate::subjects::{Candidate, SchemaError, Seen};

/// What stands in the path.
pub(super) struct InPath<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for InPath<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        let path = Path::<T>::from_request_parts(parts, state).await;
        let path = path.map_err(|rejection| Failure::Unreadable {
            status: StatusCode::NOT_FOUND,
            message: rejection.body_text(),
        })?;
        Ok(Self(path.0))
    }
}

/// What stands behind the question mark. Names that are not known are ignored: clients send options of later
/// versions too.
pub(super) struct Parameters(Vec<(String, String)>);

impl<S: Send + Sync> FromRequestParts<S> for Parameters {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        let pairs = Query::<Vec<(String, String)>>::from_request_parts(parts, state).await;
        let pairs = pairs.map_err(|rejection| Failure::Unreadable {
            status: StatusCode::BAD_REQUEST,
            message: rejection.body_text(),
        })?;
        Ok(Self(pairs.0))
    }
}

impl Parameters {
    /// The values of a name that may stand several times.
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let named = self.0.iter().filter(move |(found, _)| found == name);
        named.map(|(_, value)| value.as_str())
    }

    pub(super) fn one(&self, name: &str) -> Option<&str> {
        let named = self.0.iter().rev().find(|(found, _)| found == name);
        named.map(|(_, value)| value.as_str())
    }

    /// Whether it is said and true, in any case: Python says `True`.
    pub(super) fn is_set(&self, name: &str) -> bool {
        let value = self.one(name);
        value.is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }

    pub(super) fn seen(&self) -> Seen {
        if self.is_set("deletedOnly") || self.is_set("deleted_only") {
            Seen::DeletedOnly
        } else if self.is_set("deleted") {
            Seen::DeletedToo
        } else {
            Seen::Live
        }
    }

    /// The part of a list that `offset` and `limit` ask for; a limit below 0 is none.
    pub(super) fn page<T>(&self, all: Vec<T>) -> Vec<T> {
        let number = |name| self.one(name).and_then(|value| value.parse::<i64>().ok());
        let natural = |number: i64| usize::try_from(number).ok();
        let offset = number("offset").and_then(natural).unwrap_or(0);
        let limit = number("limit").and_then(natural).unwrap_or(usize::MAX);
        all.into_iter().skip(offset).take(limit).collect()
    }
}

/// A body in JSON, whatever its type is said to be.
pub(super) struct Body<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &S) -> Result<Self, Failure> {
        let bytes = Bytes::from_request(request, state).await;
        let bytes = bytes.map_err(|rejection| Failure::Unreadable {
            status: rejection.status(),
            message: rejection.body_text(),
        })?;
        let body = serde_json::from_slice(&bytes).map_err(|error| Failure::Unreadable {
            status: StatusCode::BAD_REQUEST,
            message: format!("the request is not the JSON that is wanted: {error}"),
        })?;
        Ok(Self(body))
    }
}

/// A schema as clients send it. What is not known is ignored, unless the schema would mean something else
/// without it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SchemaRequest {
    #[serde(default)]
    schema: Option<String>,
    #[serde(default)]
    schema_type: Option<String>,
    #[serde(default)]
    references: Option<Vec<Json>>,
    #[serde(default)]
    metadata: Option<Json>,
    #[serde(default)]
    rule_set: Option<Json>,
    #[serde(default)]
    id: Option<i64>,
}

impl SchemaRequest {
    pub(super) fn candidate(&self) -> Result<Candidate, SchemaError> {
        let invalid = |reason: String| Err(SchemaError::InvalidSchema { reason });
        match self.schema_type.as_deref() {
            None | Some("AVRO") => {}
            Some(other) => return invalid(format!("its type is {other}, wanted AVRO")),
        }
        if self.references.as_ref().is_some_and(|all| !all.is_empty()) {
            let reason =
                "it refers to other schemas, which is not supported: define the types in it";
            return invalid(reason.to_owned());
        }
        if self.rule_set.as_ref().is_some_and(says_something) {
            return invalid("it has rules, which are not supported".to_owned());
        }
        let Some(schema) = self.schema.as_deref().filter(|text| !text.is_empty()) else {
            return invalid("it is empty".to_owned());
        };
        let metadata = self.metadata.as_ref();
        Candidate::parse(schema, metadata.filter(|metadata| says_something(metadata)))
    }

    /// Refuses an id that a client wants to give.
    pub(super) fn require_no_id(&self) -> Result<(), SchemaError> {
        match self.id {
            Some(id) if id > 0 => Err(SchemaError::NotPermitted {
                what: "a registration with an id",
                reason: "the registry gives the ids".to_owned(),
            }),
            _ => Ok(()),
        }
    }
}

/// Whether there is a value in it at any depth: clients send empty parts.
fn says_something(json: &Json) -> bool {
    match json {
        Json::Null => false,
        Json::Array(items) => items.iter().any(says_something),
        Json::Object(object) => object.values().any(says_something),
        Json::Bool(_) | Json::Number(_) | Json::String(_) => true,
    }
}
