//! When to write what: pure decisions over what is buffered.

mod pace;

use std::time::Duration;

use bytes::Bytes;
use twinfold_model::{
    EventTime, Offset, PartitionId, Position, Positions, QuarantinedRecord, RowVersion, SchemaId,
};
use twinfold_store_topic::Record;

pub(crate) use pace::Pace;

/// Bad records make a batch full sooner than rows: each takes many times as much, and a registry is told of
/// all of them before a row is written.
const BATCH_QUARANTINED_MAX: usize = 4_096;

/// Bounds of a batch. Whichever is reached first makes the batch due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    pub batch_rows_max: usize,
    pub batch_bytes_max: usize,
    pub batch_age_ms_max: u64,
    /// A batch is also due when nothing was added to it for this long.
    pub batch_idle_ms_max: u64,
    /// How far an event time may lie ahead of the log's clock.
    pub future_skew_max: Duration,
    /// Progress is made durable and committed at most this often.
    pub commit_interval_ms: u64,
    pub retry_backoff_ms_max: u64,
    /// How long others have for each answer once we are told to stop.
    pub patience: Duration,
}

impl Limits {
    pub(crate) fn commit_interval(&self) -> Duration {
        Duration::from_millis(self.commit_interval_ms)
    }
}

/// A record that passed every check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    pub partition: PartitionId,
    /// Canonical key bytes, derived from the value.
    pub key: Bytes,
    pub version: RowVersion,
    pub schema: SchemaId,
    /// The framed value as it stood in the topic.
    pub value: Bytes,
}

impl Row {
    /// The Avro body: the value without its frame.
    pub fn body(&self) -> Bytes {
        self.value.slice(twinfold_wire::record::FRAME_BYTES..)
    }

    pub fn position(&self) -> Position {
        Position {
            partition: self.partition,
            offset: self.version.offset,
        }
    }
}

/// What a record takes of memory until it is written.
pub(crate) fn held_bytes(record: &Record) -> usize {
    record.key.len() + record.value.len() + size_of::<Row>()
}

/// What a bad record takes beside that, copied out of what was fetched.
pub(crate) fn quarantined_bytes(record: &QuarantinedRecord) -> usize {
    let QuarantinedRecord {
        group,
        resource,
        key,
        value,
        headers,
        code,
        reason,
        ..
    } = record;
    let names = group.project.as_str().len() + group.name.as_str().len() + resource.len();
    let content = key.len() + value.len() + headers.len();
    size_of::<QuarantinedRecord>() + names + content + code.len() + reason.len()
}

/// What is written at once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    /// In the order of the topic within each partition.
    pub rows: Vec<Row>,
    pub quarantined: Vec<QuarantinedRecord>,
    /// Where the topic stands after this batch, for the partitions it touches.
    pub positions: Positions,
    /// Of memory, those of its quarantined records too.
    pub bytes: usize,
    /// When the log took in the oldest and the newest record, quarantined ones too.
    pub appended: Option<(EventTime, EventTime)>,
}

impl Batch {
    /// Notes records that the log took in between these times.
    pub fn note_appended(&mut self, oldest: EventTime, newest: EventTime) {
        let (first, last) = self.appended.unwrap_or((oldest, newest));
        self.appended = Some((first.min(oldest), last.max(newest)));
    }
}

/// Collects rows until a batch is due.
#[derive(Debug)]
pub struct Buffer {
    limits: Limits,
    batch: Batch,
    oldest_us: Option<i64>,
    newest_us: i64,
}

impl Buffer {
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            batch: Batch::default(),
            oldest_us: None,
            newest_us: 0,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.oldest_us.is_none()
    }

    /// Adds what was admitted; `now_us` is when it was taken from the topic.
    pub fn push(&mut self, admitted: Batch, now_us: i64) {
        self.oldest_us.get_or_insert(now_us);
        self.newest_us = now_us;
        self.batch.bytes += admitted.bytes;
        self.batch.positions.merge(&admitted.positions);
        if let Some((oldest, newest)) = admitted.appended {
            self.batch.note_appended(oldest, newest);
        }
        self.batch.quarantined.extend(admitted.quarantined);
        if self.batch.rows.is_empty() {
            self.batch.rows = admitted.rows;
        } else {
            self.batch.rows.extend(admitted.rows);
        }
    }

    /// Whether what is buffered is as much as a batch may be.
    pub fn is_full(&self) -> bool {
        let quarantined = self.batch.quarantined.len();
        quarantined >= BATCH_QUARANTINED_MAX
            || self.batch.rows.len() + quarantined >= self.limits.batch_rows_max
            || self.batch.bytes >= self.limits.batch_bytes_max
    }

    pub fn is_due(&self, now_us: i64) -> bool {
        !self.is_empty() && (self.is_full() || self.wait(now_us).is_zero())
    }

    /// How long to wait for more before what is buffered becomes due by age or by idleness.
    pub fn wait(&self, now_us: i64) -> Duration {
        let age_max = Duration::from_millis(self.limits.batch_age_ms_max);
        let idle_max = Duration::from_millis(self.limits.batch_idle_ms_max);
        // A clock that was set back says nothing about age: better too early than much too late.
        let since = |then_us: i64| match u64::try_from(now_us.saturating_sub(then_us)) {
            Ok(micros) => Duration::from_micros(micros),
            Err(_) => Duration::MAX,
        };
        match self.oldest_us {
            None => age_max,
            Some(oldest_us) => {
                let until_old = age_max.saturating_sub(since(oldest_us));
                until_old.min(idle_max.saturating_sub(since(self.newest_us)))
            }
        }
    }

    /// When the oldest of what is buffered was taken from the topic.
    pub fn oldest_us(&self) -> Option<i64> {
        self.oldest_us
    }

    pub fn take(&mut self) -> Batch {
        self.oldest_us = None;
        std::mem::take(&mut self.batch)
    }
}

/// The offset from which a partition is read again: what the sink knows, else what was committed,
/// else the beginning.
pub fn resume_at(
    partition: PartitionId,
    sink: Option<&Positions>,
    committed: &Positions,
) -> Offset {
    sink.unwrap_or(committed)
        .get(partition)
        .unwrap_or(Offset::ZERO)
}

/// How many records lie between what was written and where the partitions end.
pub fn lag(ends: &Positions, written: &Positions) -> u64 {
    let behind = written.iter().map(|(partition, next)| {
        let end = ends.get(partition).unwrap_or(next);
        end.0.saturating_sub(next.0)
    });
    behind.sum()
}

/// The pause before attempt number `attempt` (from 1): doubling from 50 ms up to the limit.
pub fn backoff(attempt: u32, limits: &Limits) -> Duration {
    const FIRST_MS: u64 = 50;
    let doubled_ms = FIRST_MS.saturating_mul(1_u64 << attempt.saturating_sub(1).min(16));
    Duration::from_millis(doubled_ms.min(limits.retry_backoff_ms_max))
}

/// Failures of a loop in a row. One that comes further than before starts the count anew; where a loop
/// goes on after a restart is no progress.
#[derive(Debug, Default)]
pub struct Failures {
    in_a_row: u32,
    stopped_at: Option<Positions>,
}

impl Failures {
    /// Counts one more, of a loop that had come as far as `reached`: how many these are in a row.
    pub fn count(&mut self, reached: &Positions) -> u32 {
        if self.stopped_at.as_ref() != Some(reached) {
            self.in_a_row = 0;
            self.stopped_at = Some(reached.clone());
        }
        self.in_a_row += 1;
        self.in_a_row
    }
}

#[cfg(test)]
mod tests {
    use twinfold_model::FeatureGroupId;

    use super::*;

    fn limits() -> Limits {
        Limits {
            batch_rows_max: 10,
            batch_bytes_max: 1_000,
            batch_age_ms_max: 5,
            batch_idle_ms_max: 4,
            future_skew_max: Duration::from_secs(300),
            commit_interval_ms: 1_000,
            retry_backoff_ms_max: 5_000,
            patience: Duration::ZERO,
        }
    }

    fn admitted(bytes: usize, next: u64) -> Batch {
        Batch {
            bytes,
            positions: Positions::from_iter([(PartitionId(0), Offset(next))]),
            ..Batch::default()
        }
    }

    #[test]
    fn a_batch_is_due_by_size_or_by_age_and_never_when_empty() {
        let mut buffer = Buffer::new(limits());
        assert!(!buffer.is_due(i64::MAX));
        buffer.push(admitted(999, 1), 1_000);
        assert!(!buffer.is_due(1_000));
        assert_eq!(buffer.wait(3_000), Duration::from_millis(2));
        assert!(buffer.is_due(5_000));
        buffer.push(admitted(0, 1), 5_000);
        assert_eq!(buffer.wait(5_500), Duration::from_micros(500));
        assert!(buffer.is_due(6_000));
        buffer.push(admitted(1, 2), 1_000);
        assert!(buffer.is_due(1_000));
        let batch = buffer.take();
        assert_eq!(
            (batch.bytes, batch.positions.get(PartitionId(0))),
            (1_000, Some(Offset(2)))
        );
        assert!(!buffer.is_due(i64::MAX));
    }

    #[test]
    fn few_bad_records_make_a_batch_full() {
        let bad = QuarantinedRecord {
            group: FeatureGroupId::new("default", "weather", 1).expect("valid"),
            resource: "default.weather_1".to_owned(),
            position: Position {
                partition: PartitionId(0),
                offset: Offset(0),
            },
            key: Vec::new(),
            value: vec![0; 20],
            headers: Vec::new(),
            code: "truncated".to_owned(),
            reason: "it ends early".to_owned(),
            quarantined_at: EventTime::from_micros(0),
            replayed_at: None,
        };
        let mut buffer = Buffer::new(Limits {
            batch_rows_max: usize::MAX,
            ..limits()
        });
        let push = |buffer: &mut Buffer, count| {
            let quarantined = vec![bad.clone(); count];
            let admitted = Batch {
                quarantined,
                ..Batch::default()
            };
            buffer.push(admitted, 0);
        };
        push(&mut buffer, BATCH_QUARANTINED_MAX - 1);
        assert!(!buffer.is_full());
        push(&mut buffer, 1);
        assert!(buffer.is_full());
    }

    #[test]
    fn a_clock_that_was_set_back_makes_a_batch_due() {
        let mut buffer = Buffer::new(limits());
        buffer.push(admitted(1, 1), 1_000_000);
        assert!(buffer.is_due(0));
        assert_eq!(buffer.wait(0), Duration::ZERO);
    }

    #[test]
    fn the_sink_knows_best_where_to_resume() {
        let at = |offset| Positions::from_iter([(PartitionId(1), Offset(offset))]);
        assert_eq!(resume_at(PartitionId(1), Some(&at(7)), &at(3)), Offset(7));
        assert_eq!(resume_at(PartitionId(1), None, &at(3)), Offset(3));
        assert_eq!(
            resume_at(PartitionId(0), Some(&at(7)), &at(3)),
            Offset::ZERO
        );
    }

    #[test]
    fn only_partitions_that_are_written_to_lag() {
        let at = |pairs: &[(u32, u64)]| -> Positions {
            let pair = |(id, next): &(u32, u64)| (PartitionId(*id), Offset(*next));
            pairs.iter().map(pair).collect()
        };
        let ends = at(&[(0, 10), (1, 4), (7, 1_000)]);
        // Of partition 2 the end is not known yet; that of 1 is out of date.
        assert_eq!(lag(&ends, &at(&[(0, 3), (1, 5), (2, 9)])), 7);
    }

    #[test]
    fn pauses_grow_to_a_limit() {
        let pauses: Vec<_> = [1, 2, 3, 40]
            .map(|n| backoff(n, &limits()).as_millis())
            .into();
        assert_eq!(pauses, [50, 100, 200, 5_000]);
    }

    #[test]
    fn a_loop_that_fails_where_it_failed_before_slows_down() {
        let at = |offset| Positions::from_iter([(PartitionId(0), Offset(offset))]);
        let mut failures = Failures::default();
        assert_eq!(failures.count(&at(5)), 1);
        assert_eq!(failures.count(&at(5)), 2);
        assert_eq!(failures.count(&at(5)), 3);
        assert_eq!(failures.count(&at(6)), 1);
    }
}
