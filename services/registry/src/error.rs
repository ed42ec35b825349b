use std::time::Duration;

use twinfold_client::{Fault, topic_failed};
use twinfold_model::FeatureGroupId;
use twinfold_store_metadata as metadata;
use twinfold_store_offline as offline;
use twinfold_store_online as online;
use twinfold_store_topic as topic;

use crate::ForeignError;
use crate::subjects::SchemaError;

pub type Result<T, E = Error> = std::result::Result<T, E>;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Invalid(#[from] twinfold_model::Error),
    #[error("{what} `{name}` does not exist{hint}")]
    NotFound {
        what: &'static str,
        name: String,
        /// Empty, or what there is instead, beginning with "; ".
        hint: String,
    },
    #[error("{what} `{name}` already exists{hint}")]
    AlreadyExists {
        what: &'static str,
        name: String,
        hint: String,
    },
    #[error("feature group `{group}` is in use by {}", users.join(", "))]
    InUse {
        group: FeatureGroupId,
        users: Vec<String>,
    },
    #[error("feature group `{group}` is being deleted")]
    BeingDeleted { group: FeatureGroupId },
    #[error("the quarantine of feature group `{group}` is being replayed by another")]
    BeingReplayed { group: FeatureGroupId },
    #[error("feature group `{group}` is not {wanted} after {} s: {reason}", waited.as_secs_f64())]
    NotReady {
        group: FeatureGroupId,
        wanted: &'static str,
        waited: Duration,
        reason: String,
    },
    #[error(
        "feature group `{group}` was changed by others in each of {attempts} attempts to change it"
    )]
    Contended {
        group: FeatureGroupId,
        attempts: u32,
    },
    #[error("feature group `{group}` was changed by someone else: found {found}, wanted {wanted}")]
    Stale {
        group: FeatureGroupId,
        found: String,
        wanted: String,
    },
    #[error(transparent)]
    Schema(#[from] SchemaError),
    #[error(transparent)]
    Foreign(#[from] ForeignError),
    #[error("no answer within {} s", timeout.as_secs_f64())]
    StepTimeout { timeout: Duration },
    #[error("metadata: {0}")]
    Metadata(#[source] metadata::Error),
    #[error("topic: {0}")]
    Topic(#[from] topic::Error),
    #[error("online store: {0}")]
    Online(#[from] online::Error),
    #[error("offline store: {0}")]
    Offline(#[source] Box<offline::Error>),
}

impl Error {
    /// Whether the same call may succeed later without a change by the caller.
    pub fn retry(&self) -> bool {
        match self {
            Self::Invalid(_)
            | Self::NotFound { .. }
            | Self::AlreadyExists { .. }
            | Self::InUse { .. }
            | Self::Stale { .. } => false,
            Self::Schema(error) => matches!(error, SchemaError::Contended { .. }),
            Self::Foreign(error) => error.retry(),
            Self::BeingDeleted { .. }
            | Self::BeingReplayed { .. }
            | Self::NotReady { .. }
            | Self::Contended { .. }
            | Self::StepTimeout { .. } => true,
            Self::Topic(error) => error.retry(),
            Self::Online(error) => error.retry(),
            Self::Offline(error) => error.retry(),
            Self::Metadata(error) => error.retry(),
        }
    }

    pub fn fault(&self) -> Fault {
        match self {
            Self::Invalid(_)
            | Self::NotFound { .. }
            | Self::AlreadyExists { .. }
            | Self::InUse { .. }
            | Self::BeingDeleted { .. }
            | Self::BeingReplayed { .. }
            | Self::Contended { .. }
            | Self::Stale { .. }
            | Self::Schema(_) => Fault::Caller,
            Self::NotReady { .. }
            | Self::StepTimeout { .. }
            | Self::Metadata(_)
            | Self::Topic(_)
            | Self::Online(_)
            | Self::Offline(_) => Fault::Dependency,
            Self::Foreign(error) => error.fault(),
        }
    }
}

impl From<offline::Error> for Error {
    fn from(error: offline::Error) -> Self {
        Self::Offline(Box::new(error))
    }
}

impl From<metadata::Error> for Error {
    fn from(error: metadata::Error) -> Self {
        let hint = String::new();
        match error {
            metadata::Error::NotFound { what, name } => Self::NotFound { what, name, hint },
            metadata::Error::AlreadyExists { what, name } => {
                Self::AlreadyExists { what, name, hint }
            }
            other => Self::Metadata(other),
        }
    }
}

/// An error of the registry as one of the platform that it belongs to.
impl From<Error> for twinfold_client::Error {
    fn from(error: Error) -> Self {
        let retry = error.retry();
        match error {
            Error::Invalid(error) => Self::Invalid(error),
            Error::NotFound { what, name, hint } => Self::NotFound {
                what: what.into(),
                name,
                hint,
            },
            Error::AlreadyExists { what, name, hint } => Self::AlreadyExists {
                what: what.into(),
                name,
                hint,
            },
            Error::InUse { group, users } => Self::InUse {
                what: "feature group".into(),
                name: group.to_string(),
                reason: format!("it is used by {}", users.join(", ")),
            },
            Error::Stale {
                group,
                found,
                wanted,
            } => Self::Stale {
                group: group.to_string(),
                found,
                wanted,
            },
            Error::BeingDeleted { group } => Self::NotReady {
                group: group.to_string(),
                reason: "it is being deleted".to_owned(),
            },
            Error::BeingReplayed { group } => Self::NotReady {
                group: group.to_string(),
                reason: "its quarantine is being replayed by another".to_owned(),
            },
            Error::NotReady { group, reason, .. } => Self::NotReady {
                group: group.to_string(),
                reason,
            },
            Error::Topic(error) => topic_failed(error),
            Error::Online(online::Error::Closed) => Self::Closed,
            other => Self::dependency("registry", retry, other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_store_will_refuse_again_is_not_tried_again() {
        let disk_full = || std::io::Error::other("disk full");
        let refused = [
            Error::from(topic::Error::InvalidTopicName {
                found: "A".to_owned(),
            }),
            Error::from(online::Error::NewerFormat {
                path: "online".into(),
                found: 2,
                supported: 1,
            }),
            Error::from(offline::Error::SchemaMismatch {
                table: "t".to_owned(),
                reason: "another type".to_owned(),
            }),
        ];
        for error in refused {
            assert!(!error.retry(), "{error}");
        }
        let failed = [
            Error::from(topic::Error::Io {
                path: "topic".into(),
                source: disk_full(),
            }),
            Error::from(online::Error::Io {
                path: "online".into(),
                source: disk_full(),
            }),
            Error::from(offline::Error::Io(disk_full())),
        ];
        for error in failed {
            assert!(error.retry(), "{error}");
        }
    }
}
