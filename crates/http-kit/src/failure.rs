//! Failures as answers.

use axum::Json;
use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderValue, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use tracing::{error, warn};
use twinfold_client::{Error, Fault};
use twinfold_wire::rest::ErrorBody;

/// When what is not ready may be asked for again: nobody knows better.
const RETRY_AFTER_S: &str = "1";

/// Why a handler has no answer.
#[derive(Debug)]
pub enum Failure {
    Platform(Error),
    /// The request says nothing that can be read.
    Unreadable(String),
    /// Something that only an HTTP interface knows.
    Refused {
        status: StatusCode,
        code: &'static str,
        message: String,
    },
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Platform(error)
    }
}

impl From<twinfold_model::Error> for Failure {
    fn from(error: twinfold_model::Error) -> Self {
        Self::Platform(error.into())
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut response = match self {
            Self::Platform(error) => {
                log(&error);
                (status(&error), Json(ErrorBody::from(&error))).into_response()
            }
            Self::Unreadable(message) => plain(StatusCode::BAD_REQUEST, "invalid", message),
            Self::Refused {
                status,
                code,
                message,
            } => plain(status, code, message),
        };
        if response.status() == StatusCode::SERVICE_UNAVAILABLE {
            let headers = response.headers_mut();
            headers.insert(RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_S));
        }
        response
    }
}

/// What is the caller's doing is the caller's to handle.
fn log(error: &Error) {
    match error.fault() {
        Fault::Caller => {}
        Fault::Dependency => warn!(%error, "a request failed"),
        Fault::Us => error!(%error, "a request failed"),
    }
}

fn status(error: &Error) -> StatusCode {
    match error {
        Error::Invalid(_) => StatusCode::BAD_REQUEST,
        Error::NotFound { .. } | Error::MissingRow { .. } => StatusCode::NOT_FOUND,
        Error::AlreadyExists { .. } | Error::InUse { .. } => StatusCode::CONFLICT,
        Error::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        Error::Stale { .. } => StatusCode::PRECONDITION_FAILED,
        Error::Quarantined { .. } => StatusCode::UNPROCESSABLE_ENTITY,
        Error::NotReady { .. }
        | Error::Busy { .. }
        | Error::Closed
        | Error::Dependency { retry: true, .. } => StatusCode::SERVICE_UNAVAILABLE,
        Error::Timeout { .. } => StatusCode::GATEWAY_TIMEOUT,
        // The first two say that a platform cannot be opened, and this one is.
        Error::Locked { .. }
        | Error::NewerFormat { .. }
        | Error::Dependency { retry: false, .. }
        | Error::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// A failure that the platform knows nothing of.
fn plain(status: StatusCode, code: &str, message: String) -> Response {
    let body = ErrorBody {
        code: code.to_owned(),
        message,
        details: None,
    };
    (status, Json(body)).into_response()
}

/// For paths that lead nowhere.
pub async fn no_such_route(uri: Uri) -> Response {
    let message = format!("there is no resource `{}`", uri.path());
    plain(StatusCode::NOT_FOUND, "no_such_resource", message)
}

/// For methods that a path does not answer.
pub async fn no_such_method(method: Method, uri: Uri) -> Response {
    let message = format!("`{}` does not answer {method}", uri.path());
    plain(StatusCode::METHOD_NOT_ALLOWED, "no_such_method", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_failure_answers_with_its_status_and_its_fields() {
        let error = Error::NotFound {
            what: "feature view".into(),
            name: "default.fares_1".to_owned(),
            hint: String::new(),
        };
        let response = Failure::from(error).into_response();
        assert_eq!(response.status(), StatusCode::NOT_FOUND);
        let body = axum::body::to_bytes(response.into_body(), 1 << 20).await;
        let body: ErrorBody = serde_json::from_slice(&body.expect("body")).expect("readable");
        assert_eq!(body.code, "not_found");
        assert_eq!(
            body.message,
            "feature view `default.fares_1` does not exist"
        );
        let details = body.details.expect("details");
        assert!(matches!(
            Error::try_from(details),
            Ok(Error::NotFound { .. })
        ));
    }

    #[test]
    fn what_may_be_tried_again_says_when() {
        let busy = Error::Busy {
            reason: "2 queries run already".to_owned(),
        };
        for error in [busy, Error::Closed] {
            let response = Failure::from(error).into_response();
            assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
            assert_eq!(response.headers()[RETRY_AFTER], "1");
        }
        let refused = Failure::Unreadable("no JSON".to_owned()).into_response();
        assert!(!refused.headers().contains_key(RETRY_AFTER));
    }
}
