use arrow::array::{Array, AsArray};
use arrow::datatypes::TimestampMicrosecondType;
use arrow::record_batch::RecordBatch;

use super::PitJoin;
use crate::Result;
use crate::keys::{KeyTable, NO_KEY, Probe, columns};

/// Stands for "this spine row has no slot": a null in its key or its time.
pub(super) const NO_SLOT: u32 = u32::MAX;

/// The distinct (key, time) pairs of a chunk of the spine.
pub(super) struct Slots {
    pub(super) keys: KeyTable,
    /// Per key id, its first slot; one more at the end.
    starts: Vec<u32>,
    /// Per slot, its time; ascending within a key.
    pub(super) times: Vec<i64>,
    /// Per row of the chunk, its slot.
    pub(super) of_row: Vec<u32>,
}

impl Slots {
    pub(super) fn new(join: &PitJoin, chunk: &[RecordBatch]) -> Result<Self> {
        let Some(first) = chunk.first() else {
            unreachable!("a chunk holds at least one batch")
        };
        let types = join
            .spine_keys
            .iter()
            .map(|index| first.column(*index).data_type().clone());
        let mut keys = KeyTable::new(types)?;
        let mut probe = keys.probe();
        let rows = chunk.iter().map(RecordBatch::num_rows).sum();
        let mut entries: Vec<(u32, i64, u32)> = Vec::with_capacity(rows);
        let mut row = 0_u32;
        for batch in chunk {
            keys.intern(&columns(batch, &join.spine_keys), &mut probe)?;
            add_entries(join, batch, &probe, row, &mut entries);
            row +=
                u32::try_from(batch.num_rows()).expect("a chunk has at most CHUNK_ROWS_MAX rows");
        }
        entries.sort_unstable();
        Ok(Self::from_entries(keys, &entries, rows))
    }

    /// `entries` are (key id, time, row), sorted.
    fn from_entries(keys: KeyTable, entries: &[(u32, i64, u32)], rows: usize) -> Self {
        let mut starts = Vec::with_capacity(keys.len() + 1);
        let mut times = Vec::new();
        let mut of_row = vec![NO_SLOT; rows];
        let mut last: Option<(u32, i64)> = None;
        for &(id, time, row) in entries {
            if last != Some((id, time)) {
                // Ids whose rows all lack a time have no slots: their range stays empty.
                while starts.len() <= id as usize {
                    starts.push(slot_number(times.len()));
                }
                times.push(time);
                last = Some((id, time));
            }
            of_row[row as usize] = slot_number(times.len()) - 1;
        }
        while starts.len() <= keys.len() {
            starts.push(slot_number(times.len()));
        }
        Self {
            keys,
            starts,
            times,
            of_row,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.times.len()
    }

    /// The slots of a key.
    pub(super) fn of_key(&self, id: u32) -> std::ops::Range<usize> {
        self.starts[id as usize] as usize..self.starts[id as usize + 1] as usize
    }

    /// The first slot of a key that is not before `time`, or [`NO_SLOT`].
    pub(super) fn first_not_before(&self, id: u32, time: i64) -> u32 {
        let slots = self.of_key(id);
        let skip = self.times[slots.clone()].partition_point(|slot| *slot < time);
        if slots.start + skip == slots.end {
            return NO_SLOT;
        }
        self.starts[id as usize] + skip as u32
    }

    pub(super) fn key_ids(&self) -> std::ops::Range<u32> {
        0..slot_number(self.keys.len())
    }

    pub(super) fn bytes(&self) -> usize {
        self.keys.bytes() + 4 * (self.starts.len() + self.of_row.len()) + 8 * self.times.len()
    }
}

fn slot_number(count: usize) -> u32 {
    u32::try_from(count).expect("a chunk has at most CHUNK_ROWS_MAX rows")
}

fn add_entries(
    join: &PitJoin,
    batch: &RecordBatch,
    probe: &Probe,
    first_row: u32,
    entries: &mut Vec<(u32, i64, u32)>,
) {
    let times = join.spine_time.map(|index| {
        batch
            .column(index)
            .as_primitive::<TimestampMicrosecondType>()
    });
    for (row, id) in (first_row..).zip(probe.ids.iter().copied()) {
        let index = (row - first_row) as usize;
        let time = match times {
            None => i64::MAX,
            Some(times) if times.is_valid(index) => times.value(index),
            Some(_) => continue,
        };
        if id != NO_KEY {
            entries.push((id, time, row));
        }
    }
}
