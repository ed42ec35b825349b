use std::path::PathBuf;

pub type Result<T, E = Error> = std::result::Result<T, E>;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "topic url `{found}` is not supported: wanted file:///folder or kafka://host:port,host:port"
    )]
    UnsupportedUrl { found: String },
    #[error("topic `{topic}` does not exist")]
    UnknownTopic { topic: String },
    #[error("topic `{topic}` has {found} partitions, wanted {wanted}")]
    TopicMismatch {
        topic: String,
        found: u32,
        wanted: u32,
    },
    #[error("topic `{topic}` has no partition {partition}: it has {partitions}")]
    UnknownPartition {
        topic: String,
        partition: u32,
        partitions: u32,
    },
    #[error("topic `{topic}` cannot have {found} partitions: wanted 1 to {partitions_max}")]
    InvalidPartitions {
        topic: String,
        found: u32,
        partitions_max: u32,
    },
    #[error("partition {partition} of topic `{topic}` is not assigned to this subscription")]
    NotAssigned { topic: String, partition: u32 },
    #[error("partition {partition} of topic `{topic}` ends at offset {next}, found {found}")]
    UnknownOffset {
        topic: String,
        partition: u32,
        found: u64,
        next: u64,
    },
    #[error(
        "an append of {found_bytes} bytes to topic `{topic}` is too large: wanted at most {bytes_max} bytes in one append"
    )]
    AppendTooLarge {
        topic: String,
        found_bytes: u64,
        bytes_max: u64,
    },
    #[error(
        "topic name `{found}` is not valid: wanted 1 to 200 of a-z, 0-9, `.`, `_` and `-`, not starting with `.`"
    )]
    InvalidTopicName { found: String },
    #[error(
        "consumer name `{found}` is not valid: wanted 1 to 200 of a-z, 0-9, `.`, `_` and `-`, not starting with `.`"
    )]
    InvalidConsumerName { found: String },
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
    /// A write or a sync failed in a way that leaves open what the disk holds.
    #[error("{path} takes no more records until the log is opened again: {reason}")]
    Broken { path: PathBuf, reason: String },
    #[error("the log is closed")]
    Closed,
    #[error("topic setting `{setting}`: found `{found}`, wanted {wanted}")]
    InvalidSetting {
        setting: String,
        found: String,
        wanted: &'static str,
    },
    #[error("no Kafka broker of {servers} answers: {source}")]
    Connect {
        servers: String,
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("kafka: {action} (`{name}`): {source}")]
    Kafka {
        action: &'static str,
        /// Of the topic or the consumer group.
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
    /// the log opened again, does not.
    pub fn retry(&self) -> bool {
        match self {
            Self::Io { .. } | Self::Connect { .. } => true,
            Self::Kafka { retry, .. } => *retry,
            Self::UnsupportedUrl { .. }
            | Self::UnknownTopic { .. }
            | Self::TopicMismatch { .. }
            | Self::UnknownPartition { .. }
            | Self::InvalidPartitions { .. }
            | Self::NotAssigned { .. }
            | Self::UnknownOffset { .. }
            | Self::AppendTooLarge { .. }
            | Self::InvalidTopicName { .. }
            | Self::InvalidConsumerName { .. }
            | Self::Locked { .. }
            | Self::NewerFormat { .. }
            | Self::Corrupt { .. }
            | Self::Broken { .. }
            | Self::InvalidSetting { .. }
            | Self::Closed => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_may_pass_by_itself_is_tried_again() {
        let path = PathBuf::from("log");
        let full = Error::Io {
            path: path.clone(),
            source: std::io::ErrorKind::StorageFull.into(),
        };
        assert!(full.retry());
        let reason = "a sync failed".to_owned();
        let broken = Error::Broken { path, reason };
        assert!(!broken.retry() && !Error::Closed.retry());
    }
}
