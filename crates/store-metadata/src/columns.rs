//! How values lie in columns, whatever the database: signed integers, JSON, and text without NUL.

use serde::Serialize;
use serde::de::DeserializeOwned;
use twinfold_model::ResourceState;

use crate::{Error, Result};

pub(crate) fn to_json<B: Serialize>(body: &B) -> String {
    serde_json::to_string(body).expect("bodies have string keys and fail on nothing")
}

/// Reads a stored body and checks it through the noun's constructor.
pub(crate) fn from_json<B, T>(what: &'static str, name: impl ToString, text: &str) -> Result<T>
where
    B: DeserializeOwned,
    T: TryFrom<B>,
    T::Error: ToString,
{
    let corrupt = |reason: String| Error::Corrupt {
        what,
        name: name.to_string(),
        reason,
    };
    let body: B = serde_json::from_str(text).map_err(|error| corrupt(error.to_string()))?;
    T::try_from(body).map_err(|error| corrupt(error.to_string()))
}

/// Integers of SQL are signed; nothing that counts from 0 reaches their end.
pub(crate) fn integer(what: &'static str, found: u64) -> Result<i64> {
    i64::try_from(found).map_err(|_| Error::OutOfRange { what, found })
}

/// A number read back from a column that only ever held a `T`.
pub(crate) fn number<T: TryFrom<i64>>(what: &'static str, found: i64) -> Result<T> {
    T::try_from(found).map_err(|_| Error::Corrupt {
        what,
        name: found.to_string(),
        reason: "the number is out of range".to_owned(),
    })
}

pub(crate) fn limit(rows: usize) -> i64 {
    i64::try_from(rows).unwrap_or(i64::MAX)
}

/// Text that may quote what someone sent. PostgreSQL refuses a NUL in text, and a reason must not be
/// the reason that a bad record is not kept.
pub(crate) fn text(found: &str) -> String {
    found.replace('\0', "\u{fffd}")
}

/// The columns `state` and `state_reason`; [`state`] reads them.
pub(crate) fn state_columns(state: &ResourceState) -> (&'static str, Option<String>) {
    match state {
        ResourceState::Creating => ("creating", None),
        ResourceState::Active => ("active", None),
        ResourceState::Failed { reason } => ("failed", Some(text(reason))),
        ResourceState::Deleting => ("deleting", None),
    }
}

pub(crate) fn state(name: &str, reason: Option<String>) -> ResourceState {
    match name {
        "creating" => ResourceState::Creating,
        "active" => ResourceState::Active,
        "deleting" => ResourceState::Deleting,
        _ => ResourceState::Failed {
            reason: reason.unwrap_or_default(),
        },
    }
}
