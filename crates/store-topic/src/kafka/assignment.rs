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
    /// Held while progress is told, and while partitions are taken away.
    telling: Mutex<()>,
}

/// What a member wants of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Cursor {
    wanted: Wanted,
    /// How often the consumer said from where: what was fetched for an earlier seek is of no use to it.
    seek: u64,
    /// How often the client was told from where: a round in which it was may hold records of both places.
    placed: u64,
    /// What the client gives may have a gap: nothing is taken until it was told once more from where.
    is_astray: bool,
    /// Whether the consumer has heard that it has the partition. One that was another's for a while comes
    /// back as a new one: what the consumer knows of it is out of date until it hears of that.
    is_announced: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    /// Nothing until the first seek.
    Nothing,
    From(Offset),
    /// From there once the partition has come that far.
    Ahead(Offset),
}

const UNSOUGHT: Cursor = Cursor {
    wanted: Wanted::Nothing,
    seek: 0,
    placed: 0,
    is_astray: false,
    is_announced: false,
};

/// Where the client was told to fetch when a round of fetching began.
#[derive(Debug, Default)]
pub(super) struct Placements(BTreeMap<PartitionId, u64>);

impl Assignment {
    pub(super) fn new(topic: &str, timeout: Duration) -> Self {
        Self {
            topic: topic.to_owned(),
            timeout,
            cursors: Mutex::default(),
            ends: Mutex::default(),
            telling: Mutex::default(),
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
        // Until a seek nothing is fetched, so it does not matter from where; but never from a place that
        // has to be asked for, such as the end: the client asks once more when the answer comes after the
        // seek, and then goes there.
        let assigned = given
            .set_all_offsets(At::Offset(0))
            .and_then(|()| consumer.incremental_assign(given))
            .and_then(|()| consumer.pause(given));
        if let Err(error) = assigned {
            warn!(topic = self.topic, %error, "partitions cannot be taken");
        }
        let partitions = partitions_of(given);
        cursors.extend(partitions.iter().map(|id| (*id, UNSOUGHT)));
        partitions
    }

    /// The group took partitions away.
    pub(super) fn revoke<C: ConsumerContext>(
        &self,
        consumer: &BaseConsumer<C>,
        taken: &TopicPartitionList,
    ) -> Vec<PartitionId> {
        // What is being told is stored before another member asks for it.
        let _telling = self.telling();
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
        cursor.seek += 1;
        self.place(consumer, partition, offset, cursor, bounds)
    }

    /// Fetches anew from where delivery has come; what was fetched before that place stays good. A partition
    /// that was taken away meanwhile needs none.
    fn place_again<C: ConsumerContext>(
        &self,
        consumer: &BaseConsumer<C>,
        partition: PartitionId,
    ) -> Result<()> {
        let bounds = self.bounds(consumer, partition)?;
        let mut cursors = self.cursors();
        let Some(cursor) = cursors.get_mut(&partition) else {
            return Ok(());
        };
        match cursor.wanted {
            Wanted::Nothing => Ok(()),
            Wanted::From(offset) | Wanted::Ahead(offset) => {
                self.place(consumer, partition, offset, cursor, bounds)
            }
        }
    }

    fn place<C: ConsumerContext>(
        &self,
        consumer: &BaseConsumer<C>,
        partition: PartitionId,
        wanted: Offset,
        cursor: &mut Cursor,
        (earliest, next): (Offset, Offset),
    ) -> Result<()> {
        let mut list = TopicPartitionList::new();
        let id = partition_to(partition);
        list.add_partition(&self.topic, id);
        let is_ahead = wanted > next;
        if wanted < earliest {
            let (topic, partition) = (&self.topic, partition.0);
            let (wanted, earliest) = (wanted.0, earliest.0);
            warn!(
                topic,
                partition, wanted, earliest, "the log has forgotten records that were not read"
            );
        }
        if is_ahead {
            let (topic, partition) = (&self.topic, partition.0);
            let (wanted, next) = (wanted.0, next.0);
            warn!(
                topic,
                partition, wanted, next, "the log is shorter than what was read of it"
            );
        }
        let start = if is_ahead { next } else { wanted.max(earliest) };
        // Paused or not before it is fetched: told after, the client would begin once more.
        let placed = consumer
            .incremental_unassign(&list)
            .and_then(|()| match is_ahead {
                true => consumer.pause(&list),
                false => consumer.resume(&list),
            })
            .and_then(|()| list.set_all_offsets(At::Offset(offset_to(start))))
            .and_then(|()| consumer.incremental_assign(&list));
        placed.map_err(failed("seek", &self.topic))?;
        cursor.placed += 1;
        cursor.is_astray = false;
        cursor.wanted = match is_ahead {
            true => Wanted::Ahead(wanted),
            false => Wanted::From(start),
        };
        Ok(())
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

    pub(super) fn placements(&self) -> Placements {
        let cursors = self.cursors();
        let placed = cursors.iter().map(|(id, cursor)| (*id, cursor.placed));
        Placements(placed.collect())
    }

    /// Keeps of a round what was asked for, each batch with the seek it answers. What was placed elsewhere
    /// while the round went on is left out and gone astray: the round may have held records of the new
    /// place too.
    pub(super) fn admit(
        &self,
        batches: Vec<RecordBatch>,
        before: &Placements,
    ) -> Vec<(u64, RecordBatch)> {
        let mut admitted = Vec::with_capacity(batches.len());
        let mut cursors = self.cursors();
        for batch in batches {
            let Some(cursor) = cursors.get_mut(&batch.partition) else {
                continue;
            };
            let Wanted::From(next) = cursor.wanted else {
                continue;
            };
            cursor.is_astray |= before.0.get(&batch.partition) != Some(&cursor.placed);
            if cursor.is_astray {
                continue;
            }
            if let Some(batch) = rest(batch, next) {
                let next = batch.first.plus(batch.records.len() as u64);
                cursor.wanted = Wanted::From(next);
                admitted.push((cursor.seek, batch));
            }
        }
        admitted
    }

    /// The client may have left something out, of whichever partition.
    pub(super) fn lose_track(&self) {
        for cursor in self.cursors().values_mut() {
            cursor.is_astray = cursor.wanted != Wanted::Nothing;
        }
    }

    /// Places what has gone astray. What cannot be placed now stays so, for the next call; the first failure
    /// is told.
    pub(super) fn place_astray<C: ConsumerContext>(
        &self,
        consumer: &BaseConsumer<C>,
    ) -> Result<()> {
        let astray = |(id, cursor): (&PartitionId, &Cursor)| cursor.is_astray.then_some(*id);
        let astray: Vec<_> = self.cursors().iter().filter_map(astray).collect();
        let mut outcome = Ok(());
        for partition in astray {
            outcome = outcome.and(self.place_again(consumer, partition));
        }
        outcome
    }

    /// Whether what was fetched for `partition` answers its newest seek.
    pub(super) fn is_current(&self, partition: PartitionId, answered: u64) -> bool {
        let cursors = self.cursors();
        cursors
            .get(&partition)
            .is_some_and(|cursor| cursor.seek == answered)
    }

    /// Places partitions that have meanwhile come as far as was wanted.
    pub(super) fn place_waiting<C: ConsumerContext>(
        &self,
        consumer: &BaseConsumer<C>,
    ) -> Result<()> {
        let waiting = |(id, cursor): (&PartitionId, &Cursor)| match cursor.wanted {
            Wanted::Ahead(wanted) => Some((*id, wanted)),
            _ => None,
        };
        let waiting: Vec<_> = self.cursors().iter().filter_map(waiting).collect();
        for (partition, wanted) in waiting {
            if self.bounds(consumer, partition)?.1 >= wanted {
                self.place_again(consumer, partition)?;
            }
        }
        Ok(())
    }

    /// The consumer hears that it has these partitions.
    pub(super) fn announce(&self, partitions: &[PartitionId]) {
        let mut cursors = self.cursors();
        for partition in partitions {
            if let Some(cursor) = cursors.get_mut(partition) {
                cursor.is_announced = true;
            }
        }
    }

    /// The partitions that the member has, as far as the consumer has heard.
    pub(super) fn announced(&self) -> Vec<PartitionId> {
        let cursors = self.cursors();
        let announced = cursors.iter().filter(|(_, cursor)| cursor.is_announced);
        announced.map(|(id, _)| *id).collect()
    }

    /// Calls `tell` with the progress of those partitions that the consumer knows to have. None is taken away
    /// before that has ended: who has a partition next goes on from there.
    pub(super) fn tell<T>(&self, progress: &Positions, tell: impl FnOnce(&Positions) -> T) -> T {
        let _telling = self.telling();
        let ours = self.announced();
        let ours: Positions = progress
            .iter()
            .filter(|(id, _)| ours.contains(id))
            .collect();
        tell(&ours)
    }

    /// Waits for who tells progress or takes partitions away; while the guard is there nobody else does.
    fn telling(&self) -> MutexGuard<'_, ()> {
        self.telling.lock().unwrap_or_else(PoisonError::into_inner)
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

    /// Where the partitions end that the consumer knows to have, as far as is known; never before what was
    /// delivered.
    pub(super) fn ends(&self) -> Positions {
        let known = self.known_ends().clone();
        let cursors = self.cursors();
        let end = |(id, cursor): (&PartitionId, &Cursor)| {
            let delivered = match cursor.wanted {
                Wanted::From(next) => Some(next),
                _ => None,
            };
            known.get(*id).max(delivered).map(|end| (*id, end))
        };
        let announced = cursors.iter().filter(|(_, cursor)| cursor.is_announced);
        announced.filter_map(end).collect()
    }

    /// How far the partition's delivery has come.
    pub(super) fn delivered(&self, partition: PartitionId) -> Offset {
        match self.cursors().get(&partition).map(|cursor| cursor.wanted) {
            Some(Wanted::From(next)) => next,
            _ => Offset::ZERO,
        }
    }
}

/// The records from `next` on. The client gives records twice when it begins to fetch once more, and what it
/// gives then need not begin where the first time ended.
fn rest(mut batch: RecordBatch, next: Offset) -> Option<RecordBatch> {
    let known = usize::try_from(next.0.saturating_sub(batch.first.0)).unwrap_or(usize::MAX);
    if known >= batch.records.len() {
        return None;
    }
    if known > 0 {
        batch.records.drain(..known);
        batch.first = next;
    }
    Some(batch)
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

#[cfg(test)]
mod tests {
    use twinfold_model::EventTime;
    use twinfold_wire::record::Headers;

    use super::*;
    use crate::Record;

    fn batch_of(partition: u32, first: u64, count: u64) -> RecordBatch {
        RecordBatch {
            partition: PartitionId(partition),
            first: Offset(first),
            appended_at: EventTime::from_micros(0),
            headers: Headers::from_pairs(std::iter::empty()),
            records: (first..first + count)
                .map(|offset| Record {
                    offset: Offset(offset),
                    key: Default::default(),
                    value: Default::default(),
                })
                .collect(),
        }
    }

    #[test]
    fn what_went_astray_is_not_taken_and_keeps_nothing_else_out() {
        let assignment = Assignment::new("t", Duration::ZERO);
        let from = |offset| Cursor {
            wanted: Wanted::From(Offset(offset)),
            ..UNSOUGHT
        };
        assignment.cursors().extend([
            (PartitionId(0), from(10)),
            (PartitionId(1), from(10)),
            (PartitionId(2), UNSOUGHT),
        ]);
        let before = assignment.placements();
        // Placed elsewhere while the round went on.
        assignment
            .cursors()
            .entry(PartitionId(0))
            .and_modify(|cursor| cursor.placed += 1);
        let taken = |batches: Vec<RecordBatch>, before: &Placements| -> Vec<(u32, u64)> {
            let admitted = assignment.admit(batches, before).into_iter();
            admitted
                .map(|(_, batch)| (batch.partition.0, batch.first.0))
                .collect()
        };
        let round = vec![batch_of(0, 10, 5), batch_of(1, 10, 5), batch_of(2, 0, 5)];
        assert_eq!(taken(round, &before), [(1, 10)]);
        // The next round has what follows: to take it would leave a gap.
        let round = vec![batch_of(0, 15, 5), batch_of(1, 15, 5)];
        assert_eq!(taken(round, &assignment.placements()), [(1, 15)]);
        assert_eq!(assignment.delivered(PartitionId(0)), Offset(10));

        assignment.lose_track();
        let taken = taken(vec![batch_of(1, 20, 5)], &assignment.placements());
        assert!(taken.is_empty(), "{taken:?}");
        assert_eq!(assignment.delivered(PartitionId(1)), Offset(20));
    }

    #[test]
    fn what_was_anothers_for_a_while_is_told_of_when_that_is_heard() {
        let assignment = Assignment::new("t", Duration::ZERO);
        let [moving, staying] = [0, 1].map(PartitionId);
        let given = |ids: &[PartitionId]| {
            let new = ids.iter().map(|id| (*id, UNSOUGHT));
            assignment.cursors().extend(new);
        };
        let progress = Positions::from_iter([(moving, Offset(3)), (staying, Offset(4))]);
        let told = || assignment.tell(&progress, Positions::clone);
        given(&[moving, staying]);
        assert!(told().is_empty());
        assignment.announce(&[moving, staying]);
        assert_eq!(told(), progress);

        assignment.cursors().remove(&moving);
        given(&[moving]);
        let mut kept = progress.clone();
        kept.forget(&[moving]);
        assert_eq!(told(), kept);
        assert!(assignment.ends().get(moving).is_none());
        assignment.announce(&[moving]);
        assert_eq!(told(), progress);
    }

    #[test]
    fn what_is_given_twice_is_taken_once() {
        let batch = |first: u64, count: u64| batch_of(0, first, count);
        let taken = |first, count, next| {
            let rest = rest(batch(first, count), Offset(next))?;
            assert_eq!(rest.first, rest.records[0].offset);
            Some((rest.first.0, rest.records.len()))
        };
        assert_eq!(taken(10, 5, 10), Some((10, 5)));
        assert_eq!(taken(12, 5, 10), Some((12, 5)));
        assert_eq!(taken(8, 5, 10), Some((10, 3)));
        assert_eq!(taken(5, 5, 10), None);
        assert_eq!(taken(0, 5, 10), None);
    }
}
