use axum::Json;
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use twinfold_client::Fault;
use twinfold_wire::rest::{ErrorBody, ErrorDetailsBody};

use crate::Error;

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let (status, code) = match &self {
            Self::Invalid(_) => (StatusCode::BAD_REQUEST, "invalid"),
            Self::NotFound { .. } => (StatusCode::NOT_FOUND, "not_found"),
            Self::AlreadyExists { .. } => (StatusCode::CONFLICT, "already_exists"),
            Self::DefinitionDiffers { .. } => (StatusCode::CONFLICT, "definition_differs"),
            Self::InUse { .. } => (StatusCode::CONFLICT, "in_use"),
            Self::BeingDeleted { .. } => (StatusCode::CONFLICT, "being_deleted"),
            Self::Contended { .. } => (StatusCode::CONFLICT, "contended"),
            Self::NotReady { .. } => (StatusCode::SERVICE_UNAVAILABLE, "not_ready"),
            other => match other.fault() {
                Fault::Caller => (StatusCode::BAD_REQUEST, "invalid"),
                Fault::Dependency => (StatusCode::SERVICE_UNAVAILABLE, "store_failed"),
                Fault::Us => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
            },
        };
        let message = self.to_string();
        answer(status, code, message, details(self))
    }
}

/// The fields of the errors that a client tells apart.
fn details(error: Error) -> Option<ErrorDetailsBody> {
    use ErrorDetailsBody as Body;
    Some(match error {
        Error::Invalid(error) => Body::Invalid((&error).into()),
        Error::NotFound { what, name, hint } => Body::NotFound {
            what: what.to_owned(),
            name,
            hint,
        },
        Error::AlreadyExists { what, name, hint } => Body::AlreadyExists {
            what: what.to_owned(),
            name,
            hint,
        },
        Error::DefinitionDiffers { group, difference } => Body::AlreadyExists {
            what: "feature group".to_owned(),
            name: group.to_string(),
            hint: format!(" with another definition: {difference}"),
        },
        Error::InUse { group, users } => Body::InUse {
            what: "feature group".to_owned(),
            name: group.to_string(),
            reason: format!("it is used by {}", users.join(", ")),
        },
        Error::BeingDeleted { group } => Body::NotReady {
            group: group.to_string(),
            reason: "it is being deleted".to_owned(),
        },
        Error::NotReady { group, reason, .. } => Body::NotReady {
            group: group.to_string(),
            reason,
        },
        _ => return None,
    })
}

fn answer(
    status: StatusCode,
    code: &str,
    message: String,
    details: Option<ErrorDetailsBody>,
) -> Response {
    let body = ErrorBody {
        code: code.to_owned(),
        message,
        details,
    };
    (status, Json(body)).into_response()
}

pub(super) async fn no_such_route(uri: Uri) -> Response {
    let message = format!("there is no resource `{}`", uri.path());
    answer(StatusCode::NOT_FOUND, "no_such_resource", message, None)
}

pub(super) async fn no_such_method(method: Method, uri: Uri) -> Response {
    let message = format!("`{}` does not answer {method}", uri.path());
    answer(
        StatusCode::METHOD_NOT_ALLOWED,
        "no_such_method",
        message,
        None,
    )
}
