use std::sync::Arc;

use arrow::array::{Array, ArrayRef};
use arrow::buffer::NullBuffer;
use arrow::datatypes::DataType;
use arrow::row::{RowConverter, Rows, SortField};
use datafusion::common::hash_utils::{RandomState, create_hashes};
use hashbrown::HashTable;

use crate::Result;

/// Stands for "not a key of the table": a null in it, or never seen.
pub(crate) const NO_KEY: u32 = u32::MAX;

/// Numbers distinct keys 0, 1, 2, …; keys of any number of columns compare by their row-format bytes.
pub(crate) struct KeyTable {
    converter: RowConverter,
    random: RandomState,
    /// (hash, id): the hash stands beside the id so that a miss rarely touches the key's bytes.
    table: HashTable<(u64, u32)>,
    keys: Rows,
}

/// Buffers that a prober reuses from batch to batch.
pub(crate) struct Probe {
    rows: Rows,
    hashes: Vec<u64>,
    pub(crate) ids: Vec<u32>,
}

impl KeyTable {
    pub(crate) fn new(types: impl Iterator<Item = DataType>) -> Result<Self> {
        let converter = RowConverter::new(types.map(SortField::new).collect())?;
        Ok(Self {
            keys: converter.empty_rows(0, 0),
            converter,
            random: RandomState::with_seed(0),
            table: HashTable::new(),
        })
    }

    pub(crate) fn len(&self) -> usize {
        self.keys.num_rows()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.table.allocation_size() + self.keys.size()
    }

    pub(crate) fn probe(&self) -> Probe {
        Probe {
            rows: self.converter.empty_rows(0, 0),
            hashes: Vec::new(),
            ids: Vec::new(),
        }
    }

    /// Sets `probe.ids` to the id of each row's key, numbering keys not seen before.
    pub(crate) fn intern(&mut self, columns: &[ArrayRef], probe: &mut Probe) -> Result<()> {
        let nulls = self.prepare(columns, probe)?;
        for (row, hash) in probe.hashes.iter().copied().enumerate() {
            if nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
                probe.ids.push(NO_KEY);
                continue;
            }
            let key = probe.rows.row(row);
            let entry = self.table.entry(
                hash,
                |(other, id)| *other == hash && self.keys.row(*id as usize).data() == key.data(),
                |(hash, _)| *hash,
            );
            let id = match entry {
                hashbrown::hash_table::Entry::Occupied(found) => found.get().1,
                hashbrown::hash_table::Entry::Vacant(place) => {
                    let id = u32::try_from(self.keys.num_rows())
                        .expect("a chunk has fewer rows than u32::MAX");
                    place.insert((hash, id));
                    self.keys.push(key);
                    id
                }
            };
            probe.ids.push(id);
        }
        Ok(())
    }

    /// Sets `probe.ids` to the id of each row's key, [`NO_KEY`] for keys not in the table.
    pub(crate) fn find(&self, columns: &[ArrayRef], probe: &mut Probe) -> Result<()> {
        let nulls = self.prepare(columns, probe)?;
        for (row, hash) in probe.hashes.iter().copied().enumerate() {
            let is_null = nulls.as_ref().is_some_and(|nulls| nulls.is_null(row));
            let found = self.table.find(hash, |(other, id)| {
                *other == hash && self.keys.row(*id as usize).data() == probe.rows.row(row).data()
            });
            probe.ids.push(match found {
                Some((_, id)) if !is_null => *id,
                _ => NO_KEY,
            });
        }
        Ok(())
    }

    /// Fills the probe's rows and hashes; answers which rows have a null in their key.
    fn prepare(&self, columns: &[ArrayRef], probe: &mut Probe) -> Result<Option<NullBuffer>> {
        probe.rows.clear();
        probe.ids.clear();
        self.converter.append(&mut probe.rows, columns)?;
        probe.hashes.clear();
        probe.hashes.resize(probe.rows.num_rows(), 0);
        create_hashes(columns, &self.random, &mut probe.hashes)?;
        Ok(columns.iter().fold(None, |nulls, column| {
            NullBuffer::union(nulls.as_ref(), column.nulls())
        }))
    }
}

/// The columns of `batch` at `indices`.
pub(crate) fn columns(
    batch: &arrow::record_batch::RecordBatch,
    indices: &[usize],
) -> Vec<ArrayRef> {
    indices
        .iter()
        .map(|index| Arc::clone(batch.column(*index)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Int64Array, StringArray};

    #[test]
    fn composite_keys_are_numbered_once_and_nulls_never_match() {
        let mut table =
            KeyTable::new([DataType::Utf8, DataType::Int64].into_iter()).expect("supported");
        let columns: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from(vec![
                Some("a"),
                Some("a"),
                Some("b"),
                Some("a"),
                None,
            ])),
            Arc::new(Int64Array::from(vec![
                Some(1),
                Some(2),
                Some(1),
                Some(1),
                Some(1),
            ])),
        ];
        let mut probe = table.probe();
        table.intern(&columns, &mut probe).expect("interned");
        assert_eq!(probe.ids, [0, 1, 2, 0, NO_KEY]);
        assert_eq!(table.len(), 3);
        let others: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from(vec![Some("b"), Some("b"), None])),
            Arc::new(Int64Array::from(vec![1, 2, 1])),
        ];
        table.find(&others, &mut probe).expect("found");
        assert_eq!(probe.ids, [2, NO_KEY, NO_KEY]);
    }
}
