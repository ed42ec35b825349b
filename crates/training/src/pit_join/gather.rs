use arrow::array::{Array, ArrayRef, BooleanArray};
use arrow::compute::{filter_record_batch, interleave};
use arrow::datatypes::SchemaRef;
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use twinfold_model::JoinKind;

use super::PitJoin;
use super::probe::{Candidate, Candidates, NOWHERE};
use super::slots::{NO_SLOT, Slots};
use crate::Result;

/// The place of what stands for a missing row among the kept batches.
const MISSING: (usize, usize) = (0, 0);

/// The answer of every slot.
pub(super) struct Winners<'a> {
    join: &'a PitJoin,
    slots: &'a Slots,
    /// Per slot, (batch, row) of its features.
    of_slot: Vec<(u32, u32)>,
    /// Per feature, its column of every kept batch; the first is what stands for a missing row.
    columns: Vec<Vec<ArrayRef>>,
}

impl<'a> Winners<'a> {
    /// Lets the partitions of the history compete, then the slots of each key.
    pub(super) fn new(join: &'a PitJoin, slots: &'a Slots, partitions: Vec<Candidates>) -> Self {
        let missing = join.missing.iter();
        let mut columns: Vec<Vec<ArrayRef>> = missing.map(|value| vec![value.clone()]).collect();
        let mut first_batch = 1_u32;
        let mut candidates: Vec<(u32, Vec<Candidate>)> = Vec::with_capacity(partitions.len());
        for partition in partitions {
            candidates.push((first_batch, partition.of_slot));
            first_batch += u32::try_from(partition.kept.len()).expect("fewer batches than rows");
            for batch in partition.kept {
                for (column, array) in columns.iter_mut().zip(batch) {
                    column.push(array);
                }
            }
        }
        Self {
            join,
            slots,
            of_slot: compete(slots, join.ttl_us(), &candidates),
            columns,
        }
    }

    /// The rows of `spine`, which begin at row `first` of the chunk, with their features.
    pub(super) fn gather(
        &self,
        schema: &SchemaRef,
        spine: &RecordBatch,
        first: usize,
    ) -> Result<RecordBatch> {
        let mut places: Vec<(usize, usize)> = self.slots.of_row[first..first + spine.num_rows()]
            .iter()
            .map(|slot| match *slot {
                NO_SLOT => MISSING,
                slot => {
                    let (batch, row) = self.of_slot[slot as usize];
                    (batch as usize, row as usize)
                }
            })
            .collect();
        let mut columns = match self.join.kind {
            JoinKind::Left => spine.columns().to_vec(),
            JoinKind::Inner => {
                let matched = places.iter().map(|place| Some(*place != MISSING));
                let matched: BooleanArray = matched.collect();
                places.retain(|place| *place != MISSING);
                filter_record_batch(spine, &matched)?.columns().to_vec()
            }
        };
        for batches in &self.columns {
            let batches: Vec<&dyn Array> = batches.iter().map(AsRef::as_ref).collect();
            columns.push(interleave(&batches, &places)?);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(places.len()));
        Ok(RecordBatch::try_new_with_options(
            schema.clone(),
            columns,
            &options,
        )?)
    }
}

/// Per slot, the place of the newest record up to it that is neither a delete nor expired.
fn compete(slots: &Slots, ttl_us: i64, candidates: &[(u32, Vec<Candidate>)]) -> Vec<(u32, u32)> {
    let mut winners = vec![(0, 0); slots.len()];
    for id in slots.key_ids() {
        let mut newest = Candidate::NONE;
        let mut first_batch = 0;
        for slot in slots.of_key(id) {
            for (first, of_slot) in candidates {
                if of_slot[slot].is_newer_than(&newest) {
                    newest = of_slot[slot];
                    first_batch = *first;
                }
            }
            let age = slots.times[slot].saturating_sub(newest.event_time);
            if newest.batch != NOWHERE && age <= ttl_us {
                winners[slot] = (first_batch + newest.batch, newest.row);
            }
        }
    }
    winners
}
