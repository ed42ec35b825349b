//! One record of the value log: its bytes, and how to find records in a file again.
//!
//! ```text
//! crc32c u32 | length u32 | table u32 | key length u32 | event time i64 | operation u8 | mark u8 | key | value
//! ```
//!
//! Integers are little-endian. The length counts the whole record; the checksum covers everything
//! behind itself and begins with the store's own seed, so that bytes a user put into a value cannot
//! pass for a record. The value is `wire::row`'s: position, schema id, Avro body.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use twinfold_model::{EventTime, Operation};
use twinfold_wire::row::{VALUE_HEADER_BYTES, encode_value};

use crate::Upsert;

const HEADER_BYTES: usize = 26;
/// Keeps a length clear of the flag that the index stores beside it.
pub(super) const RECORD_BYTES_MAX: usize = 1 << 30;

const MARK: u8 = 0xD7;
const READ_BYTES: usize = 4 << 20;

/// A whole record, borrowed from a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Record<'a> {
    pub table: u32,
    pub event_time: EventTime,
    pub operation: Operation,
    pub key: &'a [u8],
    pub value: &'a [u8],
}

/// The bytes are not a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NotARecord;

/// Whether a row is not too large to be written.
pub(super) fn fits(row: &Upsert) -> bool {
    encoded_length(row) <= RECORD_BYTES_MAX
}

/// How many bytes [`encode`] will append.
pub(super) fn encoded_length(row: &Upsert) -> usize {
    HEADER_BYTES + row.key.len() + VALUE_HEADER_BYTES + row.body.len()
}

/// Appends one record. The caller has checked [`encoded_length`] against [`RECORD_BYTES_MAX`].
pub(super) fn encode(seed: u32, table: u32, row: &Upsert, out: &mut Vec<u8>) {
    let start = out.len();
    let length = encoded_length(row) as u32;
    let mut header = [0_u8; HEADER_BYTES];
    header[4..8].copy_from_slice(&length.to_le_bytes());
    header[8..12].copy_from_slice(&table.to_le_bytes());
    header[12..16].copy_from_slice(&(row.key.len() as u32).to_le_bytes());
    header[16..24].copy_from_slice(&row.version.event_time.micros().to_le_bytes());
    header[24] = u8::from(row.version.operation == Operation::Delete);
    header[25] = MARK;
    out.extend_from_slice(&header);
    out.extend_from_slice(&row.key);
    encode_value(row.version.offset, row.schema, &row.body, out);
    let checksum = crc32c::crc32c_append(seed, &out[start + 4..]);
    out[start..start + 4].copy_from_slice(&checksum.to_le_bytes());
}

/// The key and the value of bytes that [`parse`] accepts.
pub(super) fn key_and_value(bytes: &[u8]) -> (&[u8], &[u8]) {
    let key_length = u32::from_le_bytes(field(bytes, 12)) as usize;
    bytes[HEADER_BYTES..].split_at(key_length)
}

/// Reads a record that fills `bytes` exactly.
pub(super) fn parse(seed: u32, bytes: &[u8]) -> Result<Record<'_>, NotARecord> {
    if plausible_length(bytes) != Some(bytes.len()) {
        return Err(NotARecord);
    }
    let checksum = u32::from_le_bytes(field(bytes, 0));
    if crc32c::crc32c_append(seed, &bytes[4..]) != checksum {
        return Err(NotARecord);
    }
    let (key, value) = key_and_value(bytes);
    Ok(Record {
        table: u32::from_le_bytes(field(bytes, 8)),
        event_time: EventTime::from_micros(i64::from_le_bytes(field(bytes, 16))),
        operation: if bytes[24] == 0 {
            Operation::Upsert
        } else {
            Operation::Delete
        },
        key,
        value,
    })
}

/// The length that the header claims, when the header can be one at all.
fn plausible_length(bytes: &[u8]) -> Option<usize> {
    if bytes.len() < HEADER_BYTES || bytes[25] != MARK || bytes[24] > 1 {
        return None;
    }
    let length = u32::from_le_bytes(field(bytes, 4)) as usize;
    let key_length = u32::from_le_bytes(field(bytes, 12)) as usize;
    let shortest = HEADER_BYTES
        .checked_add(key_length)?
        .checked_add(VALUE_HEADER_BYTES)?;
    (length >= shortest && length <= RECORD_BYTES_MAX).then_some(length)
}

fn field<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&bytes[at..at + N]);
    out
}

/// What [`scan`] saw of a file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Scanned {
    /// Where the last whole record ends; what follows is a torn tail.
    pub valid_end: u64,
    /// Bytes before `valid_end` that belong to no whole record.
    pub damaged_bytes: u64,
}

/// Calls `visit` with the position of every whole record in the first `file_bytes` of `file` and the
/// record itself.
///
/// A damaged stretch is stepped over: a power loss may keep a later page of the file and lose an
/// earlier one, and the later records are still good.
pub(super) fn scan(
    file: &File,
    file_bytes: u64,
    seed: u32,
    mut visit: impl FnMut(u64, &[u8], Record<'_>),
) -> io::Result<Scanned> {
    let mut window = Window::new(file, file_bytes);
    let mut scanned = Scanned::default();
    let mut position = 0;
    while position < window.file_bytes {
        let header = window.bytes_at(position, HEADER_BYTES)?;
        let step = match plausible_length(header) {
            Some(length) if length as u64 <= window.file_bytes - position => {
                let bytes = window.bytes_at(position, length)?;
                parse(seed, bytes).ok().map(|record| {
                    visit(position, bytes, record);
                    length as u64
                })
            }
            _ => None,
        };
        match step {
            Some(length) => {
                scanned.damaged_bytes += position - scanned.valid_end;
                position += length;
                scanned.valid_end = position;
            }
            None => position += 1,
        }
    }
    Ok(scanned)
}

/// A part of a file in memory, moved forward as records are read.
struct Window<'a> {
    file: &'a File,
    file_bytes: u64,
    start: u64,
    buffer: Vec<u8>,
}

impl<'a> Window<'a> {
    fn new(file: &'a File, file_bytes: u64) -> Self {
        Self {
            file,
            file_bytes,
            start: 0,
            buffer: Vec::new(),
        }
    }

    /// Up to `length` bytes from `position` on; fewer only at the end of the file.
    fn bytes_at(&mut self, position: u64, length: usize) -> io::Result<&[u8]> {
        let available = (self.file_bytes - position).min(length as u64) as usize;
        let buffered_end = self.start + self.buffer.len() as u64;
        if position < self.start || position + available as u64 > buffered_end {
            let wanted = (self.file_bytes - position).min(READ_BYTES.max(length) as u64) as usize;
            self.buffer.resize(wanted, 0);
            self.file.read_exact_at(&mut self.buffer, position)?;
            self.start = position;
        }
        let from = (position - self.start) as usize;
        Ok(&self.buffer[from..from + available])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use proptest::prelude::*;
    use std::io::Write;
    use twinfold_model::{Offset, RowVersion, SchemaId};
    use twinfold_wire::row::ValueView;

    const SEED: u32 = 77;

    fn row(key: &[u8], event_time: i64, operation: Operation, body: &[u8]) -> Upsert {
        Upsert {
            key: Bytes::copy_from_slice(key),
            version: RowVersion {
                event_time: EventTime::from_micros(event_time),
                operation,
                offset: Offset(9),
            },
            schema: SchemaId(4),
            body: Bytes::copy_from_slice(body),
        }
    }

    fn file_of(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().expect("temporary file");
        file.write_all(bytes).expect("write");
        file
    }

    fn keys_found(bytes: &[u8]) -> (Vec<Vec<u8>>, Scanned) {
        let mut keys = Vec::new();
        let scanned = scan(&file_of(bytes), bytes.len() as u64, SEED, |_, _, record| {
            keys.push(record.key.to_vec());
        })
        .expect("scan");
        (keys, scanned)
    }

    #[test]
    fn the_layout_is_what_it_was() {
        let mut bytes = Vec::new();
        encode(
            SEED,
            3,
            &row(b"key", -2, Operation::Delete, b"body"),
            &mut bytes,
        );
        let golden = "45000000\
             2d000000 03000000 03000000 feffffffffffffff 01 d7 6b6579 \
             0000000000000009 00000004 626f6479"
            .replace(' ', "");
        let hex: String = bytes[4..]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        assert_eq!(hex, golden[8..]);
    }

    proptest! {
        #[test]
        fn a_record_reads_back_and_no_changed_bit_passes(
            key in proptest::collection::vec(any::<u8>(), 0..40),
            body in proptest::collection::vec(any::<u8>(), 0..200),
            event_time: i64,
            delete: bool,
            flipped: proptest::sample::Index,
        ) {
            let operation = if delete { Operation::Delete } else { Operation::Upsert };
            let row = row(&key, event_time, operation, &body);
            let mut bytes = Vec::new();
            encode(SEED, 3, &row, &mut bytes);
            prop_assert_eq!(bytes.len(), encoded_length(&row));
            let record = parse(SEED, &bytes).expect("whole");
            prop_assert_eq!((record.key, record.event_time, record.operation), (&key[..], row.version.event_time, operation));
            prop_assert_eq!(ValueView::parse(record.value).expect("value").offset, Offset(9));
            prop_assert_eq!(&record.value[12..], &body[..]);
            prop_assert_eq!(parse(SEED + 1, &bytes), Err(NotARecord));

            let bit = flipped.index(bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(parse(SEED, &bytes), Err(NotARecord));
        }

        #[test]
        fn a_cut_file_keeps_every_whole_record(count in 1_usize..20, cut: proptest::sample::Index) {
            let mut bytes = Vec::new();
            let mut ends = Vec::new();
            for index in 0..count {
                encode(SEED, 1, &row(&[index as u8], 5, Operation::Upsert, &vec![7; index * 3]), &mut bytes);
                ends.push(bytes.len());
            }
            let cut = cut.index(bytes.len() + 1);
            let whole = ends.iter().filter(|end| **end <= cut).count();
            let (keys, scanned) = keys_found(&bytes[..cut]);
            prop_assert_eq!(keys.len(), whole);
            prop_assert_eq!(scanned.valid_end as usize, ends[..whole].last().copied().unwrap_or(0));
            prop_assert_eq!(scanned.damaged_bytes, 0);
        }
    }

    #[test]
    fn a_damaged_record_is_stepped_over() {
        let mut bytes = Vec::new();
        for key in [b"a", b"b", b"c"] {
            encode(
                SEED,
                1,
                &row(key, 5, Operation::Upsert, b"body"),
                &mut bytes,
            );
        }
        let third = bytes.len() / 3;
        bytes[third + 6] ^= 1;
        let (keys, scanned) = keys_found(&bytes);
        assert_eq!(keys, [b"a".to_vec(), b"c".to_vec()]);
        assert_eq!(scanned.valid_end, bytes.len() as u64);
        assert_eq!(scanned.damaged_bytes, third as u64);
    }

    #[test]
    fn records_larger_than_the_window_are_read_whole() {
        let mut bytes = Vec::new();
        encode(
            SEED,
            1,
            &row(b"small", 5, Operation::Upsert, b"x"),
            &mut bytes,
        );
        encode(
            SEED,
            1,
            &row(b"large", 5, Operation::Upsert, &vec![1; READ_BYTES + 10]),
            &mut bytes,
        );
        encode(
            SEED,
            1,
            &row(b"last", 5, Operation::Upsert, b"x"),
            &mut bytes,
        );
        let (keys, scanned) = keys_found(&bytes);
        assert_eq!(
            keys,
            [b"small".to_vec(), b"large".to_vec(), b"last".to_vec()]
        );
        assert_eq!(scanned.valid_end, bytes.len() as u64);
    }
}
