use std::fmt::Display;

use super::{Level, Mode};

/// What a schema registry refuses. The codes are Confluent's: clients tell errors apart by them.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    #[error("subject `{subject}` does not exist")]
    SubjectNotFound { subject: String },
    #[error("subject `{subject}` has no version {version}")]
    VersionNotFound { subject: String, version: String },
    #[error("schema {schema} does not exist")]
    SchemaNotFound { schema: String },
    #[error("the schema is not registered under subject `{subject}`")]
    NotRegistered { subject: String },
    #[error("subject `{subject}` is deleted already: it is removed with `permanent=true`")]
    SubjectDeleted { subject: String },
    #[error("subject `{subject}` must be deleted before it is removed with `permanent=true`")]
    SubjectNotDeleted { subject: String },
    #[error(
        "version {version} of subject `{subject}` is deleted already: it is removed with `permanent=true`"
    )]
    VersionDeleted { subject: String, version: u32 },
    #[error(
        "version {version} of subject `{subject}` must be deleted before it is removed with `permanent=true`"
    )]
    VersionNotDeleted { subject: String, version: u32 },
    #[error("no compatibility is set for `{scope}`")]
    NoCompatibility { scope: String },
    #[error("no mode is set for `{scope}`")]
    NoMode { scope: String },
    #[error("the schema does not go with what subject `{subject}` has: {}", reasons.join("; "))]
    Incompatible {
        subject: String,
        reasons: Vec<String>,
    },
    #[error("not a schema: {reason}")]
    InvalidSchema { reason: String },
    #[error(
        "version `{found}` is not valid: wanted a number from 1 to {} or `latest`",
        i32::MAX
    )]
    InvalidVersion { found: String },
    #[error("compatibility `{found}` is not valid: wanted one of {}", names(&Level::ALL))]
    InvalidCompatibility { found: String },
    #[error("mode `{found}` is not valid: wanted one of {}", names(&Mode::ALL))]
    InvalidMode { found: String },
    #[error("{what} is not permitted: {reason}")]
    NotPermitted { what: &'static str, reason: String },
    #[error("subject `{found}` is not valid: {reason}")]
    InvalidSubject { found: String, reason: &'static str },
    #[error(
        "subject `{subject}` was changed by others in each of {attempts} attempts to change it"
    )]
    Contended { subject: String, attempts: u32 },
}

impl SchemaError {
    /// Confluent's code. Its first three digits are the HTTP status.
    pub fn code(&self) -> u32 {
        match self {
            Self::SubjectNotFound { .. } => 40_401,
            Self::VersionNotFound { .. } => 40_402,
            Self::SchemaNotFound { .. } | Self::NotRegistered { .. } => 40_403,
            Self::SubjectDeleted { .. } => 40_404,
            Self::SubjectNotDeleted { .. } => 40_405,
            Self::VersionDeleted { .. } => 40_406,
            Self::VersionNotDeleted { .. } => 40_407,
            Self::NoCompatibility { .. } => 40_408,
            Self::NoMode { .. } => 40_409,
            Self::Incompatible { .. } => 409,
            Self::InvalidSchema { .. } => 42_201,
            Self::InvalidVersion { .. } => 42_202,
            Self::InvalidCompatibility { .. } => 42_203,
            Self::InvalidMode { .. } => 42_204,
            Self::NotPermitted { .. } => 42_205,
            Self::InvalidSubject { .. } => 42_208,
            Self::Contended { .. } => 50_301,
        }
    }
}

fn names(all: &[impl Display]) -> String {
    let names: Vec<String> = all.iter().map(ToString::to_string).collect();
    names.join(", ")
}
