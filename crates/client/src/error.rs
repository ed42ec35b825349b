use std::borrow::Cow;

use twinfold_model::{FeatureGroupId, QuarantinedRecord};

pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Whose doing a failure is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    Caller,
    Dependency,
    Us,
}

/// What can go wrong between a caller and the platform. Every field survives the way from a deployment
/// to its caller, so that both see the same error.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A definition or a value is wrong.
    #[error(transparent)]
    Invalid(#[from] twinfold_model::Error),
    #[error("{what} `{name}` does not exist{hint}")]
    NotFound {
        what: Cow<'static, str>,
        name: String,
        /// Empty, or what there is instead, beginning with "; ".
        hint: String,
    },
    #[error("{what} `{name}` already exists{hint}")]
    AlreadyExists {
        what: Cow<'static, str>,
        name: String,
        hint: String,
    },
    #[error("{what} `{name}` is in use: {reason}")]
    InUse {
        what: Cow<'static, str>,
        name: String,
        reason: String,
    },
    /// A change was meant for another state of the group.
    #[error("feature group `{group}` was changed by someone else: found {found}, wanted {wanted}")]
    Stale {
        group: String,
        found: String,
        wanted: String,
    },
    #[error("feature group `{group}` is not ready: {reason}")]
    NotReady { group: String, reason: String },
    /// As much is under way as is allowed; the reason says of what.
    #[error("{reason}: try again later")]
    Busy { reason: String },
    #[error("{action} did not finish within {seconds} s: {state}")]
    Timeout {
        action: Cow<'static, str>,
        seconds: f64,
        state: String,
    },
    /// Lists the first 1,000 at most, and fewer when they are large.
    #[error("{} of the rows inserted into `{group}` were quarantined; the first: {}", records.len(), first_reason(.records))]
    Quarantined {
        group: FeatureGroupId,
        records: Vec<QuarantinedRecord>,
    },
    /// A vector was asked for strictly and a row is not there.
    #[error("feature group `{group}` has no row for {key}: {presence}")]
    MissingRow {
        group: FeatureGroupId,
        key: String,
        presence: Cow<'static, str>,
    },
    /// A deployment takes only so much in one request.
    #[error(
        "{what} is too large for one request: found {bytes} bytes or more, wanted at most {bytes_max}"
    )]
    TooLarge {
        what: Cow<'static, str>,
        bytes: u64,
        bytes_max: u64,
    },
    #[error("{what} is in use by another process: {path}")]
    Locked {
        what: Cow<'static, str>,
        path: String,
    },
    #[error(
        "{path} was written by a newer version: found format {found}, this one reads up to {supported}"
    )]
    NewerFormat {
        path: String,
        found: u32,
        supported: u32,
    },
    #[error("the platform is closed")]
    Closed,
    /// A store failed; the message names it and the place.
    #[error("{what}: {source}")]
    Dependency {
        what: Cow<'static, str>,
        retry: bool,
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("internal error: {0}")]
    Internal(String),
}

impl Error {
    /// `retry`: whether the same call may succeed later without a change by the caller.
    pub fn dependency(
        what: impl Into<Cow<'static, str>>,
        retry: bool,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::Dependency {
            what: what.into(),
            retry,
            source: source.into(),
        }
    }

    pub fn fault(&self) -> Fault {
        match self {
            Self::Invalid(_)
            | Self::NotFound { .. }
            | Self::AlreadyExists { .. }
            | Self::InUse { .. }
            | Self::Stale { .. }
            | Self::Quarantined { .. }
            | Self::MissingRow { .. }
            | Self::TooLarge { .. }
            | Self::Busy { .. }
            | Self::Locked { .. }
            | Self::NewerFormat { .. }
            | Self::Closed => Fault::Caller,
            Self::NotReady { .. } | Self::Timeout { .. } | Self::Dependency { .. } => {
                Fault::Dependency
            }
            Self::Internal(_) => Fault::Us,
        }
    }

    /// Whether the same call may succeed later without a change by the caller.
    pub fn retry(&self) -> bool {
        match self {
            Self::NotReady { .. } | Self::Busy { .. } | Self::Timeout { .. } => true,
            Self::Dependency { retry, .. } => *retry,
            _ => false,
        }
    }
}

fn first_reason(records: &[QuarantinedRecord]) -> String {
    records.first().map_or_else(String::new, |record| {
        format!("{} at {}: {}", record.code, record.position, record.reason)
    })
}
