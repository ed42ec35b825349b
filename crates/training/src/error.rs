use std::path::PathBuf;

use datafusion::error::DataFusionError;

pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a training query or dataset could not be planned, run, written or read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The query does not fit the groups or the dataframe; the message names what was found and wanted.
    #[error(transparent)]
    Model(#[from] twinfold_model::Error),
    #[error(transparent)]
    Wire(#[from] twinfold_wire::Error),
    #[error("training query: {reason}")]
    InvalidSource { reason: String },
    #[error(
        "training query needs more than memory_bytes_max = {memory_bytes_max}: {reason}; give it more memory or select fewer features"
    )]
    OutOfMemory {
        memory_bytes_max: u64,
        reason: String,
    },
    #[error("training query failed: {0}")]
    DataFusion(DataFusionError),
    #[error("training query failed: {0}")]
    Arrow(#[from] arrow::error::ArrowError),
    #[error("training dataset folder {} exists already", path.display())]
    DatasetExists { path: PathBuf },
    #[error("training dataset folder {} has no split `{split}`", path.display())]
    UnknownSplit { path: PathBuf, split: String },
    #[error(
        "column `{column}` of type {found} cannot be written as csv; use parquet or leave it out"
    )]
    CsvType { column: String, found: String },
    #[error("{}: {reason}", path.display())]
    Corrupt { path: PathBuf, reason: String },
    #[error("training dataset has digest {found}, wanted {wanted}: its content has changed")]
    DigestMismatch { found: String, wanted: String },
    #[error("files of a training dataset: {0}")]
    Files(#[source] Box<twinfold_store_offline::Error>),
    #[error("parquet: {0}")]
    Parquet(#[from] parquet::errors::ParquetError),
    #[error("{}: {source}", path.display())]
    Io {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("a task of the training query ended unexpectedly: {0}")]
    Task(#[from] tokio::task::JoinError),
}

impl Error {
    /// Whether the same call may succeed later without a change by the caller.
    pub fn retry(&self) -> bool {
        match self {
            Self::DataFusion(_) | Self::Parquet(_) | Self::Io { .. } => true,
            Self::Files(error) => error.retry(),
            Self::Model(_)
            | Self::Wire(_)
            | Self::InvalidSource { .. }
            | Self::OutOfMemory { .. }
            | Self::Arrow(_)
            | Self::DatasetExists { .. }
            | Self::UnknownSplit { .. }
            | Self::CsvType { .. }
            | Self::Corrupt { .. }
            | Self::DigestMismatch { .. }
            | Self::Task(_) => false,
        }
    }

    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }

    pub(crate) fn query(reason: impl Into<String>) -> Self {
        Self::Model(twinfold_model::Error::InvalidQuery {
            reason: reason.into(),
        })
    }
}

impl From<twinfold_store_offline::Error> for Error {
    fn from(error: twinfold_store_offline::Error) -> Self {
        Self::Files(Box::new(error))
    }
}

impl From<DataFusionError> for Error {
    /// Unwraps our own errors that travelled through an operator.
    fn from(error: DataFusionError) -> Self {
        match error {
            DataFusionError::External(inner) => match inner.downcast::<Error>() {
                Ok(own) => *own,
                Err(other) => Self::DataFusion(DataFusionError::External(other)),
            },
            other => Self::DataFusion(other),
        }
    }
}

impl From<Error> for DataFusionError {
    fn from(error: Error) -> Self {
        match error {
            Error::DataFusion(inner) => inner,
            other => Self::External(Box::new(other)),
        }
    }
}
