use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::warn;
use twinfold_model::{EventTime, Positions};
use twinfold_store_topic::{Error as TopicError, Event, FetchLimits, RecordBatch, Subscription};

use crate::admission::Admission;
use crate::budget::Held;
use crate::ending::answered;
use crate::metrics::Metrics;
use crate::plan::{self, Batch, Buffer};
use crate::{Consumer, Result};

/// What is taken from the topic at once.
const FETCH_BYTES_MAX: usize = 4 << 20;

/// The reading half of a loop: from the topic into the buffer.
pub(crate) struct Intake<'a> {
    consumer: &'a Consumer,
    metrics: &'a Metrics,
    pub(crate) subscription: Box<dyn Subscription>,
    /// Shared only with the thread that checks a fetch, while we wait for it.
    pub(crate) admission: Arc<Admission>,
    pub(crate) buffer: Buffer,
    /// The budget that the buffer takes.
    pub(crate) held: Held,
    /// What came during a write and has to wait for its end.
    pending: Option<Result<Event, TopicError>>,
    /// What the topic was told of.
    pub(crate) committed: Positions,
}

/// A batch on its way into the sink.
pub(crate) struct Taken {
    pub(crate) batch: Batch,
    /// When the oldest of it was taken from the topic.
    pub(crate) oldest_us: i64,
    /// Given back when the batch is dropped.
    _held: Held,
}

impl<'a> Intake<'a> {
    pub(crate) fn new(
        consumer: &'a Consumer,
        metrics: &'a Metrics,
        subscription: Box<dyn Subscription>,
        admission: Arc<Admission>,
    ) -> Self {
        Self {
            consumer,
            metrics,
            subscription,
            admission,
            buffer: Buffer::new(consumer.limits),
            held: Held::nothing_of(&consumer.budget),
            pending: None,
            committed: Positions::new(),
        }
    }

    /// What had to wait, or else what comes next; `None` when there was enough before.
    pub(crate) async fn next(
        &mut self,
        wait_max: Duration,
        enough: &CancellationToken,
    ) -> Option<Result<Event, TopicError>> {
        if let Some(pending) = self.pending.take() {
            return Some(pending);
        }
        let limits = FetchLimits {
            bytes_max: FETCH_BYTES_MAX.min(self.consumer.limits.batch_bytes_max),
            wait_max,
        };
        // `next` is cancel-safe: what it has not returned is still in the topic.
        tokio::select! {
            () = enough.cancelled() => None,
            event = self.subscription.next(limits) => Some(event),
        }
    }

    /// Fills the buffer until there is enough, until it is full, or until something comes that cannot be
    /// dealt with during a write. That is kept for [`next`](Self::next).
    pub(crate) async fn fill(
        &mut self,
        written: &Positions,
        enough: &CancellationToken,
    ) -> Result<()> {
        let wait_max = self.consumer.limits.commit_interval();
        while self.pending.is_none() && !self.buffer.is_full() {
            let Some(event) = self.next(wait_max, enough).await else {
                break;
            };
            match event {
                Ok(Event::Idle) => {}
                Ok(Event::Records(batches)) if self.can_take(&batches) => {
                    self.take_in(batches, self.consumer.clock.now_us()).await?;
                }
                other => self.pending = Some(other),
            }
            self.tell_lag(written);
        }
        Ok(())
    }

    /// Whether nothing has to be learnt first and the budget is there at once; it is held then.
    fn can_take(&mut self, batches: &[RecordBatch]) -> bool {
        self.admission.unknown_schema(batches).is_none() && self.held.try_grow(bytes(batches))
    }

    /// Checks records and buffers them. Their schemas were learnt and their budget is held.
    pub(crate) async fn take_in(&mut self, batches: Vec<RecordBatch>, now_us: i64) -> Result<()> {
        let now = EventTime::from_micros(now_us);
        // Checking a full fetch takes milliseconds: too long for the threads that wait for I/O.
        let admission = Arc::clone(&self.admission);
        let admitted = tokio::task::spawn_blocking(move || admission.admit(batches, now)).await?;
        if !admitted.quarantined.is_empty() {
            self.admission_mut().forget_refused();
            self.hold_copies(&admitted);
        }
        self.buffer.push(admitted, now_us);
        Ok(())
    }

    /// Takes the budget for the copies of bad records, if it is there. It is not waited for, as who holds
    /// something may not: there are at most those of one fetch beyond a full batch.
    fn hold_copies(&mut self, admitted: &Batch) {
        let copies = admitted.quarantined.iter();
        let bytes = copies.map(plan::quarantined_bytes).sum();
        let _is_held = self.held.try_grow(bytes);
    }

    pub(crate) fn admission_mut(&mut self) -> &mut Admission {
        Arc::get_mut(&mut self.admission)
            .expect("the checking thread has ended and dropped its share")
    }

    /// Takes what is buffered, if there is something, to be written.
    pub(crate) fn take(&mut self) -> Option<Taken> {
        let oldest_us = self.buffer.oldest_us()?;
        Some(Taken {
            batch: self.buffer.take(),
            oldest_us,
            _held: self.held.take(),
        })
    }

    /// Tells the topic what is durable, so that a restart goes on from there. That is advice: while it is
    /// not taken rows go on, and it is told again.
    pub(crate) async fn commit(
        &mut self,
        durable: &Positions,
        shutdown: &CancellationToken,
    ) -> Result<()> {
        let Consumer {
            name,
            group,
            limits,
            ..
        } = self.consumer;
        let telling = self.subscription.commit(durable);
        match answered(telling, shutdown, limits.patience).await {
            Some(Ok(true)) => self.committed.merge(durable),
            Some(Ok(false)) => {}
            Some(Err(error)) if error.retry() => {
                warn!(consumer = name, feature_group = %group, %error, "progress is not stored");
            }
            Some(Err(error)) => return Err(error.into()),
            None => {
                warn!(consumer = name, feature_group = %group, "progress is not stored before the end")
            }
        }
        Ok(())
    }

    pub(crate) fn tell_lag(&self, written: &Positions) {
        self.metrics
            .lag(plan::lag(&self.subscription.ends(), written));
    }
}

/// What records take of the budget.
pub(crate) fn bytes(batches: &[RecordBatch]) -> usize {
    let records = batches.iter().flat_map(|batch| &batch.records);
    records.map(plan::held_bytes).sum()
}
