use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, UInt32Array};
use arrow::buffer::BooleanBuffer;
use arrow::compute::{interleave, take};
use arrow::datatypes::{Int32Type, Int64Type, TimestampMicrosecondType};
use arrow::record_batch::RecordBatch;
use datafusion::execution::memory_pool::MemoryReservation;

use super::PitJoin;
use super::slots::{NO_SLOT, Slots};
use crate::keys::{KeyTable, NO_KEY, Probe, columns};
use crate::{Error, Result};

/// Places of a candidate that are not a kept batch.
pub(super) const NOWHERE: u32 = u32::MAX;
/// Chosen from the batch at hand, its features not copied yet.
const PENDING: u32 = u32::MAX - 1;

/// Superseded rows are dropped once there are this many of them and twice as many as live ones.
/// Tests have few rows and drop all the same.
const SUPERSEDED_ROWS_MIN: usize = if cfg!(test) { 4 } else { 65_536 };
/// Rows copied at a time when superseded ones are dropped.
const COMPACTED_BATCH_ROWS: usize = if cfg!(test) { 3 } else { 8_192 };

/// The newest record that fell into a slot, and where its features are kept.
#[derive(Debug, Clone, Copy)]
pub(super) struct Candidate {
    pub(super) event_time: i64,
    /// The offset below a bit that says delete: the order among records of one event time.
    order: u64,
    partition: i32,
    /// [`NOWHERE`] for a delete, and while there is none.
    pub(super) batch: u32,
    pub(super) row: u32,
}

impl Candidate {
    pub(super) const NONE: Self = Self {
        event_time: i64::MIN,
        order: 0,
        partition: i32::MIN,
        batch: NOWHERE,
        row: 0,
    };

    /// [`RowVersion`](twinfold_model::RowVersion)'s order; the partition only decides where a log
    /// was repartitioned under a key.
    pub(super) fn is_newer_than(&self, other: &Self) -> bool {
        (self.event_time, self.order, self.partition)
            > (other.event_time, other.order, other.partition)
    }
}

/// What one partition of the history leaves in the slots.
pub(super) struct Candidates {
    pub(super) of_slot: Vec<Candidate>,
    /// Columns of features; a candidate points to (batch, row).
    pub(super) kept: Vec<Vec<ArrayRef>>,
    kept_rows: usize,
    live_rows: usize,
    probe: Probe,
    /// Per row of the batch at hand, the slot it falls into.
    slots: Vec<u32>,
    /// Slots that took a row of the batch at hand; may name one twice.
    touched: Vec<u32>,
    memory: MemoryReservation,
}

/// The system columns of a history batch.
struct Versions<'a> {
    event_times: &'a [i64],
    deleted: &'a BooleanBuffer,
    offsets: &'a [i64],
    partitions: &'a [i32],
}

impl<'a> Versions<'a> {
    fn new(batch: &'a RecordBatch, first: usize) -> Result<Self> {
        for column in &batch.columns()[first..first + 4] {
            if column.null_count() > 0 {
                return Err(Error::InvalidSource {
                    reason: "a system column of a history contains a null".to_owned(),
                });
            }
        }
        Ok(Self {
            event_times: batch
                .column(first)
                .as_primitive::<TimestampMicrosecondType>()
                .values(),
            deleted: batch.column(first + 1).as_boolean().values(),
            offsets: batch.column(first + 2).as_primitive::<Int64Type>().values(),
            partitions: batch.column(first + 3).as_primitive::<Int32Type>().values(),
        })
    }

    fn candidate(&self, row: usize) -> Candidate {
        let deleted = self.deleted.value(row);
        Candidate {
            event_time: self.event_times[row],
            order: u64::from(deleted) << 63 | self.offsets[row].cast_unsigned(),
            partition: self.partitions[row],
            batch: if deleted { NOWHERE } else { PENDING },
            row: u32::try_from(row).expect("a batch has fewer rows than u32::MAX"),
        }
    }
}

impl Candidates {
    pub(super) fn new(slots: &Slots, memory: MemoryReservation) -> Result<Self> {
        memory.try_grow(slots.len() * size_of::<Candidate>())?;
        Ok(Self {
            of_slot: vec![Candidate::NONE; slots.len()],
            kept: Vec::new(),
            kept_rows: 0,
            live_rows: 0,
            probe: slots.keys.probe(),
            slots: Vec::new(),
            touched: Vec::new(),
            memory,
        })
    }

    /// Lets the records of `batch` compete for the slots.
    pub(super) fn offer(
        &mut self,
        join: &PitJoin,
        slots: &Slots,
        batch: &RecordBatch,
    ) -> Result<()> {
        let keys = join.history_keys();
        KeyTable::find(&slots.keys, &columns(batch, &keys), &mut self.probe)?;
        self.choose(slots, &Versions::new(batch, keys.len())?, join.ttl_us());
        self.keep(&batch.columns()[keys.len() + 4..])?;
        let superseded = self.kept_rows - self.live_rows;
        if superseded > (2 * self.live_rows).max(SUPERSEDED_ROWS_MIN) {
            self.drop_superseded()?;
        }
        Ok(())
    }

    /// Two loops, so that the look-ups of many rows wait for memory together.
    fn choose(&mut self, slots: &Slots, versions: &Versions<'_>, ttl_us: i64) {
        self.slots.clear();
        let rows = self.probe.ids.iter().zip(versions.event_times);
        self.slots.extend(rows.map(|(id, event_time)| match *id {
            NO_KEY => NO_SLOT,
            id => slots.first_not_before(id, *event_time),
        }));
        for row in 0..self.slots.len() {
            if self.slots[row] != NO_SLOT {
                self.compete(slots, versions, row, ttl_us);
            }
        }
    }

    fn compete(&mut self, slots: &Slots, versions: &Versions<'_>, row: usize, ttl_us: i64) {
        let slot = self.slots[row];
        let candidate = versions.candidate(row);
        // Expired at its slot, a record is expired at every later one, and so is all it is newer than.
        if slots.times[slot as usize].saturating_sub(candidate.event_time) > ttl_us {
            return;
        }
        let held = &mut self.of_slot[slot as usize];
        if !candidate.is_newer_than(held) {
            return;
        }
        let (was_live, is_live) = (held.batch != NOWHERE, candidate.batch != NOWHERE);
        self.live_rows = self.live_rows + usize::from(is_live) - usize::from(was_live);
        if is_live && held.batch != PENDING {
            self.touched.push(slot);
        }
        *held = candidate;
    }

    /// Copies the features of the records chosen from the batch at hand.
    fn keep(&mut self, features: &[ArrayRef]) -> Result<()> {
        let batch = u32::try_from(self.kept.len()).expect("fewer batches than rows");
        let mut rows: Vec<u32> = Vec::with_capacity(self.touched.len());
        for slot in self.touched.drain(..) {
            let candidate = &mut self.of_slot[slot as usize];
            if candidate.batch == PENDING {
                let row = u32::try_from(rows.len()).expect("a batch has fewer rows than u32::MAX");
                rows.push(candidate.row);
                (candidate.batch, candidate.row) = (batch, row);
            }
        }
        if rows.is_empty() {
            return Ok(());
        }
        let count = rows.len();
        let rows = UInt32Array::from(rows);
        let columns = features
            .iter()
            .map(|column| take(column, &rows, None))
            .collect::<Result<Vec<_>, _>>()?;
        let bytes = bytes_of(&columns);
        self.kept.push(columns);
        self.kept_rows += count;
        if let Err(full) = self.memory.try_grow(bytes) {
            // Only what can still win has to fit; but copying it for little gain would never end.
            if 4 * (self.kept_rows - self.live_rows) < self.live_rows {
                return Err(full.into());
            }
            self.drop_superseded()?;
        }
        Ok(())
    }

    /// Copies the live rows together and lets go of the others.
    fn drop_superseded(&mut self) -> Result<()> {
        let width = self.kept.first().map_or(0, Vec::len);
        let mut compacted: Vec<Vec<ArrayRef>> = Vec::new();
        let mut sources: Vec<(usize, usize)> = Vec::with_capacity(COMPACTED_BATCH_ROWS);
        let mut bytes = 0;
        let columns: Vec<Vec<&dyn Array>> = (0..width)
            .map(|index| {
                self.kept
                    .iter()
                    .map(|batch| batch[index].as_ref())
                    .collect()
            })
            .collect();
        let flush = |sources: &mut Vec<(usize, usize)>, compacted: &mut Vec<Vec<ArrayRef>>| {
            let batch = columns
                .iter()
                .map(|column| interleave(column, sources))
                .collect::<Result<Vec<_>, _>>()?;
            let bytes = bytes_of(&batch);
            compacted.push(batch);
            sources.clear();
            Ok::<usize, Error>(bytes)
        };
        for candidate in &mut self.of_slot {
            if candidate.batch == NOWHERE {
                continue;
            }
            let place = (compacted.len(), sources.len());
            sources.push((candidate.batch as usize, candidate.row as usize));
            candidate.batch = u32::try_from(place.0).expect("fewer batches than rows");
            candidate.row = u32::try_from(place.1).expect("at most COMPACTED_BATCH_ROWS");
            if sources.len() == COMPACTED_BATCH_ROWS {
                bytes += flush(&mut sources, &mut compacted)?;
            }
        }
        if !sources.is_empty() {
            bytes += flush(&mut sources, &mut compacted)?;
        }
        self.kept = compacted;
        self.kept_rows = self.live_rows;
        self.memory
            .try_resize(bytes + self.of_slot.len() * size_of::<Candidate>())?;
        Ok(())
    }
}

fn bytes_of(columns: &[ArrayRef]) -> usize {
    columns
        .iter()
        .map(|column| Arc::as_ref(column).get_array_memory_size())
        .sum()
}
