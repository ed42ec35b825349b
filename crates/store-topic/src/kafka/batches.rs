//! Single messages, put together into batches whose records share headers and one buffer.

use bytes::Bytes;
use twinfold_model::{EventTime, Offset, PartitionId};
use twinfold_wire::record::Headers;

use crate::{Record, RecordBatch};

/// A message as the client library hands it out.
pub(super) struct Fetched<'a, H> {
    pub(super) partition: PartitionId,
    pub(super) offset: Offset,
    pub(super) appended_at: EventTime,
    pub(super) headers: H,
    pub(super) key: &'a [u8],
    pub(super) value: &'a [u8],
}

/// Collects messages until they are taken.
#[derive(Debug, Default)]
pub(super) struct Batches {
    content: Vec<u8>,
    open: Vec<Open>,
}

#[derive(Debug)]
struct Open {
    partition: PartitionId,
    first: Offset,
    next: Offset,
    appended_at: EventTime,
    pairs: Vec<(String, Vec<u8>)>,
    /// Where in the content each record's key and value end.
    ends: Vec<(usize, usize)>,
    start: usize,
}

impl Batches {
    pub(super) fn bytes(&self) -> usize {
        self.content.len()
    }

    /// Adds a message: to the last batch when it continues it, else to a new one. A batch ends where
    /// offsets leave a gap, so that the place of a record follows from its batch.
    pub(super) fn push<'h, H>(&mut self, message: Fetched<'_, H>)
    where
        H: Iterator<Item = (&'h str, &'h [u8])> + Clone,
    {
        let continues = self.open.last().is_some_and(|last| {
            last.partition == message.partition
                && last.next == message.offset
                && last.appended_at == message.appended_at
                && last.has(message.headers.clone())
        });
        if !continues {
            let owned = |(name, value): (&str, &[u8])| (name.to_owned(), value.to_vec());
            self.open.push(Open {
                partition: message.partition,
                first: message.offset,
                next: message.offset,
                appended_at: message.appended_at,
                pairs: message.headers.map(owned).collect(),
                ends: Vec::new(),
                start: self.content.len(),
            });
        }
        self.content.extend_from_slice(message.key);
        let key_end = self.content.len();
        self.content.extend_from_slice(message.value);
        if let Some(last) = self.open.last_mut() {
            last.ends.push((key_end, self.content.len()));
            last.next = message.offset.plus(1);
        }
    }

    pub(super) fn take(&mut self) -> Vec<RecordBatch> {
        // The next round is likely as large.
        let expected = self.content.len();
        let content = std::mem::replace(&mut self.content, Vec::with_capacity(expected));
        let content = Bytes::from(content);
        self.open
            .drain(..)
            .map(|open| open.finish(&content))
            .collect()
    }
}

impl Open {
    fn has<'h>(&self, mut headers: impl Iterator<Item = (&'h str, &'h [u8])>) -> bool {
        let mut pairs = self.pairs.iter();
        loop {
            match (pairs.next(), headers.next()) {
                (None, None) => return true,
                (Some((name, value)), Some(found)) if (name.as_str(), &value[..]) == found => {}
                _ => return false,
            }
        }
    }

    fn finish(self, content: &Bytes) -> RecordBatch {
        let pairs = self.pairs.iter();
        let headers = Headers::from_pairs(pairs.map(|(name, value)| (&name[..], &value[..])));
        let mut start = self.start;
        let records = self.ends.iter().zip(0..).map(|(&(key_end, end), at)| {
            let record = Record {
                offset: self.first.plus(at),
                key: content.slice(start..key_end),
                value: content.slice(key_end..end),
            };
            start = end;
            record
        });
        RecordBatch {
            partition: self.partition,
            first: self.first,
            appended_at: self.appended_at,
            headers,
            records: records.collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Pairs = &'static [(&'static str, &'static [u8])];
    const PLAIN: Pairs = &[];
    const DELETE: Pairs = &[("operation", b"delete")];
    const STRANGE: Pairs = &[("operation", b"remove")];

    fn push(batches: &mut Batches, partition: u32, offset: u64, at_us: i64, headers: Pairs) {
        batches.push(Fetched {
            partition: PartitionId(partition),
            offset: Offset(offset),
            appended_at: EventTime::from_micros(at_us),
            headers: headers.iter().copied(),
            key: &[partition as u8],
            value: &offset.to_be_bytes(),
        });
    }

    #[test]
    fn a_batch_ends_where_its_records_would_differ() {
        let mut batches = Batches::default();
        push(&mut batches, 0, 5, 1, PLAIN);
        push(&mut batches, 0, 6, 1, PLAIN);
        push(&mut batches, 0, 8, 1, PLAIN);
        push(&mut batches, 1, 9, 1, PLAIN);
        push(&mut batches, 1, 10, 2, PLAIN);
        push(&mut batches, 1, 11, 2, DELETE);
        push(&mut batches, 1, 12, 2, DELETE);
        push(&mut batches, 1, 13, 2, STRANGE);
        assert_eq!(batches.bytes(), 8 * 9);
        let taken = batches.take();
        let shape = |batch: &RecordBatch| (batch.first.0, batch.records.len());
        let shapes: Vec<_> = taken.iter().map(shape).collect();
        assert_eq!(shapes, [(5, 2), (8, 1), (9, 1), (10, 1), (11, 2), (13, 1)]);
        assert!(taken[5].headers.is_err() && taken[4].headers.is_ok());
        for batch in &taken {
            for record in &batch.records {
                assert_eq!(record.key, [batch.partition.0 as u8].as_slice());
                assert_eq!(record.value, record.offset.0.to_be_bytes().as_slice());
            }
        }
        assert!(batches.take().is_empty());
    }
}
