//! Errors on their way: a service says them, its caller gets the same back.

use twinfold_model::QuarantinedRecord;
use twinfold_wire::rest::{ErrorBody, ErrorDetailsBody, Exact, QuarantinedRecordBody};

use crate::Error;

impl From<&Error> for ErrorBody {
    fn from(error: &Error) -> Self {
        Self::new(error.to_string(), error.into())
    }
}

impl From<&Error> for ErrorDetailsBody {
    #[expect(clippy::too_many_lines, reason = "one arm per kind of error")]
    fn from(error: &Error) -> Self {
        let text = |text: &str| text.to_owned();
        match error {
            Error::Invalid(error) => Self::Invalid(error.into()),
            Error::NotFound { what, name, hint } => Self::NotFound {
                what: text(what),
                name: text(name),
                hint: text(hint),
            },
            Error::AlreadyExists { what, name, hint } => Self::AlreadyExists {
                what: text(what),
                name: text(name),
                hint: text(hint),
            },
            Error::InUse { what, name, reason } => Self::InUse {
                what: text(what),
                name: text(name),
                reason: text(reason),
            },
            Error::Stale {
                group,
                found,
                wanted,
            } => Self::Stale {
                group: text(group),
                found: text(found),
                wanted: text(wanted),
            },
            Error::NotReady { group, reason } => Self::NotReady {
                group: text(group),
                reason: text(reason),
            },
            Error::Busy { reason } => Self::Busy {
                reason: text(reason),
            },
            Error::Timeout {
                action,
                seconds,
                state,
            } => Self::Timeout {
                action: text(action),
                seconds: Exact(*seconds),
                state: text(state),
            },
            Error::Quarantined { group, records } => Self::Quarantined {
                group: group.into(),
                records: records.iter().map(QuarantinedRecordBody::from).collect(),
            },
            Error::MissingRow {
                group,
                key,
                presence,
            } => Self::MissingRow {
                group: group.into(),
                key: text(key),
                presence: text(presence),
            },
            Error::TooLarge {
                what,
                bytes,
                bytes_max,
            } => Self::TooLarge {
                what: text(what),
                bytes: *bytes,
                bytes_max: *bytes_max,
            },
            Error::Locked { what, path } => Self::Locked {
                what: text(what),
                path: text(path),
            },
            Error::NewerFormat {
                path,
                found,
                supported,
            } => Self::NewerFormat {
                path: text(path),
                found: *found,
                supported: *supported,
            },
            Error::Closed => Self::Closed,
            Error::Dependency {
                what,
                retry,
                source,
            } => Self::StoreFailed {
                what: text(what),
                retry: *retry,
                reason: source.to_string(),
            },
            Error::Internal(reason) => Self::Internal {
                reason: text(reason),
            },
        }
    }
}

impl TryFrom<ErrorDetailsBody> for Error {
    type Error = twinfold_model::Error;

    #[expect(clippy::too_many_lines, reason = "one arm per kind of error")]
    fn try_from(body: ErrorDetailsBody) -> Result<Self, Self::Error> {
        use ErrorDetailsBody as Body;
        Ok(match body {
            Body::Invalid(body) => Self::Invalid(body.into()),
            Body::NotFound { what, name, hint } => Self::NotFound {
                what: what.into(),
                name,
                hint,
            },
            Body::AlreadyExists { what, name, hint } => Self::AlreadyExists {
                what: what.into(),
                name,
                hint,
            },
            Body::InUse { what, name, reason } => Self::InUse {
                what: what.into(),
                name,
                reason,
            },
            Body::Stale {
                group,
                found,
                wanted,
            } => Self::Stale {
                group,
                found,
                wanted,
            },
            Body::NotReady { group, reason } => Self::NotReady { group, reason },
            Body::Busy { reason } => Self::Busy { reason },
            Body::Timeout {
                action,
                seconds,
                state,
            } => Self::Timeout {
                action: action.into(),
                seconds: seconds.0,
                state,
            },
            Body::Quarantined { group, records } => Self::Quarantined {
                group: group.try_into()?,
                records: records
                    .into_iter()
                    .map(QuarantinedRecord::try_from)
                    .collect::<Result<_, _>>()?,
            },
            Body::MissingRow {
                group,
                key,
                presence,
            } => Self::MissingRow {
                group: group.try_into()?,
                key,
                presence: presence.into(),
            },
            Body::TooLarge {
                what,
                bytes,
                bytes_max,
            } => Self::TooLarge {
                what: what.into(),
                bytes,
                bytes_max,
            },
            Body::Locked { what, path } => Self::Locked {
                what: what.into(),
                path,
            },
            Body::NewerFormat {
                path,
                found,
                supported,
            } => Self::NewerFormat {
                path,
                found,
                supported,
            },
            Body::Closed => Self::Closed,
            Body::StoreFailed {
                what,
                retry,
                reason,
            } => Self::dependency(what, retry, reason),
            Body::Internal { reason } => Self::Internal(reason),
        })
    }
}

#[cfg(test)]
mod tests {
    use twinfold_model::{
        Error as ModelError, EventTime, FeatureGroupId, Offset, PartitionId, Position,
    };

    use super::*;

    fn group() -> FeatureGroupId {
        FeatureGroupId::new("default", "weather", 2).expect("id")
    }

    fn record() -> QuarantinedRecord {
        QuarantinedRecord {
            group: group(),
            resource: "default.weather_2".to_owned(),
            position: Position {
                partition: PartitionId(3),
                offset: Offset(u64::MAX),
            },
            key: vec![1],
            value: vec![0, 255],
            headers: Vec::new(),
            code: "truncated".to_owned(),
            reason: "the body ends early".to_owned(),
            quarantined_at: EventTime::from_micros(-7),
            replayed_at: None,
        }
    }

    fn stale() -> Error {
        Error::Stale {
            group: group().to_string(),
            found: "default.weather_2-3.00ff".to_owned(),
            wanted: "default.weather_2.00ff".to_owned(),
        }
    }

    /// One of every variant.
    fn errors() -> Vec<Error> {
        let text = |text: &str| text.to_owned();
        let not_found = |hint: &str| Error::NotFound {
            what: "feature view".into(),
            name: text("default.fares_1"),
            hint: text(hint),
        };
        vec![
            Error::Invalid(ModelError::InvalidName {
                what: "split".into(),
                found: text("No"),
            }),
            Error::Invalid(ModelError::TypeMismatch {
                feature: text("temp"),
                found: text("string"),
                wanted: text("double"),
                row: Some(7),
            }),
            not_found(""),
            not_found("; did you mean `fare`?"),
            Error::AlreadyExists {
                what: "feature group".into(),
                name: text("default.weather_2"),
                hint: text(" with another definition"),
            },
            Error::InUse {
                what: "feature group".into(),
                name: text("default.weather_2"),
                reason: text("it is used by a view"),
            },
            stale(),
            Error::NotReady {
                group: text("default.weather_2"),
                reason: text("it is being deleted"),
            },
            Error::Busy {
                reason: text("2 queries run already"),
            },
            Error::Timeout {
                action: "waiting for the stores".into(),
                seconds: 0.1 + 0.2,
                state: text("online is behind"),
            },
            Error::Quarantined {
                group: group(),
                records: vec![record(), record()],
            },
            Error::MissingRow {
                group: group(),
                key: text("origin = \"JFK\""),
                presence: "expired".into(),
            },
            Error::TooLarge {
                what: "an insert".into(),
                bytes: u64::MAX,
                bytes_max: 1 << 30,
            },
            Error::Locked {
                what: "the platform's folder".into(),
                path: text("/data"),
            },
            Error::NewerFormat {
                path: text("/data"),
                found: 2,
                supported: 1,
            },
            Error::Closed,
            Error::dependency("online store", true, "disk full"),
            Error::dependency("history", false, "damaged"),
            Error::Internal(text("a thread ended early")),
        ]
    }

    #[test]
    fn every_error_is_the_same_at_the_other_end() {
        for error in errors() {
            let body = ErrorBody::from(&error);
            let json = serde_json::to_string(&body).expect("serializable");
            let read: ErrorBody = serde_json::from_str(&json).expect("readable");
            assert_eq!(read, body);
            let details = read.details.expect("details");
            let rebuilt = Error::try_from(details).expect("valid");
            assert_eq!(rebuilt.to_string(), error.to_string());
            assert_eq!(rebuilt.to_string(), read.message);
            assert_eq!(
                (rebuilt.fault(), rebuilt.retry()),
                (error.fault(), error.retry())
            );
            // A debug text names the variant and each of its fields.
            assert_eq!(format!("{rebuilt:?}"), format!("{error:?}"));
        }
    }
}
