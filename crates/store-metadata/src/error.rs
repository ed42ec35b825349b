use sqlx::migrate::MigrateError;
use sqlx::postgres::PgDatabaseError;

pub type Result<T, E = Error> = std::result::Result<T, E>;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Names the scheme only, because the rest of a url may hold a password.
    #[error(
        "metadata url of scheme `{scheme}` is not supported: wanted sqlite:///file or postgres://user@host:port/database"
    )]
    UnsupportedUrl { scheme: String },
    #[error("{what} `{name}` already exists")]
    AlreadyExists { what: &'static str, name: String },
    #[error("{what} `{name}` does not exist")]
    NotFound { what: &'static str, name: String },
    #[error(
        "feature group `{name}` was changed by someone else: found revision {found}, wanted {wanted}"
    )]
    StaleRevision {
        name: String,
        found: u64,
        wanted: u64,
    },
    #[error("something was changed meanwhile: found change {found}, wanted {wanted}")]
    StaleFeed { found: u64, wanted: u64 },
    #[error(
        "subject `{subject}` was changed by someone else: found version {found}, wanted {wanted}"
    )]
    StaleVersion {
        subject: String,
        found: u32,
        wanted: u32,
    },
    #[error("schema {id} was registered elsewhere under subject `{found}`, wanted `{wanted}`")]
    OtherSubject {
        id: u32,
        found: String,
        wanted: String,
    },
    /// The texts are cut.
    #[error("schema {id} is `{given}` elsewhere, and schema {known_id} is `{known}` here")]
    SchemaIdTaken {
        id: u32,
        given: String,
        known_id: u32,
        known: String,
    },
    #[error("feature group `{name}` is {found}, wanted {wanted}")]
    WrongState {
        name: String,
        found: String,
        wanted: &'static str,
    },
    #[error(
        "{place} was written by a newer version of the platform: found migration {found}, this one knows up to {supported}"
    )]
    NewerFormat {
        /// A file, or a database without the password.
        place: String,
        found: i64,
        supported: i64,
    },
    #[error("stored {what} `{name}` cannot be read: {reason}")]
    Corrupt {
        what: &'static str,
        name: String,
        reason: String,
    },
    #[error("{what} {found} is out of range: wanted at most {}", i64::MAX)]
    OutOfRange { what: &'static str, found: u64 },
    #[error("{place} cannot be opened: {source}")]
    Open { place: String, source: sqlx::Error },
    #[error(transparent)]
    Sql(#[from] sqlx::Error),
    #[error(transparent)]
    Migrate(#[from] MigrateError),
}

impl Error {
    /// Whether the same call may succeed later without a change by the caller.
    pub fn retry(&self) -> bool {
        match self {
            Self::Sql(source)
            | Self::Open { source, .. }
            | Self::Migrate(MigrateError::Execute(source)) => may_pass(source),
            Self::UnsupportedUrl { .. }
            | Self::AlreadyExists { .. }
            | Self::NotFound { .. }
            | Self::StaleRevision { .. }
            | Self::StaleFeed { .. }
            | Self::StaleVersion { .. }
            | Self::OtherSubject { .. }
            | Self::SchemaIdTaken { .. }
            | Self::WrongState { .. }
            | Self::NewerFormat { .. }
            | Self::Corrupt { .. }
            | Self::OutOfRange { .. }
            | Self::Migrate(_) => false,
        }
    }
}

/// Whether what stopped the statement may pass by itself. Of SQLite everything may: our statements are
/// right, so what it reports is the disk's or another process's doing.
fn may_pass(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Configuration(_) | sqlx::Error::Tls(_) => false,
        sqlx::Error::Database(error) => error
            .try_downcast_ref::<PgDatabaseError>()
            .is_none_or(|error| state_may_pass(error.code())),
        _ => true,
    }
}

/// PostgreSQL reports besides that the database, its tables or our rights are not what they should be,
/// which someone has to mend. Its states: <https://www.postgresql.org/docs/current/errcodes-appendix.html>.
fn state_may_pass(sqlstate: &str) -> bool {
    /// A connection that broke, a conflict of transactions, a server that is full, a server that stops
    /// or starts or cuts off a statement.
    const CLASSES: [&str; 4] = ["08", "40", "53", "57"];
    /// The end of a session that held the lock of the writers for too long.
    const IDLE_IN_TRANSACTION: &str = "25P03";

    CLASSES.iter().any(|class| sqlstate.starts_with(class)) || sqlstate == IDLE_IN_TRANSACTION
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_of_a_server_in_trouble_may_pass() {
        for state in [
            "08006", "40001", "40P01", "53300", "57014", "57P01", "25P03",
        ] {
            assert!(state_may_pass(state), "{state}");
        }
        for state in ["", "22021", "25006", "28P01", "3D000", "42501", "42P01"] {
            assert!(!state_may_pass(state), "{state}");
        }
    }

    #[test]
    fn connections_may_come_back_and_settings_stay_wrong() {
        let broken = std::io::Error::other("connection reset");
        assert!(Error::Sql(sqlx::Error::Io(broken)).retry());
        assert!(Error::Sql(sqlx::Error::PoolTimedOut).retry());
        let started = MigrateError::Execute(sqlx::Error::PoolTimedOut);
        assert!(Error::Migrate(started).retry());
        assert!(!Error::Migrate(MigrateError::VersionMismatch(1)).retry());
        let misspelt = Error::Open {
            place: "metadata".to_owned(),
            source: sqlx::Error::Configuration("invalid port number".into()),
        };
        assert!(!misspelt.retry());
    }
}
