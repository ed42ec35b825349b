use std::time::Duration;

use async_trait::async_trait;
use twinfold_client::GroupDefinition;
use twinfold_model::Positions;

use crate::Batch;

/// A store refused; `retry` says whether the same batch may be accepted later.
#[derive(Debug, thiserror::Error)]
#[error("{store}: {source}")]
pub struct SinkError {
    pub store: &'static str,
    pub retry: bool,
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

impl SinkError {
    pub fn new(
        store: &'static str,
        retry: bool,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self {
            store,
            retry,
            source: source.into(),
        }
    }
}

/// Where the rows of one feature group go.
///
/// The loop calls from one task, in the order of the topic, one call at a time. A sink must take the same
/// batch again without harm: after a failure, and after a restart from older positions.
#[async_trait]
pub trait Sink: Send {
    /// The group's definition, before the first batch and whenever it has changed.
    async fn define(&mut self, definition: &GroupDefinition) -> Result<(), SinkError>;

    /// Positions that the store itself knows to contain; `None` when it leaves that to the topic's
    /// record of committed progress.
    async fn positions(&mut self) -> Result<Option<Positions>, SinkError>;

    /// Writes the batch; when this returns its rows are readable.
    async fn write(&mut self, batch: &Batch) -> Result<(), SinkError>;

    /// Hears, between writes and after each attempt that failed, how long rows have waited to be written:
    /// nothing when none do. A sink that is asked for it counts it.
    fn note_waiting(&mut self, _waited: Duration) {}

    /// Makes all that was written durable; afterwards its positions are committed.
    async fn flush(&mut self) -> Result<(), SinkError>;
}

/// Makes the sinks of one materializer.
#[async_trait]
pub trait SinkFactory: Send + Sync {
    /// Whether the group's rows belong here at all.
    fn wants(&self, definition: &GroupDefinition) -> bool;

    async fn open(&self, definition: &GroupDefinition) -> Result<Box<dyn Sink>, SinkError>;

    /// The group's tables of this name are gone, and so is the sink: nothing of them need be remembered.
    fn forget(&self, resource: &str);
}
