//! Which partitions a member has, and from where it wants each.
//!
//! A partition that the group assigns is paused until its first seek. A seek takes it out of the
//! client's assignment and puts it back with the offset: the library then throws away what it had
//! fetched ahead. Whether what comes is what was asked for is checked here nevertheless.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::statistics::Statistics;
use rdkafka::topic_partition_list::{Offset as At, TopicPartitionList};
use tracing::warn;
use twinfold_model::{Offset, PartitionId, Positions};

use super::failure::failed;
use super::{offset_from, offset_to, partition_from, partition_to};
use crate::{Error, RecordBatch, Result};

#[derive(Debug)]
pub(super) struct Assignment {
    topic: String,
    timeout: Duration,
    cursors: Mutex<BTreeMap<PartitionId, Cursor>>,
    /// Where partitions end, as the client last said.
    ends: Mutex<Positions>,
}

/// From where a partition is wanted. Each seek has a number of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cursor {
    /// Nobody has said so yet.
    Unsought,
    At {
        next: Offset,
        seek: u64,
    },
    /// The partition has not come that far.
    Ahead {
        wanted: Offset,
        seek: u64,
    },
}

impl Cursor {
    fn seek(self) -> u64 {
        match self {
            Self::Unsought => 0,
            Self::At { seek, .. } | Self::Ahead { seek, .. } => seek,
        }
    }
}

/// The seeks that counted when a round of fetching began.
#[derive(Debug, Default)]
pub(super) struct Seeks(BTreeMap<PartitionId, u64>);

impl Assignment {
    pub(super) fn new(topic: &str, timeout: Duration) -> Self {
        Self {
            topic: topic.to_owned(),
            timeout,
            cursors: Mutex::default(),
            ends: Mutex::default(),
        }
    }

    fn cursors(&self) -> MutexGuard<'_, BTreeMap<PartitionId, Cursor>> {
        self.cursors.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The group gave us partitions. Called by the client, which waits for our answer.
    pub(super) fn assign<C: ConsumerContext>(
        &self,
        consumer: &BaseConsumer<C>,
        given: &mut TopicPartitionList,
    ) -> Vec<PartitionId> {
        let mut cursors = self.cursors();
        // Until a seek nothing is fetched, so it does not matter from where.
        let assigned = given
            .set_all_offsets(At::End)
            .and_then(|()| consumer.incremental_assign(given))
            .and_then(|()| consumer.pause(given));
        if let Err(error) = assigned {
            warn!(topic = self.topic, %error, "partitions cannot be taken");
        }
        let partitions = partitions_of(given);
        cursors.extend(partitions.iter().map(|id| (*id, Cursor::Unsought)));
        partitions
    }

    /// The group took partitions away.
    pub(super) fn revoke<C: ConsumerContext>(
        &self,
        consumer: &BaseConsumer<C>,
        taken: &TopicPartitionList,
    ) -> Vec<PartitionId> {
        let mut cursors = self.cursors();
        if let Err(error) = consumer.incremental_unassign(taken) {
            warn!(topic = self.topic, %error, "partitions cannot be let go");
        }
        let partitions = partitions_of(taken);
        cursors.retain(|id, _| !partitions.contains(id));
        partitions
    }

    /// Delivers from `offset` on, or from where the partition begins if that is later.
    pub(super) fn seek<C: ConsumerContext>(
        &self,
        consumer: &BaseConsumer<C>,
        partition: PartitionId,
        offset: Offset,
    ) -> Result<()> {
        // Asked before the lock is taken: the answer may take a while.
        let bounds = self.bounds(consumer, partition)?;
        let mut cursors = self.cursors();
        let Some(cursor) = cursors.get_mut(&partition) else {
            return Err(Error::NotAssigned {
                topic: self.topic.clone(),
                partition: partition.0,
            });
        };
        let seek = cursor.seek() + 1;
        *cursor = self.place(consumer, partition, offset, seek, bounds)?;
        Ok(())
    }

    fn place<C: ConsumerContext>(
        &self,
        consumer: &BaseConsumer<C>,
        partition: PartitionId,
        wanted: Offset,
        seek: u64,
        (earliest, next): (Offset, Offset),
    ) -> Result<Cursor> {
        let mut list = TopicPartitionList::new();
        let id = partition_to(partition);
        list.add_partition(&self.topic, id);
        let is_ahead = wanted > next;
        let start = if is_ahead { next } else { wanted.max(earliest) };
        let placed = consumer
            .incremental_unassign(&list)
            .and_then(|()| list.set_all_offsets(At::Offset(offset_to(start))))
            .and_then(|()| consumer.incremental_assign(&list))
            .and_then(|()| match is_ahead {
                true => consumer.pause(&list),
                false => consumer.resume(&list),
            });
        placed.map_err(failed("seek", &self.topic))?;
        Ok(match is_ahead {
            true => Cursor::Ahead { wanted, seek },
            false => Cursor::At { next: start, seek },
        })
    }

    fn bounds<C: ConsumerContext>(
        &self,
        consumer: &BaseConsumer<C>,
        partition: PartitionId,
    ) -> Result<(Offset, Offset)> {
        let id = partition_to(partition);
        let bounds = consumer.fetch_watermarks(&self.topic, id, self.timeout);
        let (earliest, next) = bounds.map_err(failed("bounds of a topic", &self.topic))?;
        Ok((offset_from(earliest), offset_from(next)))
    }

    pub(super) fn seeks(&self) -> Seeks {
        let cursors = self.cursors();
        Seeks(
            cursors
                .iter()
                .map(|(id, cursor)| (*id, cursor.seek()))
                .collect(),
        )
    }

    /// Keeps of a round what was asked for, each batch with the seek it answers. What a seek has made
    /// stale while the round went on is left out, and its partition is placed again: the round may have
    /// held records of the new place too.
    pub(super) fn admit<C: ConsumerContext>(
        &self,
        consumer: &BaseConsumer<C>,
        batches: Vec<RecordBatch>,
        before: &Seeks,
    ) -> Result<Vec<(u64, RecordBatch)>> {
        let mut admitted = Vec::with_capacity(batches.len());
        let mut stale = Vec::new();
        {
            let mut cursors = self.cursors();
            for batch in batches {
                let Some(Cursor::At { next, seek }) = cursors.get_mut(&batch.partition) else {
                    continue;
                };
                if before.0.get(&batch.partition) != Some(&*seek) {
                    stale.push((batch.partition, *next));
                } else if batch.first >= *next {
                    *next = batch.first.plus(batch.records.len() as u64);
                    admitted.push((*seek, batch));
                }
            }
        }
        stale.dedup();
        for (partition, next) in stale {
            self.seek(consumer, partition, next)?;
        }
        Ok(admitted)
    }

    /// Whether what was fetched for `partition` answers its newest seek.
    pub(super) fn is_current(&self, partition: PartitionId, answered: u64) -> bool {
        let cursors = self.cursors();
        cursors
            .get(&partition)
            .is_some_and(|cursor| cursor.seek() == answered)
    }

    /// Places partitions that have meanwhile come as far as was wanted.
    pub(super) fn place_waiting<C: ConsumerContext>(
        &self,
        consumer: &BaseConsumer<C>,
    ) -> Result<()> {
        let waiting = |(id, cursor): (&PartitionId, &Cursor)| match cursor {
            Cursor::Ahead { wanted, .. } => Some((*id, *wanted)),
            _ => None,
        };
        let waiting: Vec<_> = self.cursors().iter().filter_map(waiting).collect();
        for (partition, wanted) in waiting {
            if self.bounds(consumer, partition)?.1 >= wanted {
                self.seek(consumer, partition, wanted)?;
            }
        }
        Ok(())
    }

    /// Places every partition again: one has an offset that its log no longer has.
    pub(super) fn place_all<C: ConsumerContext>(&self, consumer: &BaseConsumer<C>) -> Result<()> {
        let placed = |(id, cursor): (&PartitionId, &Cursor)| match cursor {
            Cursor::At { next, .. } => Some((*id, *next)),
            _ => None,
        };
        let placed: Vec<_> = self.cursors().iter().filter_map(placed).collect();
        for (partition, next) in placed {
            self.seek(consumer, partition, next)?;
        }
        Ok(())
    }

    /// The partitions that the member has now.
    pub(super) fn partitions(&self) -> Vec<PartitionId> {
        self.cursors().keys().copied().collect()
    }

    /// Takes from the client's statistics where partitions end: for us a partition ends where records are
    /// certain.
    pub(super) fn note_ends(&self, statistics: &Statistics) {
        let Some(topic) = statistics.topics.get(&self.topic) else {
            return;
        };
        let known = topic.partitions.iter();
        let known: Positions = known
            .filter_map(|(id, partition)| {
                let id = u32::try_from(*id).ok()?;
                let end = u64::try_from(partition.ls_offset).ok()?;
                Some((PartitionId(id), Offset(end)))
            })
            .collect();
        self.known_ends().merge(&known);
    }

    fn known_ends(&self) -> MutexGuard<'_, Positions> {
        self.ends.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where the member's partitions end, as far as is known; never before what was delivered.
    pub(super) fn ends(&self) -> Positions {
        let known = self.known_ends().clone();
        let cursors = self.cursors();
        let end = |(id, cursor): (&PartitionId, &Cursor)| {
            let delivered = match cursor {
                Cursor::At { next, .. } => Some(*next),
                _ => None,
            };
            known.get(*id).max(delivered).map(|end| (*id, end))
        };
        cursors.iter().filter_map(end).collect()
    }

    /// How far the partition's delivery has come.
    pub(super) fn delivered(&self, partition: PartitionId) -> Offset {
        match self.cursors().get(&partition) {
            Some(Cursor::At { next, .. }) => *next,
            _ => Offset::ZERO,
        }
    }
}

fn partitions_of(list: &TopicPartitionList) -> Vec<PartitionId> {
    let elements = list.elements();
    let mut partitions: Vec<_> = elements
        .iter()
        .map(|element| partition_from(element.partition()))
        .collect();
    partitions.sort_unstable();
    partitions
}

/// What the consumer's group committed; nothing for partitions that it never did.
pub(super) fn committed<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    topic: &str,
    partitions: impl Iterator<Item = PartitionId>,
    timeout: Duration,
) -> Result<Positions> {
    let mut list = TopicPartitionList::new();
    for partition in partitions {
        list.add_partition(topic, partition_to(partition));
    }
    let answer = consumer.committed_offsets(list, timeout);
    let answer = answer.map_err(failed("progress of a consumer", topic))?;
    let committed = answer.elements_for_topic(topic);
    Ok(committed
        .iter()
        .filter_map(|element| match element.offset() {
            At::Offset(offset) => Some((partition_from(element.partition()), offset_from(offset))),
            _ => None,
        })
        .collect())
}
