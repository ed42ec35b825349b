use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Date32Type, Int32Type, Int64Type, TimestampMicrosecondType};
use arrow::row::{RowConverter, Rows, SortField};
use datafusion::common::hash_utils::{RandomState, create_hashes};
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use crate::Result;

/// Stands for "not a key of the table": a null in it, or never seen.
pub(crate) const NO_KEY: u32 = u32::MAX;

/// Numbers distinct keys 0, 1, 2, …
pub(crate) struct KeyTable {
    /// (hash or word, id): what stands beside the id makes a miss cheap.
    table: HashTable<(u64, u32)>,
    keys: Keys,
}

/// How keys are told apart.
enum Keys {
    /// A single column of integers: the key is a word, which the table holds itself.
    Words { count: u32 },
    /// Any other columns: the keys' bytes in row format.
    Rows {
        converter: RowConverter,
        random: RandomState,
        keys: Rows,
    },
}

/// Buffers that a prober reuses from batch to batch.
pub(crate) struct Probe {
    /// Empty for words.
    rows: Option<Rows>,
    /// Per row its word, or the hash of its key.
    words: Vec<u64>,
    pub(crate) ids: Vec<u32>,
}

impl KeyTable {
    pub(crate) fn new(types: impl Iterator<Item = DataType>) -> Result<Self> {
        let types: Vec<DataType> = types.collect();
        let keys = match types.as_slice() {
            [only] if is_word(only) => Keys::Words { count: 0 },
            _ => {
                let fields = types.into_iter().map(SortField::new).collect();
                let converter = RowConverter::new(fields)?;
                Keys::Rows {
                    keys: converter.empty_rows(0, 0),
                    converter,
                    random: RandomState::with_seed(0),
                }
            }
        };
        Ok(Self {
            table: HashTable::new(),
            keys,
        })
    }

    pub(crate) fn len(&self) -> usize {
        match &self.keys {
            Keys::Words { count } => *count as usize,
            Keys::Rows { keys, .. } => keys.num_rows(),
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        let keys = match &self.keys {
            Keys::Words { .. } => 0,
            Keys::Rows { keys, .. } => keys.size(),
        };
        self.table.allocation_size() + keys
    }

    pub(crate) fn probe(&self) -> Probe {
        let rows = match &self.keys {
            Keys::Words { .. } => None,
            Keys::Rows { converter, .. } => Some(converter.empty_rows(0, 0)),
        };
        Probe {
            rows,
            words: Vec::new(),
            ids: Vec::new(),
        }
    }

    /// Sets `probe.ids` to the id of each row's key, numbering keys not seen before.
    pub(crate) fn intern(&mut self, columns: &[ArrayRef], probe: &mut Probe) -> Result<()> {
        self.prepare(columns, probe)?;
        let table = &mut self.table;
        match (&mut self.keys, &probe.rows) {
            (Keys::Rows { keys, .. }, Some(rows)) => {
                for (row, hash) in probe.words.iter().copied().enumerate() {
                    let key = rows.row(row);
                    let same = |(other, id): &(u64, u32)| {
                        *other == hash && keys.row(*id as usize).data() == key.data()
                    };
                    let id = match table.entry(hash, same, |(hash, _)| *hash) {
                        Entry::Occupied(found) => found.get().1,
                        Entry::Vacant(place) => {
                            let id = next_id(keys.num_rows());
                            place.insert((hash, id));
                            keys.push(key);
                            id
                        }
                    };
                    probe.ids.push(id);
                }
            }
            (Keys::Words { count }, _) => {
                let intern = |word: u64| {
                    let same = |(other, _): &(u64, u32)| *other == word;
                    match table.entry(mixed(word), same, |(word, _)| mixed(*word)) {
                        Entry::Occupied(found) => found.get().1,
                        Entry::Vacant(place) => {
                            let id = next_id(*count as usize);
                            place.insert((word, id));
                            *count += 1;
                            id
                        }
                    }
                };
                probe.ids.extend(probe.words.iter().copied().map(intern));
            }
            (Keys::Rows { .. }, None) => unreachable!("the probe was made by this table"),
        }
        without_nulls(columns, &mut probe.ids);
        Ok(())
    }

    /// Sets `probe.ids` to the id of each row's key, [`NO_KEY`] for keys not in the table.
    pub(crate) fn find(&self, columns: &[ArrayRef], probe: &mut Probe) -> Result<()> {
        self.prepare(columns, probe)?;
        match (&self.keys, &probe.rows) {
            (Keys::Rows { keys, .. }, Some(rows)) => {
                for (row, hash) in probe.words.iter().copied().enumerate() {
                    let found = self.table.find(hash, |(other, id)| {
                        *other == hash && keys.row(*id as usize).data() == rows.row(row).data()
                    });
                    probe.ids.push(found.map_or(NO_KEY, |(_, id)| *id));
                }
            }
            (Keys::Words { .. }, _) => {
                let find = |word: u64| {
                    let found = self.table.find(mixed(word), |(other, _)| *other == word);
                    found.map_or(NO_KEY, |(_, id)| *id)
                };
                probe.ids.extend(probe.words.iter().copied().map(find));
            }
            (Keys::Rows { .. }, None) => unreachable!("the probe was made by this table"),
        }
        without_nulls(columns, &mut probe.ids);
        Ok(())
    }

    /// Fills the probe's words, and its rows if keys are told apart by them.
    fn prepare(&self, columns: &[ArrayRef], probe: &mut Probe) -> Result<()> {
        probe.ids.clear();
        probe.words.clear();
        match (&self.keys, &mut probe.rows) {
            (
                Keys::Rows {
                    converter, random, ..
                },
                Some(rows),
            ) => {
                rows.clear();
                converter.append(rows, columns)?;
                probe.words.resize(rows.num_rows(), 0);
                create_hashes(columns, random, &mut probe.words)?;
            }
            (Keys::Words { .. }, _) => push_words(&columns[0], &mut probe.words),
            (Keys::Rows { .. }, None) => unreachable!("the probe was made by this table"),
        }
        Ok(())
    }
}

fn next_id(count: usize) -> u32 {
    u32::try_from(count).expect("a chunk has fewer rows than u32::MAX")
}

fn is_word(r#type: &DataType) -> bool {
    matches!(
        r#type,
        DataType::Int32 | DataType::Int64 | DataType::Date32 | DataType::Timestamp(..)
    )
}

fn push_words(column: &ArrayRef, words: &mut Vec<u64>) {
    let narrow = |value: &i32| u64::from(value.cast_unsigned());
    match column.data_type() {
        DataType::Int32 => words.extend(
            column
                .as_primitive::<Int32Type>()
                .values()
                .iter()
                .map(narrow),
        ),
        DataType::Date32 => words.extend(
            column
                .as_primitive::<Date32Type>()
                .values()
                .iter()
                .map(narrow),
        ),
        DataType::Int64 => {
            let values = column.as_primitive::<Int64Type>().values().iter();
            words.extend(values.map(|value| value.cast_unsigned()));
        }
        _ => {
            let values = column
                .as_primitive::<TimestampMicrosecondType>()
                .values()
                .iter();
            words.extend(values.map(|value| value.cast_unsigned()));
        }
    }
}

/// A folded multiplication: every bit of the word reaches both ends of the hash.
fn mixed(word: u64) -> u64 {
    let product = u128::from(word ^ 0x9e37_79b9_7f4a_7c15) * 0xda94_2042_e4dd_58b5;
    (product as u64) ^ ((product >> 64) as u64)
}

/// A key with a null in it is none, whatever lies under the null.
fn without_nulls(columns: &[ArrayRef], ids: &mut [u32]) {
    for nulls in columns.iter().filter_map(|column| column.nulls()) {
        for (id, valid) in ids.iter_mut().zip(nulls) {
            if !valid {
                *id = NO_KEY;
            }
        }
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
    use arrow::array::{Int32Array, Int64Array, StringArray};

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
        let others: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from(vec![Some("b"), Some("b"), None])),
            Arc::new(Int64Array::from(vec![1, 2, 1])),
        ];
        table.find(&others, &mut probe).expect("found");
        assert_eq!(probe.ids, [2, NO_KEY, NO_KEY]);
    }

    #[test]
    fn integers_are_told_apart_and_nulls_never_match() {
        let mut table = KeyTable::new([DataType::Int32].into_iter()).expect("supported");
        let column: Vec<ArrayRef> = vec![Arc::new(Int32Array::from(vec![
            Some(0),
            None,
            Some(-1),
            Some(0),
        ]))];
        let mut probe = table.probe();
        table.intern(&column, &mut probe).expect("interned");
        let [zero, null, minus, again] = probe.ids[..] else {
            panic!("one id per row")
        };
        assert_eq!((zero, null), (again, NO_KEY));
        assert_ne!(zero, minus);
        let others: Vec<ArrayRef> = vec![Arc::new(Int32Array::from(vec![Some(-1), None, Some(2)]))];
        table.find(&others, &mut probe).expect("found");
        assert_eq!(probe.ids, [minus, NO_KEY, NO_KEY]);
    }
}
