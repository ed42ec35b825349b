//! Reading one partition in order.

use std::sync::Arc;

use bytes::Bytes;
use twinfold_model::Offset;

use super::block::{self, BlockHeader};
use super::buffers::{Buffer, Buffers};
use super::disk::{io_error, read_at};
use super::partition::{Partition, Span};
use super::segment;
use crate::{RecordBatch, Result};

/// Where a reader stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cursor {
    /// The first offset not yet delivered.
    pub(super) next: Offset,
    /// The segment, by its base, and the position of the block that holds `next`, when known.
    place: Option<(Offset, u64)>,
}

/// Blocks read from one partition.
#[derive(Debug, Default)]
pub(super) struct Fetched {
    pub(super) batches: Vec<RecordBatch>,
    pub(super) bytes: usize,
}

impl Cursor {
    pub(super) fn at(next: Offset) -> Self {
        Self { next, place: None }
    }

    /// Reads whole blocks up to about `bytes_max`, at least one if there is any, and moves on. Blocks
    /// in front of a damaged one are returned first; the next call fails.
    pub(super) fn read(&mut self, partition: &Partition, bytes_max: usize) -> Result<Fetched> {
        let mut fetched = Fetched::default();
        while fetched.bytes < bytes_max.max(1) {
            match self.read_on(partition, bytes_max, &mut fetched) {
                Ok(true) => {}
                Err(error) if fetched.batches.is_empty() => return Err(error),
                Ok(false) | Err(_) => break,
            }
        }
        Ok(fetched)
    }

    /// Reads in one segment; answers whether its end was reached and another may follow.
    fn read_on(
        &mut self,
        partition: &Partition,
        bytes_max: usize,
        fetched: &mut Fetched,
    ) -> Result<bool> {
        let Some(span) = partition.span(&mut self.next)? else {
            return Ok(false);
        };
        let position = self.position_in(&span)?;
        let bytes_left = bytes_max.saturating_sub(fetched.bytes);
        let chunk = read_chunk(partition.buffers(), &span, position, bytes_left)?;
        let end = self.take_blocks(partition, &span, position, &chunk, fetched)?;
        Ok(end >= span.limit)
    }

    fn position_in(&self, span: &Span) -> Result<u64> {
        let base = span.segment.base;
        let position = match self.place {
            Some((segment, position)) if segment == base => position,
            _ if self.next == base => segment::HEADER_BYTES,
            _ => span.segment.locate(&span.file, self.next, span.limit)?,
        };
        if position >= span.limit {
            let reason = format!("wanted offset {}, found the end", self.next.0);
            return Err(span.segment.corrupt(position, reason));
        }
        Ok(position)
    }

    /// Takes the whole blocks in `chunk`; answers the position behind the last one.
    fn take_blocks(
        &mut self,
        partition: &Partition,
        span: &Span,
        start: u64,
        chunk: &Bytes,
        fetched: &mut Fetched,
    ) -> Result<u64> {
        let segment = &span.segment;
        let mut at = 0;
        while chunk.len() - at >= block::HEADER_BYTES {
            let position = start + at as u64;
            let corrupt = |fault| segment.corrupt(position, fault);
            let header = BlockHeader::parse(&chunk[at..], segment.mark).map_err(corrupt)?;
            if chunk.len() - at < header.bytes {
                break;
            }
            let block = chunk.slice(at..at + header.bytes);
            header.verify(&block).map_err(corrupt)?;
            if !(header.place.first <= self.next && self.next < header.next()) {
                let reason = format!(
                    "wanted offset {}, found {} to {}",
                    self.next.0,
                    header.place.first.0,
                    header.next().0
                );
                return Err(segment.corrupt(position, reason));
            }
            let batch = header
                .records_from(&block, partition.id, self.next)
                .map_err(corrupt)?;
            fetched.batches.push(batch);
            fetched.bytes += header.bytes;
            at += header.bytes;
            self.next = header.next();
            self.place = Some((segment.base, start + at as u64));
        }
        Ok(start + at as u64)
    }
}

/// About `bytes_max` bytes from `position` on, but the first block whole.
fn read_chunk(
    buffers: &Arc<Buffers>,
    span: &Span,
    position: u64,
    bytes_max: usize,
) -> Result<Bytes> {
    let segment = &span.segment;
    let left = usize::try_from(span.limit - position).unwrap_or(usize::MAX);
    let wanted = left.min(bytes_max.max(block::HEADER_BYTES));
    let read = |bytes: usize| -> Result<Buffer> {
        let mut buffer = buffers.take(bytes);
        let read = read_at(&span.file, &mut buffer, position).map_err(io_error(&segment.path))?;
        buffer.truncate(read);
        Ok(buffer)
    };
    let chunk = read(wanted)?;
    let header = BlockHeader::parse(&chunk, segment.mark)
        .map_err(|fault| segment.corrupt(position, fault))?;
    if header.bytes > left {
        let reason = format!("it has {} bytes, but {left} are left", header.bytes);
        return Err(segment.corrupt(position, reason));
    }
    if chunk.len() >= header.bytes {
        return Ok(chunk.freeze());
    }
    drop(chunk);
    let block = read(header.bytes)?;
    if block.len() < header.bytes {
        let reason = format!(
            "it has {} bytes, but {} are there",
            header.bytes,
            block.len()
        );
        return Err(segment.corrupt(position, reason));
    }
    Ok(block.freeze())
}
