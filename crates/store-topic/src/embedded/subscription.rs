use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::watch;
use twinfold_model::{Offset, PartitionId, Positions};

use super::group::MemberId;
use super::partition::Partition;
use super::reader::Cursor;
use super::topic::Topic;
use crate::{Error, Event, FetchLimits, RecordBatch, Result, Subscription, blocking};

pub(super) struct EmbeddedSubscription {
    topic: Arc<Topic>,
    consumer: String,
    member: MemberId,
    changes: watch::Receiver<u64>,
    has_begun: bool,
    /// No cursor before the first seek.
    assigned: BTreeMap<PartitionId, Option<Cursor>>,
    /// Whose turn is first, so that a busy partition does not starve the others.
    turn: PartitionId,
    /// Partitions that could not be read, so that each is logged once.
    failing: BTreeSet<PartitionId>,
}

impl EmbeddedSubscription {
    pub(super) fn join(topic: Arc<Topic>, consumer: &str) -> Result<Self> {
        let (member, changes) = topic.join(consumer)?;
        Ok(Self {
            topic,
            consumer: consumer.to_owned(),
            member,
            changes,
            has_begun: false,
            assigned: BTreeMap::new(),
            turn: PartitionId(0),
            failing: BTreeSet::new(),
        })
    }

    fn membership_event(&mut self) -> Option<Event> {
        let member = self.member;
        let revoked = self
            .topic
            .in_group(&self.consumer, |group| group.let_go(member));
        if !revoked.is_empty() {
            self.assigned
                .retain(|partition, _| !revoked.contains(partition));
            self.topic.note_change();
            return Some(Event::Revoked(revoked));
        }
        let assigned = self
            .topic
            .in_group(&self.consumer, |group| group.take(member));
        let is_first = !std::mem::replace(&mut self.has_begun, true);
        self.assigned
            .extend(assigned.iter().map(|partition| (*partition, None)));
        (is_first || !assigned.is_empty()).then_some(Event::Assigned(assigned))
    }

    /// Reads from the partitions that have something new. Nothing moves until the read is complete,
    /// so dropping this loses nothing. Fails when nothing came and a partition could not be read.
    async fn fetch(&mut self, bytes_max: usize) -> Result<Vec<RecordBatch>> {
        let mut readers = Vec::new();
        for (id, cursor) in &self.assigned {
            let partition = self.topic.partition(*id)?;
            if let Some(cursor) = *cursor
                && partition.bounds().next > cursor.next
            {
                readers.push(Reader {
                    partition: Arc::clone(partition),
                    cursor,
                });
            }
        }
        if readers.is_empty() {
            return Ok(Vec::new());
        }
        let first = readers.partition_point(|reader| reader.partition.id < self.turn);
        readers.rotate_left(first);

        let (round, readers) = blocking(move || Ok(read_all(readers, bytes_max))).await?;
        if let Some(last) = round.batches.last() {
            self.turn = PartitionId(last.partition.0 + 1);
        }
        for reader in readers {
            self.assigned
                .insert(reader.partition.id, Some(reader.cursor));
        }
        self.outcome(round)
    }

    /// What could be read comes before the news of what could not be.
    fn outcome(&mut self, round: Round) -> Result<Vec<RecordBatch>> {
        if round.batches.is_empty() {
            let first_failure = round.failures.into_iter().next();
            return first_failure.map_or(Ok(Vec::new()), |(_, error)| Err(error));
        }
        for (partition, error) in round.failures {
            if self.failing.insert(partition) {
                let topic = &*self.topic.name;
                tracing::warn!(topic, partition = partition.0, %error, "cannot read a partition, going on with the others");
            }
        }
        Ok(round.batches)
    }
}

struct Reader {
    partition: Arc<Partition>,
    cursor: Cursor,
}

/// What came of reading all partitions once.
#[derive(Default)]
struct Round {
    batches: Vec<RecordBatch>,
    failures: Vec<(PartitionId, Error)>,
}

/// Reads what is durable. When there is only what is not yet, makes it durable first: the wait for
/// the disk is then paid for by everything that was appended meanwhile.
fn read_all(mut readers: Vec<Reader>, bytes_max: usize) -> (Round, Vec<Reader>) {
    let mut round = read_durable(&mut readers, bytes_max);
    if round.batches.is_empty() {
        let make_durable = |reader: &Reader| {
            let made = reader.partition.make_durable();
            made.err().map(|error| (reader.partition.id, error))
        };
        let failures: Vec<_> = readers.iter().filter_map(make_durable).collect();
        round = read_durable(&mut readers, bytes_max);
        round.failures.extend(failures);
    }
    (round, readers)
}

/// Each reader may take an equal part of what the ones before it left. One that fails does not keep
/// the others from theirs.
fn read_durable(readers: &mut [Reader], bytes_max: usize) -> Round {
    let mut round = Round::default();
    let mut bytes_left = bytes_max;
    let mut readers_left = readers.len();
    for Reader { partition, cursor } in readers {
        match cursor.read(partition, bytes_left / readers_left) {
            Ok(fetched) => {
                round.batches.extend(fetched.batches);
                bytes_left = bytes_left.saturating_sub(fetched.bytes);
            }
            Err(error) => round.failures.push((partition.id, error)),
        }
        readers_left -= 1;
        if bytes_left == 0 {
            break;
        }
    }
    round
}

#[async_trait]
impl Subscription for EmbeddedSubscription {
    async fn next(&mut self, limits: FetchLimits) -> Result<Event> {
        let timeout = tokio::time::sleep(limits.wait_max);
        tokio::pin!(timeout);
        loop {
            // Before looking: a change that comes while looking is not missed.
            self.changes.mark_unchanged();
            self.topic.check_open()?;
            if let Some(event) = self.membership_event() {
                return Ok(event);
            }
            let nothing = match self.fetch(limits.bytes_max).await {
                Ok(batches) if !batches.is_empty() => return Ok(Event::Records(batches)),
                Ok(_) => Ok(Event::Idle),
                Err(error) => Err(error),
            };
            tokio::select! {
                // The deadline first: appends to a partition that cannot be read are changes without end.
                biased;
                () = &mut timeout => return nothing,
                changed = self.changes.changed() => changed.map_err(|_| Error::Closed)?,
            }
        }
    }

    async fn seek(&mut self, partition: PartitionId, offset: Offset) -> Result<()> {
        self.topic.partition(partition)?;
        self.failing.remove(&partition);
        match self.assigned.get_mut(&partition) {
            Some(cursor) => {
                *cursor = Some(Cursor::at(offset));
                Ok(())
            }
            None => Err(Error::NotAssigned {
                topic: self.topic.name.to_string(),
                partition: partition.0,
            }),
        }
    }

    fn ends(&self) -> Positions {
        let assigned = self.assigned.keys();
        let end = |id: &PartitionId| Some((*id, self.topic.partition(*id).ok()?.bounds().next));
        assigned.filter_map(end).collect()
    }

    async fn commit(&mut self, positions: &Positions) -> Result<bool> {
        let topic = Arc::clone(&self.topic);
        let (consumer, positions) = (self.consumer.clone(), positions.clone());
        blocking(move || topic.commit(&consumer, &positions)).await?;
        Ok(true)
    }
}

impl Drop for EmbeddedSubscription {
    fn drop(&mut self) {
        let member = self.member;
        self.topic
            .in_group(&self.consumer, |group| group.leave(member));
        self.topic.note_change();
    }
}
