use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use async_trait::async_trait;
use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::topic_partition_list::{Offset as At, TopicPartitionList};
use tracing::debug;
use twinfold_model::{Offset, PartitionId, Positions};

use super::assignment::{self, Assignment};
use super::failure::failed;
use super::fetcher::{self, Client, Handed, Handover, Member};
use super::threads::Threads;
use super::{KafkaOptions, Topic, offset_from, offset_to, partition_to};
use crate::{Error, Event, FetchLimits, Result, Subscription, blocking};

/// A member of a consumer group, with a client and a thread of its own.
pub(super) struct KafkaSubscription {
    topic: Arc<Topic>,
    closed: Arc<AtomicBool>,
    handover: Arc<Handover>,
    /// The thread's: it ends where it may block.
    client: Weak<Client>,
    timeout: Duration,
    /// What the group has stored, as far as this member knows.
    committed: Positions,
    failure: Option<Error>,
}

impl KafkaSubscription {
    pub(super) fn join(
        options: &KafkaOptions,
        topic: Arc<Topic>,
        group: &str,
        closed: Arc<AtomicBool>,
        threads: &Threads,
    ) -> Result<Self> {
        let timeout = options.request_timeout();
        let handover = Arc::new(Handover::new(Assignment::new(&topic.name, timeout)));
        let member = Member::new(Arc::clone(&handover));
        let no_client = failed("a client cannot be made", group);
        let client: Client = options
            .consumer(group)
            .create_with_context(member)
            .map_err(no_client)?;
        client
            .subscribe(&[topic.name.as_str()])
            .map_err(failed("subscribe", &topic.name))?;
        let polled = Arc::new(client);
        let client = Arc::downgrade(&polled);
        let name = topic.name.clone();
        let thread = std::thread::Builder::new().name(format!("kafka {group}"));
        let started = thread.spawn(move || fetcher::run(&polled, &name));
        let thread = started.map_err(|source| Error::Io {
            path: "a thread".into(),
            source,
        })?;
        threads.add(&handover, thread);
        Ok(Self {
            topic,
            closed,
            handover,
            client,
            timeout,
            committed: Positions::new(),
            failure: None,
        })
    }

    fn check(&self) -> Result<()> {
        // Without a client nothing comes any more: its thread has ended.
        if self.closed.load(Ordering::SeqCst) || self.client.strong_count() == 0 {
            return Err(Error::Closed);
        }
        self.topic.check_there()
    }

    fn client(&self) -> Result<Arc<Client>> {
        self.client.upgrade().ok_or(Error::Closed)
    }

    /// What was handed over as an event; records that a later seek has made stale are left out.
    fn event(&mut self, handed: Handed, bytes_max: usize) -> Option<Event> {
        match handed {
            Handed::Assigned(partitions) => {
                self.handover.assignment.announce(&partitions);
                Some(Event::Assigned(partitions))
            }
            Handed::Revoked(partitions) => {
                self.committed.forget(&partitions);
                Some(Event::Revoked(partitions))
            }
            Handed::Records(mut batches) => {
                // The thread hands over what has come at once. Small rounds go together, or each would
                // cost a write of its own.
                let mut room = bytes_max.saturating_sub(fetcher::bytes(&batches));
                while let Some(more) = self.handover.take_records(room) {
                    room -= fetcher::bytes(&more);
                    batches.extend(more);
                }
                let assignment = &self.handover.assignment;
                let current = batches
                    .into_iter()
                    .filter(|(seek, batch)| assignment.is_current(batch.partition, *seek));
                let current: Vec<_> = current.map(|(_, batch)| batch).collect();
                (!current.is_empty()).then_some(Event::Records(current))
            }
            Handed::Failed(error) => {
                self.failure = Some(error);
                None
            }
        }
    }
}

#[async_trait]
impl Subscription for KafkaSubscription {
    async fn next(&mut self, limits: FetchLimits) -> Result<Event> {
        let bytes_max = limits.bytes_max.max(1);
        self.handover
            .round_bytes_max
            .store(bytes_max, Ordering::Relaxed);
        let timeout = tokio::time::sleep(limits.wait_max);
        tokio::pin!(timeout);
        loop {
            self.check()?;
            while let Some(handed) = self.handover.take() {
                if let Some(event) = self.event(handed, bytes_max) {
                    return Ok(event);
                }
            }
            tokio::select! {
                () = self.handover.filled.notified() => {}
                () = &mut timeout => return self.failure.take().map_or(Ok(Event::Idle), Err),
            }
        }
    }

    async fn seek(&mut self, partition: PartitionId, offset: Offset) -> Result<()> {
        self.check()?;
        self.topic.check_partition(partition)?;
        let (handover, client) = (Arc::clone(&self.handover), self.client()?);
        blocking(move || handover.assignment.seek(&client, partition, offset)).await
    }

    fn ends(&self) -> Positions {
        self.handover.assignment.ends()
    }

    async fn commit(&mut self, positions: &Positions) -> Result<bool> {
        self.check()?;
        let ours = self.handover.assignment.announced();
        let unknown: Vec<_> = ours
            .iter()
            .copied()
            .filter(|partition| self.committed.get(*partition).is_none())
            .collect();
        let (client, handover) = (self.client()?, Arc::clone(&self.handover));
        let (topic, timeout) = (Arc::clone(&self.topic), self.timeout);
        let (mut committed, positions) = (self.committed.clone(), positions.clone());
        let stored = blocking(move || {
            if !unknown.is_empty() {
                let stored =
                    assignment::committed(&client, &topic.name, unknown.into_iter(), timeout)?;
                committed.merge(&stored);
            }
            // The group's store takes what it is told, also backward, also for others' partitions.
            let newer: Positions = positions
                .iter()
                .filter(|(partition, _)| ours.contains(partition))
                .filter(|(partition, next)| committed.get(*partition) < Some(*next))
                .collect();
            for (partition, next) in newer.iter() {
                check_reached(&client, &handover, &topic, partition, next, timeout)?;
            }
            let tell = |newer: &Positions| store(&client, &topic.name, newer);
            let is_stored = handover.assignment.tell(&newer, tell)?;
            if is_stored {
                committed.merge(&newer);
            }
            Ok((is_stored, committed))
        });
        let (is_stored, committed) = stored.await?;
        self.committed = committed;
        Ok(is_stored)
    }
}

fn check_reached(
    client: &Client,
    handover: &Handover,
    topic: &Topic,
    partition: PartitionId,
    found: Offset,
    timeout: Duration,
) -> Result<()> {
    if found <= handover.assignment.delivered(partition) {
        return Ok(());
    }
    let bounds = client.fetch_watermarks(&topic.name, partition_to(partition), timeout);
    let (_, next) = bounds.map_err(failed("bounds of a topic", &topic.name))?;
    let next = offset_from(next);
    if found <= next {
        return Ok(());
    }
    Err(Error::UnknownOffset {
        topic: topic.name.clone(),
        partition: partition.0,
        found: found.0,
        next: next.0,
    })
}

/// False when the group is just giving partitions anew: what this member keeps is to be stored after that.
fn store(client: &Client, topic: &str, positions: &Positions) -> Result<bool> {
    if positions.is_empty() {
        return Ok(true);
    }
    let mut list = TopicPartitionList::new();
    for (partition, next) in positions.iter() {
        let at = At::Offset(offset_to(next));
        let added = list.add_partition_offset(topic, partition_to(partition), at);
        added.map_err(failed("commit", topic))?;
    }
    match client.commit(&list, CommitMode::Sync) {
        // Progress is advice: whoever has the partitions after this begins where the group was.
        Err(error) if is_fenced(error.rdkafka_error_code()) => {
            debug!(topic, %error, "progress is not taken during a rebalance");
            Ok(false)
        }
        Err(error) => Err(failed("commit", topic)(error)),
        Ok(()) => Ok(true),
    }
}

fn is_fenced(code: Option<RDKafkaErrorCode>) -> bool {
    matches!(
        code,
        Some(
            RDKafkaErrorCode::IllegalGeneration
                | RDKafkaErrorCode::UnknownMemberId
                | RDKafkaErrorCode::RebalanceInProgress
                | RDKafkaErrorCode::AssignmentLost
        )
    )
}

impl Drop for KafkaSubscription {
    fn drop(&mut self) {
        self.handover.end();
    }
}
