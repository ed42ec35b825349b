use std::path::{Path, PathBuf};

pub type Result<T, E = Error> = std::result::Result<T, E>;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("online store url `{found}` is not supported: wanted file:///folder")]
    UnsupportedUrl { found: String },
    #[error("online table `{table}` does not exist")]
    UnknownTable { table: String },
    #[error(
        "online table `{table}`: found a row of {found_bytes} bytes, wanted at most {bytes_max}"
    )]
    RowTooLarge {
        table: String,
        found_bytes: usize,
        bytes_max: usize,
    },
    #[error("scan cursor of {found_bytes} bytes is not one that this store gave out")]
    InvalidCursor { found_bytes: usize },
    #[error("{path} is in use by another process")]
    Locked { path: PathBuf },
    #[error(
        "{path} was written by a newer version: found format {found}, this one reads up to {supported}"
    )]
    NewerFormat {
        path: PathBuf,
        found: u32,
        supported: u32,
    },
    #[error("{path} is damaged: {reason}")]
    Corrupt { path: PathBuf, reason: String },
    #[error("the online store is closed")]
    Closed,
    #[error("{path}: {source}")]
    Io {
        path: PathBuf,
        source: std::io::Error,
    },
}

impl Error {
    /// Names the path in front of what the system said.
    pub(crate) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self + '_ {
        move |source| Self::Io {
            path: path.to_owned(),
            source,
        }
    }

    pub(crate) fn corrupt(path: &Path, reason: impl Into<String>) -> Self {
        Self::Corrupt {
            path: path.to_owned(),
            reason: reason.into(),
        }
    }
}
