use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use twinfold_model::Error;

use super::{Exact, FeatureGroupIdBody, QuarantinedRecordBody};

/// What every service answers when a call fails.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ErrorBody {
    /// For programs; never changes.
    pub code: String,
    /// For people.
    pub message: String,
    /// What the failure knows, so that a client of ours raises the very same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<ErrorDetailsBody>,
}

/// The fields of a failure, by its kind: `{"not_found": {"what": "feature group", …}}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ErrorDetailsBody {
    Invalid(InvalidBody),
    NotFound {
        what: String,
        name: String,
        hint: String,
    },
    AlreadyExists {
        what: String,
        name: String,
        hint: String,
    },
    InUse {
        what: String,
        name: String,
        reason: String,
    },
    Stale {
        group: String,
        found: String,
        wanted: String,
    },
    NotReady {
        group: String,
        reason: String,
    },
    Busy {
        reason: String,
    },
    Timeout {
        action: String,
        seconds: Exact<f64>,
        state: String,
    },
    Quarantined {
        group: FeatureGroupIdBody,
        records: Vec<QuarantinedRecordBody>,
    },
    MissingRow {
        group: FeatureGroupIdBody,
        key: String,
        presence: String,
    },
    TooLarge {
        what: String,
        bytes: u64,
        bytes_max: u64,
    },
    Locked {
        what: String,
        path: String,
    },
    NewerFormat {
        path: String,
        found: u32,
        supported: u32,
    },
    Closed,
    StoreFailed {
        what: String,
        retry: bool,
        reason: String,
    },
    Internal {
        reason: String,
    },
}

/// What is wrong with a definition or a value: a counterpart of each of the model's errors.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum InvalidBody {
    Name {
        what: String,
        found: String,
    },
    Type {
        found: String,
        reason: String,
    },
    FeatureGroup {
        group: String,
        reason: String,
    },
    FeatureView {
        view: String,
        reason: String,
    },
    Query {
        reason: String,
    },
    Dataset {
        dataset: String,
        reason: String,
    },
    NotReplayable {
        position: String,
        reason: String,
    },
    Config {
        reason: String,
    },
    UnknownFeature {
        feature: String,
        owner: String,
        known: Vec<String>,
    },
    TypeMismatch {
        feature: String,
        found: String,
        wanted: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        row: Option<u64>,
    },
    IncompatibleEvolution {
        group: String,
        reason: String,
        next_version: u32,
    },
}

impl ErrorBody {
    pub fn new(message: String, details: ErrorDetailsBody) -> Self {
        Self {
            code: details.code().to_owned(),
            message,
            details: Some(details),
        }
    }
}

impl ErrorDetailsBody {
    /// The code of an error of this kind.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Invalid(_) => "invalid",
            Self::NotFound { .. } => "not_found",
            Self::AlreadyExists { .. } => "already_exists",
            Self::InUse { .. } => "in_use",
            Self::Stale { .. } => "stale",
            Self::NotReady { .. } => "not_ready",
            Self::Busy { .. } => "busy",
            Self::Timeout { .. } => "timeout",
            Self::Quarantined { .. } => "quarantined",
            Self::MissingRow { .. } => "missing_row",
            Self::TooLarge { .. } => "too_large",
            Self::Locked { .. } => "locked",
            Self::NewerFormat { .. } => "newer_format",
            Self::Closed => "closed",
            Self::StoreFailed { .. } => "store_failed",
            Self::Internal { .. } => "internal",
        }
    }
}

impl From<&Error> for InvalidBody {
    fn from(error: &Error) -> Self {
        match error.clone() {
            Error::InvalidName { what, found } => Self::Name {
                what: what.into_owned(),
                found,
            },
            Error::InvalidType { found, reason } => Self::Type { found, reason },
            Error::InvalidFeatureGroup { group, reason } => Self::FeatureGroup { group, reason },
            Error::InvalidFeatureView { view, reason } => Self::FeatureView { view, reason },
            Error::InvalidQuery { reason } => Self::Query { reason },
            Error::InvalidDataset { dataset, reason } => Self::Dataset { dataset, reason },
            Error::NotReplayable { position, reason } => Self::NotReplayable { position, reason },
            Error::InvalidConfig { reason } => Self::Config { reason },
            Error::UnknownFeature {
                feature,
                owner,
                known,
            } => Self::UnknownFeature {
                feature,
                owner,
                known,
            },
            Error::TypeMismatch {
                feature,
                found,
                wanted,
                row,
            } => Self::TypeMismatch {
                feature,
                found,
                wanted,
                row,
            },
            Error::IncompatibleEvolution {
                group,
                reason,
                next_version,
            } => Self::IncompatibleEvolution {
                group,
                reason,
                next_version,
            },
        }
    }
}

impl From<InvalidBody> for Error {
    fn from(body: InvalidBody) -> Self {
        match body {
            InvalidBody::Name { what, found } => Self::InvalidName {
                what: what.into(),
                found,
            },
            InvalidBody::Type { found, reason } => Self::InvalidType { found, reason },
            InvalidBody::FeatureGroup { group, reason } => {
                Self::InvalidFeatureGroup { group, reason }
            }
            InvalidBody::FeatureView { view, reason } => Self::InvalidFeatureView { view, reason },
            InvalidBody::Query { reason } => Self::InvalidQuery { reason },
            InvalidBody::Dataset { dataset, reason } => Self::InvalidDataset { dataset, reason },
            InvalidBody::NotReplayable { position, reason } => {
                Self::NotReplayable { position, reason }
            }
            InvalidBody::Config { reason } => Self::InvalidConfig { reason },
            InvalidBody::UnknownFeature {
                feature,
                owner,
                known,
            } => Self::UnknownFeature {
                feature,
                owner,
                known,
            },
            InvalidBody::TypeMismatch {
                feature,
                found,
                wanted,
                row,
            } => Self::TypeMismatch {
                feature,
                found,
                wanted,
                row,
            },
            InvalidBody::IncompatibleEvolution {
                group,
                reason,
                next_version,
            } => Self::IncompatibleEvolution {
                group,
                reason,
                next_version,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_readable_with_and_without_its_details() {
        let details = ErrorDetailsBody::NotFound {
            what: "feature view".to_owned(),
            name: "default.fares_2".to_owned(),
            hint: "; there is version 1".to_owned(),
        };
        let body = ErrorBody::new("no view".to_owned(), details);
        let json = concat!(
            r#"{"code":"not_found","message":"no view","details":{"not_found":"#,
            r#"{"what":"feature view","name":"default.fares_2","hint":"; there is version 1"}}}"#
        );
        assert_eq!(serde_json::to_string(&body).expect("serializable"), json);
        assert_eq!(
            serde_json::from_str::<ErrorBody>(json).expect("readable"),
            body
        );
        let bare: ErrorBody =
            serde_json::from_str(r#"{"code":"x","message":"y"}"#).expect("readable");
        assert_eq!(bare.details, None);
        let closed = ErrorBody::new("closed".to_owned(), ErrorDetailsBody::Closed);
        let json = serde_json::to_string(&closed).expect("serializable");
        assert_eq!(
            serde_json::from_str::<ErrorBody>(&json).expect("readable"),
            closed
        );
    }

    #[test]
    fn every_error_of_the_model_reads_back() {
        let text = || "a `quoted` text".to_owned();
        let errors = [
            Error::InvalidName {
                what: "split".into(),
                found: text(),
            },
            Error::InvalidType {
                found: text(),
                reason: text(),
            },
            Error::InvalidFeatureGroup {
                group: text(),
                reason: text(),
            },
            Error::InvalidFeatureView {
                view: text(),
                reason: text(),
            },
            Error::InvalidQuery { reason: text() },
            Error::InvalidDataset {
                dataset: text(),
                reason: text(),
            },
            Error::NotReplayable {
                position: text(),
                reason: text(),
            },
            Error::InvalidConfig { reason: text() },
            Error::UnknownFeature {
                feature: text(),
                owner: text(),
                known: vec!["a".to_owned(), "b".to_owned()],
            },
            Error::TypeMismatch {
                feature: text(),
                found: text(),
                wanted: text(),
                row: Some(u64::MAX),
            },
            Error::IncompatibleEvolution {
                group: text(),
                reason: text(),
                next_version: 3,
            },
        ];
        for error in errors {
            let json = serde_json::to_string(&InvalidBody::from(&error)).expect("serializable");
            let body: InvalidBody = serde_json::from_str(&json).expect("readable");
            assert_eq!(Error::from(body), error, "{json}");
        }
    }
}
