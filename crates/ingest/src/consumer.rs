mod definition;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};
use twinfold_client::{Definitions, GroupDefinition};
use twinfold_model::{FeatureGroupId, PartitionId, Positions, ResourceState};
use twinfold_service_kit::Clock;
use twinfold_store_topic::{Error as TopicError, Event, RecordBatch, TopicStore};

use crate::admission::Admission;
use crate::ending::answered;
use crate::intake::{self, Intake};
use crate::metrics::Metrics;
use crate::plan::{self, Limits, Pace};
use crate::writer::Writer;
use crate::{Budget, Error, Result, Sink, Status};

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
    /// Moves when definitions were read anew, whatever they say now.
    pub definitions_read: watch::Receiver<u64>,
}

/// What the loop holds while it runs.
struct Run<'a> {
    consumer: &'a Consumer,
    metrics: &'a Metrics,
    intake: Intake<'a>,
    writer: Writer<'a>,
    definition: Arc<GroupDefinition>,
    definitions_read: watch::Receiver<u64>,
    written: Positions,
    pace: Pace,
    /// The clock as it was read after the last event or write: that often and not more.
    now_us: i64,
}

impl Consumer {
    /// Consumes until told to stop, then writes what is buffered, makes it durable, commits and leaves.
    pub async fn run(
        &self,
        definition: Arc<GroupDefinition>,
        sink: &mut dyn Sink,
        shutdown: CancellationToken,
    ) -> Result<()> {
        let beginning = async {
            // First, because it fails when the topic is gone: a sink must not make a dropped table again.
            let subscription = self.topics.subscribe(&self.resource, self.name).await?;
            sink.define(&definition).await?;
            Ok::<_, Error>(subscription)
        };
        let Some(subscription) = shutdown.run_until_cancelled(beginning).await else {
            return Ok(());
        };
        let subscription = subscription?;
        let metrics = Metrics::new(self.name, &self.group);
        let mut run = Run {
            consumer: self,
            metrics: &metrics,
            intake: Intake::new(self, &metrics, subscription, self.admission(&definition)),
            writer: Writer {
                consumer: self,
                metrics: &metrics,
                sink,
            },
            definition,
            definitions_read: self.definitions_read.clone(),
            written: Positions::new(),
            pace: Pace::new(self.limits.commit_interval()),
            now_us: self.clock.now_us(),
        };
        while !shutdown.is_cancelled() {
            run.step(&shutdown).await?;
        }
        // Whoever takes over tells how far behind it is.
        metrics.lag(0);
        run.end(&shutdown).await
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

    /// The same; no answer at all when nobody says before the end.
    pub(crate) async fn definition_at_last(
        &self,
        shutdown: &CancellationToken,
    ) -> Option<Result<Option<Arc<GroupDefinition>>>> {
        answered(self.definition(), shutdown, self.limits.patience).await
    }

    /// Tells how far the sink has come, and what keeps it from going on.
    pub(crate) fn publish(&self, reached: &Positions, failing: Option<String>) {
        self.status.send_modify(|status| {
            status.positions.merge(reached);
            status.failing = failing;
        });
    }

    fn admission(&self, definition: &GroupDefinition) -> Arc<Admission> {
        Arc::new(Admission::new(
            definition.group.clone(),
            self.resource.clone(),
            self.limits.future_skew_max,
        ))
    }
}

impl Run<'_> {
    /// A write that is due, or else the next event.
    async fn step(&mut self, shutdown: &CancellationToken) -> Result<()> {
        if !self.follow(shutdown).await? {
            return Ok(());
        }
        if self.is_write_due() {
            self.write_and_fill(shutdown).await?;
        } else if !self.take_next(shutdown).await? {
            return Ok(());
        }
        // Beside a write that is due it costs nothing.
        if self.is_commit_due() && !self.is_write_due() {
            self.commit(shutdown).await?;
        }
        self.intake.tell_lag(&self.written);
        self.writer
            .note_waiting(self.intake.buffer.oldest_us(), self.now_us);
        Ok(())
    }

    /// Waits for the next event and deals with it. False when told to stop before it came.
    async fn take_next(&mut self, shutdown: &CancellationToken) -> Result<bool> {
        let wait_max = self.wait_max();
        let Some(event) = self.intake.next(wait_max, shutdown).await else {
            return Ok(false);
        };
        self.now_us = self.consumer.clock.now_us();
        let handled = match event {
            Ok(event) => self.handle(event, shutdown).await,
            Err(error) => Err(error.into()),
        };
        // Behind a batch that is not in nothing may be written.
        if !matches!(handled, Ok(()) | Err(Error::Sink(_))) {
            self.salvage(shutdown).await;
        }
        handled.map(|()| true)
    }

    async fn handle(&mut self, event: Event, shutdown: &CancellationToken) -> Result<()> {
        match event {
            Event::Assigned(partitions) => {
                self.metrics.rebalanced();
                let resuming = self.resume(&partitions);
                // Told to stop: they are another's soon.
                let resumed = shutdown.run_until_cancelled(resuming).await;
                resumed.unwrap_or(Ok(()))?;
            }
            Event::Revoked(partitions) => {
                self.metrics.rebalanced();
                debug!(consumer = self.consumer.name, feature_group = %self.consumer.group, ?partitions, "partitions revoked");
                self.write(shutdown).await?;
                self.commit(shutdown).await?;
                // From here on another member counts for them.
                self.written.forget(&partitions);
                self.intake.committed.forget(&partitions);
            }
            Event::Records(batches) => self.take_in(batches, shutdown).await?,
            Event::Idle => {}
        }
        Ok(())
    }

    fn is_write_due(&self) -> bool {
        self.intake.buffer.is_due(self.now_us)
    }

    fn is_commit_due(&self) -> bool {
        self.pace.is_time(self.now_us) && self.has_untold()
    }

    /// Whether more was written than the topic was told of.
    fn has_untold(&self) -> bool {
        self.written != self.intake.committed
    }

    /// Keeps what came before a partition failed, or a record that cannot be judged now; the failure itself
    /// is told by the caller. What belongs to a group that is being removed is left.
    async fn salvage(&mut self, shutdown: &CancellationToken) {
        let definition = self.consumer.definition_at_last(shutdown).await;
        if !matches!(definition, Some(Ok(Some(_)))) {
            return;
        }
        let kept = match self.write(shutdown).await {
            Ok(()) => self.commit(shutdown).await,
            failed => failed,
        };
        if let Err(error) = kept {
            warn!(consumer = self.consumer.name, feature_group = %self.consumer.group, %error, "rows are left for the next attempt");
        }
    }

    /// Until the buffer is due or a commit is, whichever is first.
    fn wait_max(&self) -> Duration {
        let until_commit = self.pace.wait(self.now_us, self.has_untold());
        let buffer = &self.intake.buffer;
        if buffer.is_empty() {
            until_commit
        } else {
            until_commit.min(buffer.wait(self.now_us))
        }
    }

    async fn resume(&mut self, partitions: &[PartitionId]) -> Result<()> {
        let known = self.writer.sink.positions().await?;
        let Consumer {
            topics,
            resource,
            name,
            ..
        } = self.consumer;
        let committed = topics.progress(resource, name).await?;
        for partition in partitions {
            let offset = plan::resume_at(*partition, known.as_ref(), &committed);
            match self.intake.subscription.seek(*partition, offset).await {
                // Taken away since: the event that says so is on its way.
                Err(TopicError::NotAssigned { .. }) => continue,
                sought => sought?,
            }
            self.written.advance(*partition, offset);
        }
        info!(consumer = self.consumer.name, feature_group = %self.consumer.group, partitions = partitions.len(), "partitions assigned");
        self.consumer.publish(&self.written, None);
        Ok(())
    }

    async fn take_in(
        &mut self,
        batches: Vec<RecordBatch>,
        shutdown: &CancellationToken,
    ) -> Result<()> {
        if !self.learn(&batches, shutdown).await? || !self.hold(&batches, shutdown).await? {
            // Told to stop: what was fetched is still in the topic.
            return Ok(());
        }
        self.intake.take_in(batches, self.now_us).await
    }

    /// Takes the budget for what was fetched; false when told to stop meanwhile. Nothing is fetched until it
    /// is there. When it is not there at once, what is buffered is written first: who waits holds nothing,
    /// so nobody waits for each other.
    async fn hold(
        &mut self,
        batches: &[RecordBatch],
        shutdown: &CancellationToken,
    ) -> Result<bool> {
        let bytes = intake::bytes(batches);
        if self.intake.held.try_grow(bytes) {
            return Ok(true);
        }
        self.write(shutdown).await?;
        // It may be a long wait, and others wait for what was written.
        self.commit(shutdown).await?;
        let is_granted = tokio::select! {
            () = shutdown.cancelled() => false,
            () = self.intake.held.grow(bytes) => true,
        };
        self.now_us = self.consumer.clock.now_us();
        Ok(is_granted)
    }

    /// Writes what is buffered. Meanwhile the topic is told what was written before, if that is due, and the
    /// next batch is taken in, so that the sink does not wait for it.
    async fn write_and_fill(&mut self, shutdown: &CancellationToken) -> Result<()> {
        let is_commit_due = self.is_commit_due();
        if is_commit_due {
            self.flush().await?;
        }
        let Some(taken) = self.intake.take() else {
            return Ok(());
        };
        // No more is taken in when the write has ended, or when told to stop.
        let enough = shutdown.child_token();
        let (intake, writer, durable) = (&mut self.intake, &mut self.writer, &self.written);
        let writing = async {
            let reached = writer.write(taken, shutdown).await;
            enough.cancel();
            reached
        };
        let filling = async {
            if is_commit_due {
                intake.commit(durable, shutdown).await?;
            }
            intake.fill(durable, &enough).await
        };
        let (reached, filled) = tokio::join!(writing, filling);
        self.now_us = self.consumer.clock.now_us();
        match reached {
            Ok(reached) => self.written.merge(&reached),
            Err(error) => {
                if let Err(also) = filled {
                    warn!(consumer = self.consumer.name, feature_group = %self.consumer.group, error = %also, "no rows could be taken in beside a write that failed");
                }
                return Err(error);
            }
        }
        filled
    }

    /// Writes what is buffered, and nothing else meanwhile.
    async fn write(&mut self, shutdown: &CancellationToken) -> Result<()> {
        let Some(taken) = self.intake.take() else {
            return Ok(());
        };
        let reached = self.writer.write(taken, shutdown).await?;
        self.now_us = self.consumer.clock.now_us();
        self.written.merge(&reached);
        Ok(())
    }

    /// Writes what is buffered and commits, when told to stop. What belongs to a group that is being removed
    /// is left, and so is what nobody says anything of: it stays in the topic.
    async fn end(&mut self, shutdown: &CancellationToken) -> Result<()> {
        let Some(definition) = self.consumer.definition_at_last(shutdown).await else {
            warn!(consumer = self.consumer.name, feature_group = %self.consumer.group, "rows are left for the next start: the group's definition cannot be read");
            return Ok(());
        };
        if definition?.is_none() {
            return Ok(());
        }
        self.write(shutdown).await?;
        self.commit(shutdown).await
    }

    /// Makes what was written durable, then tells the topic.
    async fn commit(&mut self, shutdown: &CancellationToken) -> Result<()> {
        if !self.has_untold() {
            return Ok(());
        }
        self.flush().await?;
        self.intake.commit(&self.written, shutdown).await
    }

    async fn flush(&mut self) -> Result<()> {
        self.pace.begin(self.now_us);
        self.writer.sink.flush().await.map_err(Error::Sink)
    }
}
