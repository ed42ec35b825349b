//! What the driver says, told apart by what can be done about it.

use ::scylla::errors::{DbError, ExecutionError, PrepareError, RequestAttemptError};

use crate::Error;

type Source = Box<dyn std::error::Error + Send + Sync>;

/// A statement that failed.
#[derive(Debug)]
pub(super) struct Failure {
    pub kind: Kind,
    source: Source,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Nodes or connections are missing, or have too much to do: it may go away by itself.
    Transient,
    /// Too slow. Nobody knows how much of it was done.
    TimedOut,
    /// The servers cannot carry it out: a batch that is too large, a table that is not there.
    Invalid,
    /// The request itself cannot be read, such as a place in a scan that another store gave out.
    Protocol,
    /// Anything else: rights, settings, answers that make no sense.
    Refused,
}

impl Failure {
    /// An answer whose rows are not what was asked for.
    pub fn unreadable(error: impl Into<Source>) -> Self {
        Self {
            kind: Kind::Refused,
            source: error.into(),
        }
    }

    /// The error of `action` on what is called `name`.
    pub fn of(self, action: &'static str, name: &str) -> Error {
        Error::Cql {
            action,
            name: name.to_owned(),
            retry: matches!(self.kind, Kind::Transient | Kind::TimedOut),
            source: self.source,
        }
    }
}

impl From<ExecutionError> for Failure {
    fn from(error: ExecutionError) -> Self {
        Self {
            kind: kind_of(&error),
            source: Box::new(error),
        }
    }
}

impl From<PrepareError> for Failure {
    fn from(error: PrepareError) -> Self {
        Self {
            kind: kind_of_prepare(&error),
            source: Box::new(error),
        }
    }
}

fn kind_of(error: &ExecutionError) -> Kind {
    match error {
        ExecutionError::LastAttemptError(error) => kind_of_attempt(error),
        ExecutionError::PrepareError(error) => kind_of_prepare(error),
        ExecutionError::RequestTimeout(_) => Kind::TimedOut,
        ExecutionError::EmptyPlan
        | ExecutionError::ConnectionPoolError(_)
        | ExecutionError::SchemaAgreementError(_)
        | ExecutionError::MetadataError(_) => Kind::Transient,
        _ => Kind::Refused,
    }
}

fn kind_of_prepare(error: &PrepareError) -> Kind {
    match error {
        PrepareError::AllAttemptsFailed { first_attempt } => kind_of_attempt(first_attempt),
        PrepareError::ConnectionPoolError(_) => Kind::Transient,
        _ => Kind::Refused,
    }
}

fn kind_of_attempt(error: &RequestAttemptError) -> Kind {
    match error {
        RequestAttemptError::DbError(error, _) => kind_of_answer(error),
        RequestAttemptError::BrokenConnectionError(_)
        | RequestAttemptError::UnableToAllocStreamId => Kind::Transient,
        _ => Kind::Refused,
    }
}

fn kind_of_answer(error: &DbError) -> Kind {
    match error {
        DbError::Unavailable { .. }
        | DbError::Overloaded
        | DbError::IsBootstrapping
        | DbError::ReadTimeout { .. }
        | DbError::ReadFailure { .. }
        | DbError::WriteFailure { .. }
        | DbError::TruncateError
        | DbError::RateLimitReached { .. }
        | DbError::ServerError => Kind::Transient,
        DbError::WriteTimeout { .. } => Kind::TimedOut,
        DbError::Invalid => Kind::Invalid,
        DbError::ProtocolError => Kind::Protocol,
        _ => Kind::Refused,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn answered(error: DbError) -> Error {
        let error = RequestAttemptError::DbError(error, "because".to_owned());
        Failure::from(ExecutionError::from(error)).of("rows cannot be written", "visits")
    }

    #[test]
    fn only_what_may_pass_by_itself_is_tried_again() {
        assert!(answered(DbError::Overloaded).retry());
        assert!(answered(DbError::ServerError).retry());
        assert!(!answered(DbError::Invalid).retry());
        assert!(!answered(DbError::Unauthorized).retry());
        assert!(!answered(DbError::SyntaxError).retry());
        let slow = Failure::from(ExecutionError::RequestTimeout(Duration::from_secs(1)));
        assert_eq!(slow.kind, Kind::TimedOut);
        assert!(slow.of("rows cannot be read", "visits").retry());
    }

    #[test]
    fn an_error_names_the_table_and_what_the_server_said() {
        let error = answered(DbError::Invalid).to_string();
        assert!(
            error.contains("rows cannot be written (`visits`)"),
            "{error}"
        );
        assert!(error.contains("because"), "{error}");
    }
}
