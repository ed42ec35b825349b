pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a loop ended early. A record that cannot be applied is not an error but quarantined.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Topic(#[from] twinfold_store_topic::Error),
    #[error(transparent)]
    Definitions(#[from] twinfold_client::Error),
    #[error(transparent)]
    Sink(#[from] crate::SinkError),
    #[error("the feature group was deleted")]
    Gone,
    #[error("the thread that checks records ended early: {0}")]
    Join(#[from] tokio::task::JoinError),
}
