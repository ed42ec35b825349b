//! What the index has to know of a sealed segment, so that opening need not read the values: those
//! of its records that were live when the hint was written.
//!
//! ```text
//! "TFH1" | bytes of the segment u64 | entries u32 | entry … | crc32c u32
//! entry: key hash u128 | table u32 | event time i64 | position u32 | length with delete flag u32
//! ```
//!
//! Integers are little-endian. A hint that is missing, damaged or of another length is not used.

use std::path::Path;

use twinfold_model::{EventTime, Operation};

use super::disk::{self, Disk};
use super::index::KeyHash;
use crate::Result;

const MAGIC: &[u8; 4] = b"TFH1";
const HEADER_BYTES: usize = 16;
const ENTRY_BYTES: usize = 36;
const CHECKSUM_BYTES: usize = 4;
const DELETE_FLAG: u32 = 1 << 31;

/// One record of the segment. A key has at most one that is live, so their order says nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    pub hash: KeyHash,
    pub table: u32,
    pub event_time: EventTime,
    pub operation: Operation,
    pub position: u32,
    pub length: u32,
}

pub(super) fn write(disk: &Disk, path: &Path, segment_bytes: u64, entries: &[Entry]) -> Result<()> {
    disk.replace(path, &encode(segment_bytes, entries))
}

/// `None` when there is no hint that can be trusted.
pub(super) fn read(path: &Path, segment_bytes: u64) -> Result<Option<Vec<Entry>>> {
    let Some(bytes) = disk::read_if_there(path)? else {
        return Ok(None);
    };
    let entries = decode(&bytes, segment_bytes);
    if entries.is_none() {
        tracing::warn!(path = %path.display(), "hint file does not fit its segment, reading the segment instead");
    }
    Ok(entries)
}

fn encode(segment_bytes: u64, entries: &[Entry]) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEADER_BYTES + entries.len() * ENTRY_BYTES + CHECKSUM_BYTES);
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&segment_bytes.to_le_bytes());
    out.extend_from_slice(&(entries.len() as u32).to_le_bytes());
    for entry in entries {
        let flag = match entry.operation {
            Operation::Upsert => 0,
            Operation::Delete => DELETE_FLAG,
        };
        out.extend_from_slice(&entry.hash.0.to_le_bytes());
        out.extend_from_slice(&entry.table.to_le_bytes());
        out.extend_from_slice(&entry.event_time.micros().to_le_bytes());
        out.extend_from_slice(&entry.position.to_le_bytes());
        out.extend_from_slice(&(entry.length | flag).to_le_bytes());
    }
    let checksum = crc32c::crc32c(&out);
    out.extend_from_slice(&checksum.to_le_bytes());
    out
}

fn decode(bytes: &[u8], segment_bytes: u64) -> Option<Vec<Entry>> {
    let (content, checksum) = bytes.split_last_chunk::<CHECKSUM_BYTES>()?;
    if crc32c::crc32c(content) != u32::from_le_bytes(*checksum) {
        return None;
    }
    let (magic, content) = content.split_first_chunk::<4>()?;
    let (length, content) = content.split_first_chunk::<8>()?;
    let (count, content) = content.split_first_chunk::<4>()?;
    let (entries, rest) = content.as_chunks::<ENTRY_BYTES>();
    let fits = magic == MAGIC
        && u64::from_le_bytes(*length) == segment_bytes
        && u32::from_le_bytes(*count) as usize == entries.len()
        && rest.is_empty();
    fits.then(|| entries.iter().map(decode_entry).collect())?
}

fn decode_entry(bytes: &[u8; ENTRY_BYTES]) -> Option<Entry> {
    let (hash, rest) = bytes.split_first_chunk::<16>()?;
    let (table, rest) = rest.split_first_chunk::<4>()?;
    let (event_time, rest) = rest.split_first_chunk::<8>()?;
    let (position, rest) = rest.split_first_chunk::<4>()?;
    let length = u32::from_le_bytes(*rest.first_chunk::<4>()?);
    Some(Entry {
        hash: KeyHash(u128::from_le_bytes(*hash)),
        table: u32::from_le_bytes(*table),
        event_time: EventTime::from_micros(i64::from_le_bytes(*event_time)),
        operation: if length & DELETE_FLAG == 0 {
            Operation::Upsert
        } else {
            Operation::Delete
        },
        position: u32::from_le_bytes(*position),
        length: length & !DELETE_FLAG,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn entry() -> impl Strategy<Value = Entry> {
        (
            any::<u128>(),
            any::<u32>(),
            any::<i64>(),
            any::<bool>(),
            any::<u32>(),
        )
            .prop_map(|(hash, table, event_time, delete, position)| Entry {
                hash: KeyHash(hash),
                table,
                event_time: EventTime::from_micros(event_time),
                operation: if delete {
                    Operation::Delete
                } else {
                    Operation::Upsert
                },
                position,
                length: position >> 1,
            })
    }

    proptest! {
        #[test]
        fn entries_read_back_and_no_changed_bit_passes(
            entries in proptest::collection::vec(entry(), 0..20),
            flipped: proptest::sample::Index,
        ) {
            let mut bytes = encode(99, &entries);
            prop_assert_eq!(decode(&bytes, 99), Some(entries));
            prop_assert_eq!(decode(&bytes, 98), None);
            prop_assert_eq!(decode(&bytes[..bytes.len() - 1], 99), None);
            let bit = flipped.index(bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(decode(&bytes, 99), None);
        }
    }
}
