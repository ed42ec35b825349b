use std::borrow::Cow;

use crate::FeatureType;

pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What is wrong with a definition or a value. Each message names the thing, what was found and what was wanted.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Error {
    #[error(
        "{what} name `{found}` is not valid: wanted a lower-case letter followed by at most 62 lower-case letters, digits or underscores"
    )]
    InvalidName {
        what: Cow<'static, str>,
        found: String,
    },
    #[error("feature type `{found}` is not valid: {reason}")]
    InvalidType { found: String, reason: String },
    #[error("feature group `{group}`: {reason}")]
    InvalidFeatureGroup { group: String, reason: String },
    #[error("feature view `{view}`: {reason}")]
    InvalidFeatureView { view: String, reason: String },
    #[error("query: {reason}")]
    InvalidQuery { reason: String },
    #[error("training dataset `{dataset}`: {reason}")]
    InvalidDataset { dataset: String, reason: String },
    #[error("quarantined record {position} cannot be replayed, only written anew: {reason}")]
    NotReplayable { position: String, reason: String },
    #[error("configuration: {reason}")]
    InvalidConfig { reason: String },
    #[error("feature `{feature}` does not exist in `{owner}`; it has {}", known.join(", "))]
    UnknownFeature {
        feature: String,
        owner: String,
        known: Vec<String>,
    },
    #[error("feature `{feature}`: found {found}, wanted {wanted}{}", at_row(.row))]
    TypeMismatch {
        feature: String,
        found: String,
        wanted: String,
        row: Option<u64>,
    },
    #[error(
        "feature group `{group}` cannot change in place: {reason}; create version {next_version} instead"
    )]
    IncompatibleEvolution {
        group: String,
        reason: String,
        next_version: u32,
    },
}

impl Error {
    pub(crate) fn mismatch(feature: &str, found: &FeatureType, wanted: &FeatureType) -> Self {
        Self::TypeMismatch {
            feature: feature.to_owned(),
            found: found.to_string(),
            wanted: wanted.to_string(),
            row: None,
        }
    }
}

fn at_row(row: &Option<u64>) -> String {
    row.map_or_else(String::new, |row| format!(" (row {row})"))
}
