use std::path::{Path, PathBuf};

pub type Result<T, E = Error> = std::result::Result<T, E>;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "online store url `{found}` is not supported: wanted file:///folder or \
         scylla://host:port,host:port/keyspace"
    )]
    UnsupportedUrl { found: String },
    #[error("online store setting `{setting}`: found `{found}`, wanted {wanted}")]
    InvalidSetting {
        setting: String,
        found: String,
        wanted: String,
    },
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
    /// A sync failed: what was written since the last one is not known to be on the disk.
    #[error("{path} takes no more rows until the online store is opened again: {reason}")]
    Broken { path: PathBuf, reason: String },
    #[error("the online store is closed")]
    Closed,
    #[error("no online store of {contact_points} answers: {source}")]
    Connect {
        contact_points: String,
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Two names that the servers cannot tell apart, or a table that is not an online table.
    #[error("online table `{table}` would be kept in {found}, which holds something else")]
    TableTaken { table: String, found: String },
    #[error("cql: {action} (`{name}`): {source}")]
    Cql {
        action: &'static str,
        /// Of the table or the keyspace.
        name: String,
        retry: bool,
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("{path}: {source}")]
    Io {
        path: PathBuf,
        source: std::io::Error,
    },
}

impl Error {
    /// Whether the same call may succeed later without a change by the caller. What wants a person, or
    /// the store opened again, does not.
    pub fn retry(&self) -> bool {
        match self {
            Self::Io { .. } | Self::Connect { .. } => true,
            Self::Cql { retry, .. } => *retry,
            Self::UnsupportedUrl { .. }
            | Self::InvalidSetting { .. }
            | Self::UnknownTable { .. }
            | Self::TableTaken { .. }
            | Self::RowTooLarge { .. }
            | Self::InvalidCursor { .. }
            | Self::Locked { .. }
            | Self::NewerFormat { .. }
            | Self::Corrupt { .. }
            | Self::Broken { .. }
            | Self::Closed => false,
        }
    }

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_may_pass_by_itself_is_tried_again() {
        let path = PathBuf::from("store");
        assert!(Error::io(&path)(std::io::ErrorKind::StorageFull.into()).retry());
        let reason = "a sync failed".to_owned();
        let broken = Error::Broken { path, reason };
        assert!(!broken.retry() && !Error::Closed.retry());
    }
}
