//! What is answered, failures too: JSON of Confluent's own media type.

use axum::Json;
use axum::http::header::CONTENT_TYPE;
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tracing::warn;
use twinfold_client::Fault;

use crate::Error;
use crate::subjects::SchemaError;

const MEDIA_TYPE: &str = "application/vnd.schemaregistry.v1+json";

/// The store cannot say now; the same request may succeed later.
const UNABLE: u32 = 50_301;
/// The store will not say it the next time either.
const STORE_FAILED: u32 = 50_001;
const TOO_LARGE: u32 = 42_209;

pub(super) type Result<T> = std::result::Result<Answer<T>, Failure>;

#[derive(Debug)]
pub(super) struct Answer<T>(pub(super) T);

impl<T: Serialize> IntoResponse for Answer<T> {
    fn into_response(self) -> Response {
        ([(CONTENT_TYPE, MEDIA_TYPE)], Json(self.0)).into_response()
    }
}

/// The text of a schema, which is JSON as it is.
#[derive(Debug)]
pub(super) struct SchemaText(pub(super) String);

impl IntoResponse for SchemaText {
    fn into_response(self) -> Response {
        ([(CONTENT_TYPE, MEDIA_TYPE)], self.0).into_response()
    }
}

/// Why a handler has no answer.
#[derive(Debug)]
pub(super) enum Failure {
    Registry(Error),
    /// The request says nothing that can be read.
    Unreadable {
        status: StatusCode,
        message: String,
    },
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Registry(error)
    }
}

impl From<SchemaError> for Failure {
    fn from(error: SchemaError) -> Self {
        Self::Registry(error.into())
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        match self {
            Self::Unreadable { status, message } => {
                let code = match status {
                    StatusCode::PAYLOAD_TOO_LARGE => TOO_LARGE,
                    other => u32::from(other.as_u16()),
                };
                failure(code, message)
            }
            Self::Registry(error) => failure(code(&error), error.to_string()),
        }
    }
}

fn code(error: &Error) -> u32 {
    match error {
        Error::Schema(error) => error.code(),
        other => {
            warn!(error = %other, "a question about schemas has no answer");
            match other.fault() {
                Fault::Dependency if other.retry() => UNABLE,
                _ => STORE_FAILED,
            }
        }
    }
}

#[derive(Debug, Serialize)]
struct ErrorBody {
    error_code: u32,
    message: String,
}

fn failure(error_code: u32, message: String) -> Response {
    let status = match error_code {
        long if long > 999 => long / 100,
        short => short,
    };
    let status = u16::try_from(status).ok();
    let status = status.and_then(|status| StatusCode::from_u16(status).ok());
    let body = Answer(ErrorBody {
        error_code,
        message,
    });
    (status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), body).into_response()
}

pub(crate) async fn no_such_route(uri: Uri) -> Response {
    failure(404, format!("there is no resource `{}`", uri.path()))
}

pub(super) async fn no_such_method(method: Method, uri: Uri) -> Response {
    failure(405, format!("`{}` does not answer {method}", uri.path()))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use twinfold_store_metadata::Error as MetadataError;

    use super::*;

    #[test]
    fn a_store_that_is_away_is_worth_another_request() {
        let late = Error::StepTimeout {
            timeout: Duration::from_secs(1),
        };
        let contended = SchemaError::Contended {
            subject: "rides-value".to_owned(),
            attempts: 10,
        };
        let corrupt = Error::Metadata(MetadataError::Corrupt {
            what: "schema",
            name: "7".to_owned(),
            reason: "it is not JSON".to_owned(),
        });
        for (error, status) in [
            (late, StatusCode::SERVICE_UNAVAILABLE),
            (contended.into(), StatusCode::SERVICE_UNAVAILABLE),
            (corrupt, StatusCode::INTERNAL_SERVER_ERROR),
        ] {
            let answer = Failure::from(error).into_response();
            assert_eq!(answer.status(), status);
        }
    }
}
