use arrow::array::BooleanArray;
use arrow::compute::filter_record_batch;
use arrow::record_batch::RecordBatch;
use twinfold_model::DatasetSplit;

use super::WHOLE_SPLIT;
use crate::Result;

/// Deals rows to splits by a seeded hash of their number in the result, whose order is fixed.
pub(super) struct Splitter {
    names: Vec<String>,
    /// Per split, the share of it and all before it.
    upper: Vec<f64>,
    seed: u64,
    rows: u64,
}

impl Splitter {
    pub(super) fn new(splits: &[DatasetSplit], seed: u64) -> Self {
        let mut names: Vec<String> = splits.iter().map(|split| split.name.clone()).collect();
        let mut total = 0.0;
        let mut upper: Vec<f64> = splits
            .iter()
            .map(|split| {
                total += split.share;
                total
            })
            .collect();
        if names.is_empty() {
            names.push(WHOLE_SPLIT.to_owned());
            upper.push(1.0);
        }
        Self {
            names,
            upper,
            seed,
            rows: 0,
        }
    }

    pub(super) fn names(&self) -> &[String] {
        &self.names
    }

    /// The rows of `batch` that belong to each split, in the order of the splits.
    pub(super) fn deal(&mut self, batch: &RecordBatch) -> Result<Vec<RecordBatch>> {
        if self.names.len() == 1 {
            return Ok(vec![batch.clone()]);
        }
        let first = self.rows;
        self.rows += batch.num_rows() as u64;
        let splits: Vec<usize> = (first..self.rows).map(|row| self.split_of(row)).collect();
        let dealt = (0..self.names.len()).map(|split| {
            let mine = splits.iter().map(|of_row| Some(*of_row == split));
            filter_record_batch(batch, &mine.collect::<BooleanArray>())
        });
        Ok(dealt.collect::<Result<_, _>>()?)
    }

    fn split_of(&self, row: u64) -> usize {
        // 53 bits are what a double holds exactly.
        let drawn = (mixed(row ^ mixed(self.seed)) >> 11) as f64 / (1_u64 << 53) as f64;
        let last = self.upper.len() - 1;
        self.upper[..last]
            .iter()
            .position(|upper| drawn < *upper)
            .unwrap_or(last)
    }
}

/// SplitMix64: one to one, and every bit of the input moves half of the bits of the output.
fn mixed(seed: u64) -> u64 {
    let mut x = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{AsArray, Int64Array};
    use arrow::datatypes::{DataType, Field, Int64Type, Schema};
    use std::sync::Arc;

    fn batch(rows: std::ops::Range<i64>) -> RecordBatch {
        let schema = Schema::new(vec![Field::new("row", DataType::Int64, false)]);
        let column = Int64Array::from_iter_values(rows);
        RecordBatch::try_new(Arc::new(schema), vec![Arc::new(column)]).expect("valid")
    }

    fn dealt(seed: u64, batch_rows: i64) -> Vec<Vec<i64>> {
        let split = |name: &str, share| DatasetSplit {
            name: name.to_owned(),
            share,
        };
        let splits = [split("train", 0.7), split("test", 0.2), split("val", 0.1)];
        let mut splitter = Splitter::new(&splits, seed);
        let mut rows = vec![Vec::new(); 3];
        for first in (0..100_000).step_by(batch_rows as usize) {
            let batch = batch(first..(first + batch_rows).min(100_000));
            for (rows, part) in rows.iter_mut().zip(splitter.deal(&batch).expect("dealt")) {
                rows.extend(part.column(0).as_primitive::<Int64Type>().values());
            }
        }
        rows
    }

    #[test]
    fn splits_are_disjoint_complete_and_of_about_their_shares() {
        let rows = dealt(7, 8_192);
        let mut all: Vec<i64> = rows.concat();
        all.sort_unstable();
        assert_eq!(all, (0..100_000).collect::<Vec<_>>());
        for (rows, share) in rows.iter().zip([0.7, 0.2, 0.1]) {
            let found = rows.len() as f64 / 100_000.0;
            assert!((found - share).abs() < 0.01, "{found} instead of {share}");
        }
    }

    #[test]
    fn the_seed_decides_and_batches_do_not() {
        assert_eq!(dealt(7, 8_192), dealt(7, 999));
        assert_ne!(dealt(7, 8_192), dealt(8, 8_192));
    }
}
