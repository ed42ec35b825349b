//! Rows on their way into the log: the newest of each key, encoded, in the order of the index.

use std::cmp::Reverse;

use twinfold_model::RowVersion;

use super::index::{Entry, KeyHash, Location};
use super::record;
use crate::Upsert;

/// One append takes at most this many rows and, unless a single row is larger, this many bytes. It
/// bounds the memory of a writer and the time that others wait for it.
const ROWS_MAX: usize = 1_024;
const BYTES_MAX: usize = 4 << 20;

#[derive(Debug)]
pub(super) struct Batch {
    /// In ascending order of the hash, which is the order of the index's shards; one per key.
    rows: Vec<Row>,
    /// The records of `rows`, one behind the other.
    bytes: Vec<u8>,
    /// Rows that a newer one of the same batch made superfluous.
    superseded: u64,
}

#[derive(Debug, Clone, Copy)]
struct Row {
    hash: KeyHash,
    version: RowVersion,
    length: u32,
}

/// Cuts `rows` into runs that each make one [`Batch`].
pub(super) fn cut(mut rows: &[Upsert]) -> impl Iterator<Item = &[Upsert]> {
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let fits = |row: &&Upsert| {
            bytes += record::encoded_length(row);
            bytes <= BYTES_MAX
        };
        let count = rows.iter().take(ROWS_MAX).take_while(fits).count();
        let (batch, rest) = rows.split_at(count.max(1).min(rows.len()));
        rows = rest;
        (!batch.is_empty()).then_some(batch)
    })
}

impl Batch {
    pub fn new(seed: u64, table: u32, rows: &[Upsert]) -> Self {
        let mut order: Vec<(KeyHash, &Upsert)> = rows
            .iter()
            .map(|row| (KeyHash::of(seed, &row.key), row))
            .collect();
        order.sort_unstable_by_key(|(hash, row)| (*hash, Reverse(row.version)));
        order.dedup_by_key(|(hash, _)| *hash);
        let bytes_wanted = order.iter().map(|(_, row)| record::encoded_length(row));
        let mut bytes = Vec::with_capacity(bytes_wanted.sum());
        let superseded = (rows.len() - order.len()) as u64;
        let rows = order
            .into_iter()
            .map(|(hash, row)| {
                record::encode(seed as u32, table, row, &mut bytes);
                Row {
                    hash,
                    version: row.version,
                    length: record::encoded_length(row) as u32,
                }
            })
            .collect();
        Self {
            rows,
            bytes,
            superseded,
        }
    }

    pub fn hashes(&self) -> Vec<KeyHash> {
        self.rows.iter().map(|row| row.hash).collect()
    }

    pub fn versions(&self) -> impl Iterator<Item = RowVersion> {
        self.rows.iter().map(|row| row.version)
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub fn len(&self) -> u64 {
        self.rows.len() as u64
    }

    pub fn superseded(&self) -> u64 {
        self.superseded
    }

    /// Drops the rows whose answer is false.
    pub fn keep(&mut self, answers: &[bool]) {
        if answers.iter().all(|kept| *kept) {
            return;
        }
        let (mut from, mut to) = (0, 0);
        for (row, kept) in self.rows.iter().zip(answers) {
            let length = row.length as usize;
            if *kept {
                self.bytes.copy_within(from..from + length, to);
                to += length;
            }
            from += length;
        }
        self.bytes.truncate(to);
        let before = self.rows.len();
        let mut answers = answers.iter();
        self.rows
            .retain(|_| answers.next().is_some_and(|kept| *kept));
        self.superseded += (before - self.rows.len()) as u64;
    }

    /// The index entries of the rows, once they stand at `start`.
    pub fn entries(&self, start: Location) -> Vec<Entry> {
        let mut location = start;
        let entry_of = |row: &Row| {
            let entry = Entry::new(
                row.hash,
                row.version.event_time,
                row.version.operation,
                location,
                row.length,
            );
            location.position += row.length;
            entry
        };
        self.rows.iter().map(entry_of).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use twinfold_model::{EventTime, Offset, Operation, SchemaId};

    fn row(key: u8, event_time: i64, body_bytes: usize) -> Upsert {
        Upsert {
            key: Bytes::from(vec![key]),
            version: RowVersion {
                event_time: EventTime::from_micros(event_time),
                operation: Operation::Upsert,
                offset: Offset(0),
            },
            schema: SchemaId(1),
            body: Bytes::from(vec![0; body_bytes]),
        }
    }

    #[test]
    fn the_newest_of_each_key_is_kept_and_bytes_follow_the_rows() {
        let rows = [row(1, 5, 10), row(2, 1, 20), row(1, 7, 30), row(1, 6, 40)];
        let mut batch = Batch::new(3, 1, &rows);
        assert_eq!((batch.len(), batch.superseded()), (2, 2));
        let first_is_key_1 = batch.hashes()[0] == KeyHash::of(3, &[1]);
        batch.keep(&[first_is_key_1, !first_is_key_1]);
        assert_eq!((batch.len(), batch.superseded()), (1, 3));
        let record = record::parse(3, batch.bytes()).expect("one whole record");
        assert_eq!(record.key, [1]);
        assert_eq!(record.event_time, EventTime::from_micros(7));
    }

    #[test]
    fn batches_are_cut_by_rows_and_by_bytes() {
        let small = vec![row(1, 1, 1); ROWS_MAX + 1];
        let sizes: Vec<usize> = cut(&small).map(<[_]>::len).collect();
        assert_eq!(sizes, [ROWS_MAX, 1]);
        let large = vec![
            row(1, 1, BYTES_MAX + 1),
            row(1, 1, 1),
            row(1, 1, BYTES_MAX - 100),
        ];
        let sizes: Vec<usize> = cut(&large).map(<[_]>::len).collect();
        assert_eq!(sizes, [1, 2]);
        assert_eq!(cut(&[]).count(), 0);
    }
}
