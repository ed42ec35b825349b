use std::path::PathBuf;

pub type Result<T, E = Error> = std::result::Result<T, E>;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("metadata url `{found}` is not supported: wanted sqlite:///file")]
    UnsupportedUrl { found: String },
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
    #[error("feature group `{name}` is {found}, wanted {wanted}")]
    WrongState {
        name: String,
        found: String,
        wanted: &'static str,
    },
    #[error(
        "{path} was written by a newer version of the platform: found migration {found}, this one knows up to {supported}"
    )]
    NewerFormat {
        path: PathBuf,
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
    #[error("{path} cannot be opened: {source}")]
    Open { path: PathBuf, source: sqlx::Error },
    #[error(transparent)]
    Sql(#[from] sqlx::Error),
    #[error(transparent)]
    Migrate(#[from] sqlx::migrate::MigrateError),
}

impl Error {
    /// Whether the same call may succeed later without a change by the caller.
    pub fn retry(&self) -> bool {
        match self {
            Self::Sql(_) | Self::Open { .. } => true,
            Self::UnsupportedUrl { .. }
            | Self::AlreadyExists { .. }
            | Self::NotFound { .. }
            | Self::StaleRevision { .. }
            | Self::WrongState { .. }
            | Self::NewerFormat { .. }
            | Self::Corrupt { .. }
            | Self::OutOfRange { .. }
            | Self::Migrate(_) => false,
        }
    }
}
