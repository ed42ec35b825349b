//! How many queries over histories run at the same time.

use std::sync::Arc;

use futures::{StreamExt, stream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use twinfold_client::{BatchStream, Error, Result};

/// The queries that may run together, each with as much memory as one may have. Another is refused and not
/// waited with, as rows are for which there is no room: its caller may be the one who has the others open.
#[derive(Debug)]
pub(super) struct Queries {
    free: Arc<Semaphore>,
    queries_max: usize,
}

impl Queries {
    pub(super) fn new(queries_max: usize) -> Self {
        let queries_max = queries_max.min(Semaphore::MAX_PERMITS);
        Self {
            free: Arc::new(Semaphore::new(queries_max)),
            queries_max,
        }
    }

    /// The right to run one, until it is dropped.
    pub(super) fn begin(&self) -> Result<OwnedSemaphorePermit> {
        let begun = Arc::clone(&self.free).try_acquire_owned();
        begun.map_err(|_| {
            let reason = format!(
                "{} queries run already, as many as training.queries_max allows: try again later",
                self.queries_max
            );
            Error::dependency("training", true, reason)
        })
    }
}

/// A query runs until its last row was read, or nobody reads on.
pub(super) fn until_read(running: OwnedSemaphorePermit, rows: BatchStream) -> BatchStream {
    let batches = stream::unfold(
        (rows.batches, running),
        |(mut batches, running)| async move {
            let batch = batches.next().await?;
            Some((batch, (batches, running)))
        },
    );
    BatchStream {
        schema: rows.schema,
        // Whoever counts the batches of an answer asks once more after the last.
        batches: batches.fuse().boxed(),
    }
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::Schema;
    use arrow::record_batch::RecordBatch;

    use super::*;

    fn one_batch() -> BatchStream {
        let schema = Arc::new(Schema::empty());
        let batch = RecordBatch::new_empty(Arc::clone(&schema));
        BatchStream {
            schema,
            batches: stream::iter([Ok(batch)]).boxed(),
        }
    }

    #[tokio::test]
    async fn a_query_too_many_is_refused_until_another_was_read() {
        let queries = Queries::new(2);
        let mut first = until_read(queries.begin().expect("free"), one_batch());
        let second = until_read(queries.begin().expect("free"), one_batch());
        let error = queries.begin().expect_err("two run");
        assert!(error.retry(), "{error}");
        assert!(
            error.to_string().contains("training.queries_max"),
            "{error}"
        );

        assert!(first.batches.next().await.is_some());
        assert!(queries.begin().is_err(), "its end was not seen yet");
        assert!(first.batches.next().await.is_none());
        assert!(first.batches.next().await.is_none());
        let third = queries.begin().expect("the first was read");

        assert!(queries.begin().is_err());
        drop(second);
        drop(queries.begin().expect("nobody reads the second"));
        drop(third);
    }
}
