//! How many queries over histories run at the same time.

use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, stream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use twinfold_client::{BatchStream, Error, Result};

/// The queries that may run together, each with as much memory as one may have. Another waits for one of them
/// to end, and not for long: its caller may be the one who has the others open.
#[derive(Debug)]
pub(super) struct Queries {
    free: Arc<Semaphore>,
    queries_max: usize,
    wait_max: Duration,
}

impl Queries {
    pub(super) fn new(queries_max: usize, wait_max: Duration) -> Self {
        let queries_max = queries_max.min(Semaphore::MAX_PERMITS);
        Self {
            free: Arc::new(Semaphore::new(queries_max)),
            queries_max,
            wait_max,
        }
    }

    /// The right to run one, until it is dropped; in the order in which it was asked for.
    pub(super) async fn begin(&self) -> Result<OwnedSemaphorePermit> {
        let free = Arc::clone(&self.free).acquire_owned();
        let Ok(begun) = tokio::time::timeout(self.wait_max, free).await else {
            let reason = format!(
                "{} queries run already, as many as training.queries_max allows, and none ended \
                 within {} s",
                self.queries_max,
                self.wait_max.as_secs_f64()
            );
            return Err(Error::Busy { reason });
        };
        Ok(begun.expect("the semaphore is never closed"))
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
        let queries = Queries::new(2, Duration::ZERO);
        let mut first = until_read(queries.begin().await.expect("free"), one_batch());
        let second = until_read(queries.begin().await.expect("free"), one_batch());
        let error = queries.begin().await.expect_err("two run");
        assert!(matches!(error, Error::Busy { .. }), "{error:?}");
        assert!(error.retry(), "{error}");
        assert!(
            error.to_string().contains("training.queries_max"),
            "{error}"
        );

        assert!(first.batches.next().await.is_some());
        assert!(queries.begin().await.is_err(), "its end was not seen yet");
        assert!(first.batches.next().await.is_none());
        assert!(first.batches.next().await.is_none());
        let third = queries.begin().await.expect("the first was read");

        assert!(queries.begin().await.is_err());
        drop(second);
        drop(queries.begin().await.expect("nobody reads the second"));
        drop(third);
    }

    #[tokio::test]
    async fn a_query_too_many_begins_when_another_ends() {
        let queries = Queries::new(1, Duration::from_secs(3_600));
        let mut first = until_read(queries.begin().await.expect("free"), one_batch());
        let second = queries.begin();
        let reading = async {
            while let Some(batch) = first.batches.next().await {
                batch.expect("a batch");
            }
        };
        // Asked for first, so that it waits when the reading begins.
        let (second, ()) = tokio::join!(second, reading);
        drop(second.expect("the first was read"));
    }
}
