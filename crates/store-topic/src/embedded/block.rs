//! A block is one append as it lies in a segment, little-endian throughout:
//!
//! | at | bytes | what |
//! |---:|---:|---|
//! | 0 | 4 | mark: the segment's random number, so that no value can pass for a block |
//! | 4 | 4 | length of the whole block |
//! | 8 | 4 | crc32c of the body, then of the header with zeros here |
//! | 12 | 4 | records |
//! | 16 | 8 | offset of the first record |
//! | 24 | 8 | the offset before which all was durable when this block was written |
//! | 32 | 8 | when the log took it in, µs |
//! | 40 | 4 | length of the record headers |
//! | 44 | 4 | zero |
//! | 48 | | record headers; key lengths (4 each); value lengths (4 each); keys; values |
//!
//! The lengths come first so that a reader slices all keys and values out of one buffer without
//! looking at their bytes.

use std::sync::Arc;

use bytes::Bytes;
use twinfold_model::{EventTime, Offset, PartitionId};
use twinfold_wire::record::Headers;

use super::buffers::{Buffer, Buffers};
use crate::{NewRecord, Record, RecordBatch};

pub(super) const HEADER_BYTES: usize = 48;
const CHECKSUM_AT: usize = 8;
const LENGTHS_BYTES_PER_RECORD: usize = 8;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum BlockFault {
    #[error("it does not begin with the mark of its segment")]
    Mark,
    #[error("it is cut short: {found} of {wanted} bytes")]
    Short { wanted: usize, found: usize },
    #[error("its length {found} is impossible")]
    Length { found: u32 },
    #[error("its checksum does not match")]
    Checksum,
    #[error("it begins at offset {found}, wanted {wanted}")]
    Offset { wanted: u64, found: u64 },
    #[error("it was taken in before the block in front of it")]
    Time,
    #[error("its parts are longer than the whole")]
    Layout,
    #[error("its record headers cannot be read: {0}")]
    Headers(String),
}

/// The place of a block in its partition, known only at the moment it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) mark: u32,
    pub(super) first: Offset,
    pub(super) durable: Offset,
    pub(super) appended_at: EventTime,
}

/// The fixed part of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BlockHeader {
    pub(super) place: Place,
    pub(super) bytes: usize,
    pub(super) records: u32,
    headers_bytes: u32,
    checksum: u32,
}

/// A block without its place: all the work that needs no lock is done.
#[derive(Debug)]
pub(super) struct PreparedBlock {
    bytes: Buffer,
    body_checksum: u32,
    records: u32,
    headers_bytes: u32,
}

/// The bytes that a block of these records takes.
pub(super) fn block_bytes(headers: &Bytes, records: &[NewRecord]) -> u64 {
    let content: u64 = records
        .iter()
        .map(|record| (LENGTHS_BYTES_PER_RECORD + record.key.len() + record.value.len()) as u64)
        .sum();
    (HEADER_BYTES + headers.len()) as u64 + content
}

impl PreparedBlock {
    /// The caller has made sure that [`block_bytes`] fits in a `u32`.
    pub(super) fn new(buffers: &Arc<Buffers>, headers: &Bytes, records: &[NewRecord]) -> Self {
        let length = usize::try_from(block_bytes(headers, records)).expect("bounded by the caller");
        let mut bytes = buffers.take(length);
        let mut rest = &mut bytes[HEADER_BYTES..];
        let mut put = |part: &[u8]| {
            let (head, tail) = std::mem::take(&mut rest).split_at_mut(part.len());
            head.copy_from_slice(part);
            rest = tail;
        };
        put(headers);
        for record in records {
            put(&(record.key.len() as u32).to_le_bytes());
        }
        for record in records {
            put(&(record.value.len() as u32).to_le_bytes());
        }
        for record in records {
            put(&record.key);
        }
        for record in records {
            put(&record.value);
        }
        Self {
            body_checksum: crc32c::crc32c(&bytes[HEADER_BYTES..]),
            bytes,
            records: records.len() as u32,
            headers_bytes: headers.len() as u32,
        }
    }

    pub(super) fn records(&self) -> u32 {
        self.records
    }

    pub(super) fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// The bytes to write at `place`.
    pub(super) fn placed(&mut self, place: Place) -> &[u8] {
        let mut header = [0; HEADER_BYTES];
        header[0..4].copy_from_slice(&place.mark.to_le_bytes());
        header[4..8].copy_from_slice(&(self.bytes.len() as u32).to_le_bytes());
        header[12..16].copy_from_slice(&self.records.to_le_bytes());
        header[16..24].copy_from_slice(&place.first.0.to_le_bytes());
        header[24..32].copy_from_slice(&place.durable.0.to_le_bytes());
        header[32..40].copy_from_slice(&place.appended_at.micros().to_le_bytes());
        header[40..44].copy_from_slice(&self.headers_bytes.to_le_bytes());
        let checksum = crc32c::crc32c_append(self.body_checksum, &header);
        header[CHECKSUM_AT..CHECKSUM_AT + 4].copy_from_slice(&checksum.to_le_bytes());
        self.bytes[..HEADER_BYTES].copy_from_slice(&header);
        &self.bytes
    }
}

impl BlockHeader {
    /// Reads the fixed part from the beginning of `bytes`. Its checksum is not verified by this.
    pub(super) fn parse(bytes: &[u8], mark: u32) -> Result<Self, BlockFault> {
        let header: &[u8; HEADER_BYTES] = bytes.first_chunk().ok_or(BlockFault::Short {
            wanted: HEADER_BYTES,
            found: bytes.len(),
        })?;
        let length = u32_at(header, 4);
        let (records, headers_bytes) = (u32_at(header, 12), u32_at(header, 40));
        if u32_at(header, 0) != mark || u32_at(header, 44) != 0 {
            return Err(BlockFault::Mark);
        }
        let least = HEADER_BYTES as u64
            + u64::from(headers_bytes)
            + u64::from(records) * LENGTHS_BYTES_PER_RECORD as u64;
        let first = u64_at(header, 16);
        if u64::from(length) < least || records == 0 || first.checked_add(records.into()).is_none()
        {
            return Err(BlockFault::Length { found: length });
        }
        Ok(Self {
            place: Place {
                mark,
                first: Offset(first),
                durable: Offset(u64_at(header, 24)),
                appended_at: EventTime::from_micros(u64_at(header, 32).cast_signed()),
            },
            bytes: length as usize,
            records,
            headers_bytes,
            checksum: u32_at(header, CHECKSUM_AT),
        })
    }

    /// The offset after the last record.
    pub(super) fn next(&self) -> Offset {
        self.place.first.plus(u64::from(self.records))
    }

    /// Compares the checksum with the bytes of the whole block.
    pub(super) fn verify(&self, block: &[u8]) -> Result<(), BlockFault> {
        if block.len() != self.bytes {
            return Err(BlockFault::Short {
                wanted: self.bytes,
                found: block.len(),
            });
        }
        let (header, body) = block.split_at(HEADER_BYTES);
        let mut checked = [0; HEADER_BYTES];
        checked.copy_from_slice(header);
        checked[CHECKSUM_AT..CHECKSUM_AT + 4].fill(0);
        let checksum = crc32c::crc32c_append(crc32c::crc32c(body), &checked);
        (checksum == self.checksum)
            .then_some(())
            .ok_or(BlockFault::Checksum)
    }

    /// The records of the verified `block` from offset `from` on, as slices of it.
    pub(super) fn records_from(
        &self,
        block: &Bytes,
        partition: PartitionId,
        from: Offset,
    ) -> Result<RecordBatch, BlockFault> {
        let count = self.records as usize;
        let lengths_at = HEADER_BYTES + self.headers_bytes as usize;
        let keys_at = lengths_at + count * LENGTHS_BYTES_PER_RECORD;
        let headers = Headers::decode(&block[HEADER_BYTES..lengths_at])
            .map_err(|defect| BlockFault::Headers(defect.to_string()))?;
        let (key_lengths, value_lengths) = block[lengths_at..keys_at].split_at(count * 4);
        let keys_bytes: u64 = lengths(key_lengths).map(|length| length as u64).sum();
        let values_bytes: u64 = lengths(value_lengths).map(|length| length as u64).sum();
        if keys_at as u64 + keys_bytes + values_bytes != self.bytes as u64 {
            return Err(BlockFault::Layout);
        }

        let first = from.max(self.place.first);
        let skipped = usize::try_from(first.0 - self.place.first.0).unwrap_or(usize::MAX);
        let mut records = Vec::with_capacity(count.saturating_sub(skipped));
        let mut key_at = keys_at;
        let mut value_at = keys_at + keys_bytes as usize;
        let both = lengths(key_lengths).zip(lengths(value_lengths));
        for (index, (key_bytes, value_bytes)) in both.enumerate() {
            if index >= skipped {
                records.push(Record {
                    offset: self.place.first.plus(index as u64),
                    key: block.slice(key_at..key_at + key_bytes),
                    value: block.slice(value_at..value_at + value_bytes),
                });
            }
            key_at += key_bytes;
            value_at += value_bytes;
        }
        Ok(RecordBatch {
            partition,
            first,
            appended_at: self.place.appended_at,
            headers: Ok(headers),
            records,
        })
    }
}

fn lengths(bytes: &[u8]) -> impl Iterator<Item = usize> + '_ {
    bytes
        .chunks_exact(4)
        .map(|length| u32_at(length, 0) as usize)
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(
        *bytes[at..]
            .first_chunk()
            .expect("a fixed place in a header"),
    )
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(
        *bytes[at..]
            .first_chunk()
            .expect("a fixed place in a header"),
    )
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use twinfold_model::Operation;

    use super::*;

    const PLACE: Place = Place {
        mark: 0xA1B2_C3D4,
        first: Offset(1000),
        durable: Offset(900),
        appended_at: EventTime::from_micros(1_700_000_000_000_000),
    };

    fn headers() -> Headers {
        Headers {
            operation: Operation::Delete,
            ingestion_id: Some([7; 16]),
            event_time: Some(EventTime::from_micros(-5)),
        }
    }

    fn records() -> impl Strategy<Value = Vec<NewRecord>> {
        let part = || vec(any::<u8>(), 0..40).prop_map(Bytes::from);
        let record = (part(), part()).prop_map(|(key, value)| NewRecord { key, value });
        vec(record, 1..20)
    }

    fn read(bytes: &Bytes, from: Offset) -> Result<RecordBatch, BlockFault> {
        let header = BlockHeader::parse(bytes, PLACE.mark)?;
        header.verify(bytes)?;
        header.records_from(bytes, PartitionId(3), from)
    }

    proptest! {
        #[test]
        fn a_block_comes_back_from_any_offset_in_it(records in records(), skipped in 0_u64..25) {
            let encoded = headers().encode();
            let mut block = PreparedBlock::new(&Arc::default(), &encoded, &records);
            prop_assert_eq!(block.len(), block_bytes(&encoded, &records));
            let bytes = Bytes::copy_from_slice(block.placed(PLACE));
            let from = PLACE.first.plus(skipped);
            let batch = read(&bytes, from).unwrap();
            let wanted: Vec<Record> = (0_u64..)
                .zip(&records)
                .skip(skipped as usize)
                .map(|(index, NewRecord { key, value })| Record {
                    offset: PLACE.first.plus(index),
                    key: key.clone(),
                    value: value.clone(),
                })
                .collect();
            prop_assert_eq!(batch.records, wanted);
            prop_assert_eq!(batch.headers, Ok(headers()));
            prop_assert_eq!(batch.first, from);
            prop_assert_eq!(batch.appended_at, PLACE.appended_at);
        }

        #[test]
        fn any_changed_byte_is_noticed(
            records in records(), at in any::<prop::sample::Index>(), flip in 1_u8..=255,
        ) {
            let mut block = PreparedBlock::new(&Arc::default(), &headers().encode(), &records);
            let mut bytes = block.placed(PLACE).to_vec();
            let at = at.index(bytes.len());
            bytes[at] ^= flip;
            prop_assert!(read(&bytes.into(), Offset::ZERO).is_err());
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in vec(any::<u8>(), 0..200), sealed in any::<bool>()) {
            let mut bytes = bytes;
            if sealed && bytes.len() >= HEADER_BYTES {
                // Past the mark, the length and the checksum, to where the parts are taken apart.
                let length = bytes.len() as u32;
                bytes[0..4].copy_from_slice(&PLACE.mark.to_le_bytes());
                bytes[4..8].copy_from_slice(&length.to_le_bytes());
                bytes[12..16].copy_from_slice(&(length % 7).to_le_bytes());
                bytes[40..44].copy_from_slice(&(length % 5).to_le_bytes());
                bytes[44..48].fill(0);
                bytes[CHECKSUM_AT..CHECKSUM_AT + 4].fill(0);
                let (header, body) = bytes.split_at(HEADER_BYTES);
                let checksum = crc32c::crc32c_append(crc32c::crc32c(body), header);
                bytes[CHECKSUM_AT..CHECKSUM_AT + 4].copy_from_slice(&checksum.to_le_bytes());
            }
            let _ = read(&bytes.into(), Offset(5));
        }
    }
}
