use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::watch;
use twinfold_model::{Offset, PartitionId, Positions};

use super::blocking;
use super::group::MemberId;
use super::partition::Partition;
use super::reader::{Cursor, Fetched};
use super::topic::Topic;
use crate::{Error, Event, FetchLimits, RecordBatch, Result, Subscription};

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
    /// so dropping this loses nothing.
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

        let (batches, readers) = blocking(move || read_all(readers, bytes_max)).await?;
        if let Some(last) = batches.last() {
            self.turn = PartitionId(last.partition.0 + 1);
        }
        for reader in readers {
            self.assigned
                .insert(reader.partition.id, Some(reader.cursor));
        }
        Ok(batches)
    }
}

struct Reader {
    partition: Arc<Partition>,
    cursor: Cursor,
}

/// Reads what is durable. When there is only what is not yet, makes it durable first: the wait for
/// the disk is then paid for by everything that was appended meanwhile.
fn read_all(mut readers: Vec<Reader>, bytes_max: usize) -> Result<(Vec<RecordBatch>, Vec<Reader>)> {
    let mut batches = read_durable(&mut readers, bytes_max)?;
    if batches.is_empty() {
        for reader in &readers {
            reader.partition.make_durable()?;
        }
        batches = read_durable(&mut readers, bytes_max)?;
    }
    Ok((batches, readers))
}

/// Each reader may take an equal part of what the ones before it left.
fn read_durable(readers: &mut [Reader], bytes_max: usize) -> Result<Vec<RecordBatch>> {
    let mut batches = Vec::new();
    let mut bytes_left = bytes_max;
    let mut readers_left = readers.len();
    for reader in readers {
        let share = bytes_left / readers_left;
        let Fetched {
            batches: new,
            bytes,
        } = reader.cursor.read(&reader.partition, share)?;
        batches.extend(new);
        bytes_left = bytes_left.saturating_sub(bytes);
        readers_left -= 1;
        if bytes_left == 0 {
            break;
        }
    }
    Ok(batches)
}

#[async_trait]
impl Subscription for EmbeddedSubscription {
    async fn next(&mut self, limits: FetchLimits) -> Result<Event> {
        let timeout = tokio::time::sleep(limits.wait_max);
        tokio::pin!(timeout);
        loop {
            // Before looking: a change that comes while looking is not missed.
            self.changes.mark_unchanged();
            if let Some(partition) = self.topic.partitions.first() {
                partition.check_readable()?;
            }
            if let Some(event) = self.membership_event() {
                return Ok(event);
            }
            let batches = self.fetch(limits.bytes_max).await?;
            if !batches.is_empty() {
                return Ok(Event::Records(batches));
            }
            tokio::select! {
                biased;
                changed = self.changes.changed() => changed.map_err(|_| Error::Closed)?,
                () = &mut timeout => return Ok(Event::Idle),
            }
        }
    }

    async fn seek(&mut self, partition: PartitionId, offset: Offset) -> Result<()> {
        self.topic.partition(partition)?;
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

    async fn commit(&mut self, positions: &Positions) -> Result<()> {
        let topic = Arc::clone(&self.topic);
        let (consumer, positions) = (self.consumer.clone(), positions.clone());
        blocking(move || topic.commit(&consumer, &positions)).await
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
