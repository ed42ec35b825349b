use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::warn;
use twinfold_model::Positions;

use crate::ending::answered;
use crate::intake::Taken;
use crate::metrics::{Metrics, Written};
use crate::plan::{self, Batch};
use crate::{Consumer, Result, Sink, SinkError};

/// What an error says that it comes from.
const QUARANTINE: &str = "quarantine";

/// The writing half of a loop: one batch at a time into the sink.
pub(crate) struct Writer<'a> {
    pub(crate) consumer: &'a Consumer,
    pub(crate) sink: &'a mut dyn Sink,
    pub(crate) metrics: &'a Metrics,
}

impl Writer<'_> {
    /// Writes a batch, again and again until it is in or we are told to stop; answers how far the sink has
    /// come with it.
    pub(crate) async fn write(
        &mut self,
        mut taken: Taken,
        shutdown: &CancellationToken,
    ) -> Result<Positions> {
        let consumer = self.consumer;
        let quarantined = taken.batch.quarantined.len();
        let mut attempt = 0;
        let (began_us, ended_us) = loop {
            attempt += 1;
            let began_us = consumer.clock.now_us();
            let written = self.try_write(&mut taken.batch, shutdown).await;
            let ended_us = consumer.clock.now_us();
            let Err(error) = written else {
                break (began_us, ended_us);
            };
            self.metrics.write_failed();
            self.note_waiting(Some(taken.oldest_us), ended_us);
            if !error.retry || shutdown.is_cancelled() {
                return Err(error.into());
            }
            warn!(consumer = consumer.name, feature_group = %consumer.group, attempt, %error, "write failed, trying again");
            consumer.publish(&Positions::new(), Some(error.to_string()));
            // Told to stop, it is tried a last time.
            let pause = tokio::time::sleep(plan::backoff(attempt, &consumer.limits));
            shutdown.run_until_cancelled(pause).await;
        };
        self.metrics.written(&Written {
            rows: taken.batch.rows.len(),
            quarantined,
            appended: taken.batch.appended,
            began_us,
            ended_us,
        });
        consumer.publish(&taken.batch.positions, None);
        Ok(taken.batch.positions)
    }

    /// Tells the sink how long rows have waited; `oldest_us` is since when, if any do.
    pub(crate) fn note_waiting(&mut self, oldest_us: Option<i64>, now_us: i64) {
        let waited_us = oldest_us.map_or(0, |oldest_us| now_us.saturating_sub(oldest_us));
        let waited_us = u64::try_from(waited_us).unwrap_or(0);
        self.sink.note_waiting(Duration::from_micros(waited_us));
    }

    async fn try_write(
        &mut self,
        batch: &mut Batch,
        shutdown: &CancellationToken,
    ) -> Result<(), SinkError> {
        if !batch.quarantined.is_empty() {
            let definitions = &self.consumer.definitions;
            let keeping = definitions.quarantine(&batch.quarantined);
            let patience = self.consumer.limits.patience;
            let Some(kept) = answered(keeping, shutdown, patience).await else {
                return Err(SinkError::new(QUARANTINE, true, "no answer before the end"));
            };
            kept.map_err(|error| SinkError::new(QUARANTINE, error.retry(), error))?;
            // Kept: a second attempt need not keep them again, nor hold them.
            batch.quarantined = Vec::new();
        }
        self.sink.write(batch).await
    }
}
