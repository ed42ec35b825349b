use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};
use twinfold_client::{Definitions, GroupDefinition};
use twinfold_model::{EventTime, FeatureGroupId, PartitionId, Positions, ResourceState};
use twinfold_service_kit::Clock;
use twinfold_store_topic::{
    Error as TopicError, Event, FetchLimits, RecordBatch, Subscription, TopicStore,
};

use crate::admission::Admission;
use crate::budget::Held;
use crate::metrics::{Metrics, Written};
use crate::plan::{self, Batch, Buffer, Limits};
use crate::{Budget, Error, Result, Sink, SinkError, Status};

/// What is taken from the topic at once.
const FETCH_BYTES_MAX: usize = 4 << 20;

/// One loop: the records of one feature group into one sink.
pub struct Consumer {
    pub name: &'static str,
    pub group: FeatureGroupId,
    /// The name of the group's topic and tables. When the group has another, it was deleted and created
    /// again, and this consumer's work is over.
    pub resource: String,
    pub topics: Arc<dyn TopicStore>,
    pub definitions: Arc<dyn Definitions>,
    pub limits: Limits,
    /// Shared with the consumers of other groups.
    pub budget: Budget,
    pub clock: Arc<dyn Clock>,
    pub status: watch::Sender<Status>,
}

/// What the loop holds while it runs.
struct Run<'a> {
    consumer: &'a Consumer,
    subscription: Box<dyn Subscription>,
    sink: &'a mut dyn Sink,
    definition: Arc<GroupDefinition>,
    /// Shared only with the thread that checks a fetch, while we wait for it.
    admission: Arc<Admission>,
    buffer: Buffer,
    /// The budget that the buffer takes.
    held: Held,
    written: Positions,
    committed: Positions,
    commit_due_us: i64,
    /// The clock as it was read after the last fetch or write: that often and not more.
    now_us: i64,
    metrics: Metrics,
}

impl Consumer {
    /// Consumes until told to stop, then writes what is buffered, makes it durable, commits and leaves.
    pub async fn run(
        &self,
        definition: Arc<GroupDefinition>,
        sink: &mut dyn Sink,
        shutdown: CancellationToken,
    ) -> Result<()> {
        // First, because it fails when the topic is gone: a sink must not make a dropped table again.
        let subscription = self.topics.subscribe(&self.resource, self.name).await?;
        sink.define(&definition).await?;
        let mut run = Run {
            subscription,
            admission: self.admission(&definition),
            consumer: self,
            sink,
            definition,
            buffer: Buffer::new(self.limits),
            held: Held::nothing_of(&self.budget),
            written: Positions::new(),
            committed: Positions::new(),
            commit_due_us: 0,
            now_us: self.clock.now_us(),
            metrics: Metrics::new(self.name, &self.group),
        };
        while !shutdown.is_cancelled() {
            run.step(&shutdown).await?;
        }
        // Whoever takes over tells how far behind it is.
        run.metrics.lag(0);
        if self.definition().await?.is_none() {
            // What is left belongs to stores that are being removed.
            return Ok(());
        }
        run.write(&shutdown).await?;
        run.commit().await
    }

    /// The group as it is now; `None` when this consumer's resources are gone or going.
    pub(crate) async fn definition(&self) -> Result<Option<Arc<GroupDefinition>>> {
        match self.definitions.group(&self.group).await {
            Err(twinfold_client::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.into()),
            Ok(definition) => {
                let is_ours = definition.resource == self.resource;
                Ok((is_ours && definition.state != ResourceState::Deleting).then_some(definition))
            }
        }
    }

    fn admission(&self, definition: &GroupDefinition) -> Arc<Admission> {
        Arc::new(Admission::new(
            definition.group.clone(),
            self.limits.future_skew_max,
        ))
    }
}

impl Run<'_> {
    async fn step(&mut self, shutdown: &CancellationToken) -> Result<()> {
        let limits = FetchLimits {
            bytes_max: FETCH_BYTES_MAX.min(self.consumer.limits.batch_bytes_max),
            wait_max: self.wait_max(),
        };
        // `next` is cancel-safe: what it has not returned is still in the topic.
        let event = tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            event = self.subscription.next(limits) => event,
        };
        self.now_us = self.consumer.clock.now_us();
        let event = match event {
            Ok(event) => event,
            Err(error) => {
                self.salvage(shutdown).await;
                return Err(error.into());
            }
        };
        match event {
            Event::Assigned(partitions) => {
                self.metrics.rebalanced();
                self.resume(&partitions).await?;
            }
            Event::Revoked(partitions) => {
                self.metrics.rebalanced();
                debug!(consumer = self.consumer.name, group = %self.consumer.group, ?partitions, "partitions revoked");
                self.write(shutdown).await?;
                self.commit().await?;
                // From here on another member counts for them.
                self.written.forget(&partitions);
                self.committed.forget(&partitions);
            }
            Event::Records(batches) => self.take_in(batches, shutdown).await?,
            Event::Idle => {}
        }
        if self.buffer.is_due(self.now_us) {
            self.write(shutdown).await?;
        }
        // A clock that was set back makes a commit due at once instead of long after.
        let wait_us = self.commit_due_us.saturating_sub(self.now_us);
        let interval_us = self
            .consumer
            .limits
            .commit_interval_ms
            .saturating_mul(1_000);
        let is_commit_due = wait_us <= 0 || wait_us.unsigned_abs() > interval_us;
        if self.written != self.committed && is_commit_due {
            self.commit().await?;
        }
        self.tell(self.buffer.oldest_us());
        Ok(())
    }

    /// Tells how far behind this loop is; `oldest_us` is since when rows wait to be written.
    fn tell(&mut self, oldest_us: Option<i64>) {
        self.metrics
            .lag(plan::lag(&self.subscription.ends(), &self.written));
        let waited_us = oldest_us.map_or(0, |oldest_us| self.now_us.saturating_sub(oldest_us));
        let waited_us = u64::try_from(waited_us).unwrap_or(0);
        self.sink.note_waiting(Duration::from_micros(waited_us));
    }

    /// Keeps what healthy partitions gave before another one failed; the failure itself is told by the
    /// caller. What belongs to a group that is being removed is left.
    async fn salvage(&mut self, shutdown: &CancellationToken) {
        if !matches!(self.consumer.definition().await, Ok(Some(_))) {
            return;
        }
        let kept = match self.write(shutdown).await {
            Ok(()) => self.commit().await,
            failed => failed,
        };
        if let Err(error) = kept {
            warn!(consumer = self.consumer.name, group = %self.consumer.group, %error, "rows are left for the next attempt");
        }
    }

    /// Until the buffer is due or a commit is, whichever is first.
    fn wait_max(&self) -> Duration {
        let idle = Duration::from_millis(self.consumer.limits.commit_interval_ms);
        let until_commit = match u64::try_from(self.commit_due_us - self.now_us) {
            Ok(micros) if self.written != self.committed => Duration::from_micros(micros),
            _ => idle,
        };
        if self.buffer.is_empty() {
            until_commit
        } else {
            until_commit.min(self.buffer.wait(self.now_us))
        }
    }

    async fn resume(&mut self, partitions: &[PartitionId]) -> Result<()> {
        let known = self.sink.positions().await?;
        let Consumer {
            topics,
            resource,
            name,
            ..
        } = self.consumer;
        let committed = topics.progress(resource, name).await?;
        for partition in partitions {
            let offset = plan::resume_at(*partition, known.as_ref(), &committed);
            match self.subscription.seek(*partition, offset).await {
                // Taken away since: the event that says so is on its way.
                Err(TopicError::NotAssigned { .. }) => continue,
                sought => sought?,
            }
            self.written.advance(*partition, offset);
        }
        info!(consumer = self.consumer.name, group = %self.consumer.group, partitions = partitions.len(), "partitions assigned");
        self.publish(None);
        Ok(())
    }

    async fn take_in(
        &mut self,
        batches: Vec<RecordBatch>,
        shutdown: &CancellationToken,
    ) -> Result<()> {
        self.learn(&batches, shutdown).await?;
        if !self.hold(&batches, shutdown).await? {
            // Told to stop: what was fetched is still in the topic.
            return Ok(());
        }
        let now = EventTime::from_micros(self.now_us);
        // Checking a full fetch takes milliseconds: too long for the threads that wait for I/O.
        let admission = Arc::clone(&self.admission);
        let admitted = tokio::task::spawn_blocking(move || admission.admit(batches, now)).await?;
        if !admitted.quarantined.is_empty() {
            self.admission_mut().forget_refused();
        }
        self.buffer.push(admitted, self.now_us);
        Ok(())
    }

    /// Takes the budget for what was fetched; false when told to stop meanwhile. Nothing is fetched until it
    /// is there. When it is not there at once, what is buffered is written first: who waits holds nothing,
    /// so nobody waits for each other.
    async fn hold(
        &mut self,
        batches: &[RecordBatch],
        shutdown: &CancellationToken,
    ) -> Result<bool> {
        let records = batches.iter().flat_map(|batch| &batch.records);
        let sizes = records.map(|record| record.key.len() + record.value.len());
        let bytes: usize = sizes.sum();
        if self.held.try_grow(bytes) {
            return Ok(true);
        }
        self.write(shutdown).await?;
        let is_granted = tokio::select! {
            () = shutdown.cancelled() => false,
            () = self.held.grow(bytes) => true,
        };
        self.now_us = self.consumer.clock.now_us();
        Ok(is_granted)
    }

    /// Learns the schemas that these records name. A new schema may mean that the group has evolved: what
    /// is buffered is written under the old definition first.
    async fn learn(&mut self, batches: &[RecordBatch], shutdown: &CancellationToken) -> Result<()> {
        for id in self.admission.unknown_schemas(batches) {
            let Consumer {
                definitions,
                resource,
                ..
            } = self.consumer;
            let schema = definitions.schema(id, resource).await?;
            let Some(definition) = self.consumer.definition().await? else {
                // Its schemas went with the group: nothing of it is to be quarantined for that.
                return Err(Error::Gone);
            };
            if definition.group != self.definition.group {
                self.write(shutdown).await?;
                self.sink.define(&definition).await?;
                self.admission = self.consumer.admission(&definition);
                self.definition = definition;
                return Box::pin(self.learn(batches, shutdown)).await;
            }
            self.admission_mut().learn(id, schema.as_deref());
        }
        Ok(())
    }

    fn admission_mut(&mut self) -> &mut Admission {
        Arc::get_mut(&mut self.admission)
            .expect("the checking thread has ended and dropped its share")
    }

    /// Writes what is buffered, again and again until it is in or we are told to stop.
    async fn write(&mut self, shutdown: &CancellationToken) -> Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let oldest_us = self.buffer.oldest_us();
        let mut batch = self.buffer.take();
        let quarantined = batch.quarantined.len();
        let mut began_us = self.consumer.clock.now_us();
        for attempt in 1.. {
            let written = self.try_write(&mut batch).await;
            self.now_us = self.consumer.clock.now_us();
            let Err(error) = written else { break };
            self.metrics.write_failed();
            self.tell(oldest_us);
            if !error.retry || shutdown.is_cancelled() {
                return Err(error.into());
            }
            warn!(consumer = self.consumer.name, group = %self.consumer.group, attempt, %error, "write failed, trying again");
            self.publish(Some(error.to_string()));
            let pause = plan::backoff(attempt, &self.consumer.limits);
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = tokio::time::sleep(pause) => {}
            }
            began_us = self.consumer.clock.now_us();
        }
        self.metrics.written(&Written {
            rows: batch.rows.len(),
            quarantined,
            appended: batch.appended,
            began_us,
            ended_us: self.now_us,
        });
        self.written.merge(&batch.positions);
        drop(batch);
        self.held.release();
        self.publish(None);
        Ok(())
    }

    async fn try_write(&mut self, batch: &mut Batch) -> Result<(), SinkError> {
        if !batch.quarantined.is_empty() {
            let records = batch.quarantined.clone();
            let kept = self.consumer.definitions.quarantine(records).await;
            kept.map_err(|error| SinkError {
                store: "quarantine",
                retry: error.retry(),
                source: Box::new(error),
            })?;
            // Kept: a second attempt need not keep them again.
            batch.quarantined.clear();
        }
        self.sink.write(batch).await
    }

    /// Makes what was written durable and tells the topic, so that a restart goes on from here.
    async fn commit(&mut self) -> Result<()> {
        let interval_us = self.consumer.limits.commit_interval_ms * 1_000;
        self.commit_due_us = self.now_us.saturating_add_unsigned(interval_us);
        if self.written == self.committed {
            return Ok(());
        }
        self.sink.flush().await.map_err(Error::Sink)?;
        if self.subscription.commit(&self.written).await? {
            self.committed.merge(&self.written);
        }
        Ok(())
    }

    fn publish(&self, failing: Option<String>) {
        self.consumer.status.send_modify(|status| {
            status.positions.merge(&self.written);
            status.failing = failing;
        });
    }
}
