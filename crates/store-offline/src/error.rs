use twinfold_model::EventTime;

pub type Result<T, E = Error> = std::result::Result<T, E>;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "offline store url `{found}` is not supported: wanted file:///folder or s3://bucket/prefix"
    )]
    UnsupportedUrl { found: String },
    #[error(
        "history table name `{found}` is not valid: wanted letters, digits, `_`, `-` and `.`, not starting with `.`"
    )]
    InvalidTableName { found: String },
    #[error("history table `{table}` does not exist")]
    UnknownTable { table: String },
    #[error("history table `{table}` has no commit {found}: it has 0 to {newest}")]
    UnknownCommit {
        table: String,
        found: u64,
        newest: u64,
    },
    #[error("history table `{table}` has no commit at or before {} µs", found.micros())]
    BeforeFirstCommit { table: String, found: EventTime },
    #[error(
        "history table `{table}` already contains partition {partition} up to offset {reached}; refused to append {follows} to {found}"
    )]
    AlreadyCommitted {
        table: String,
        partition: u32,
        reached: u64,
        follows: u64,
        found: u64,
    },
    #[error("history table `{table}`: {reason}")]
    SchemaMismatch { table: String, reason: String },
    #[error("history table `{table}`: another writer committed first")]
    Conflict { table: String },
    #[error("history table `{table}`, commit {commit}: {reason}")]
    CorruptCommit {
        table: String,
        commit: u64,
        reason: String,
    },
    #[error("history table `{table}`: {source}")]
    Delta {
        table: String,
        source: deltalake_core::DeltaTableError,
    },
    #[error("offline store setting: found `{found}`, wanted {wanted}")]
    InvalidSetting { found: String, wanted: &'static str },
    #[error("bucket: {0}")]
    Bucket(#[from] object_store::Error),
    #[error(transparent)]
    DataFusion(#[from] datafusion::error::DataFusionError),
    #[error(transparent)]
    Parquet(#[from] parquet::errors::ParquetError),
    #[error(transparent)]
    Arrow(#[from] arrow::error::ArrowError),
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

impl Error {
    /// Whether the same call may succeed later without a change by the caller.
    pub fn retry(&self) -> bool {
        match self {
            Self::Conflict { .. }
            | Self::Delta { .. }
            | Self::DataFusion(_)
            | Self::Parquet(_)
            | Self::Bucket(_)
            | Self::Io(_) => true,
            Self::UnsupportedUrl { .. }
            | Self::InvalidSetting { .. }
            | Self::InvalidTableName { .. }
            | Self::UnknownTable { .. }
            | Self::UnknownCommit { .. }
            | Self::BeforeFirstCommit { .. }
            | Self::AlreadyCommitted { .. }
            | Self::SchemaMismatch { .. }
            | Self::CorruptCommit { .. }
            | Self::Arrow(_) => false,
        }
    }
}
