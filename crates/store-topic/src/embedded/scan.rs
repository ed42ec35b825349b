//! Reading a segment from front to back: by block headers alone to find an offset, and with every
//! byte verified to find the end after a crash.

use std::fs::File;
use std::io;
use std::path::Path;

use twinfold_model::{EventTime, Offset};

use super::block::{self, BlockFault, BlockHeader};
use super::disk::{io_error, read_at};
use super::document::corrupt;
use super::segment::{HEADER_BYTES, Segment};
use crate::{Error, Result};

/// One entry of the sparse index for about this many bytes: 256 entries for a full segment.
const INDEX_STEP_BYTES: u64 = 1024 * 1024;
/// Small blocks share a read, large ones are stepped over.
const WINDOW_BYTES: usize = 64 * 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct IndexEntry {
    pub(super) first: Offset,
    pub(super) position: u64,
}

/// Adds a block to a sparse index, if the last entry is far enough away.
pub(super) fn note(index: &mut Vec<IndexEntry>, first: Offset, position: u64) {
    let is_due = index
        .last()
        .is_none_or(|last| position >= last.position + INDEX_STEP_BYTES);
    if is_due {
        index.push(IndexEntry { first, position });
    }
}

/// What stopped a walk.
#[derive(Debug)]
pub(super) enum Fault {
    Io(io::Error),
    Block { position: u64, fault: BlockFault },
}

impl Fault {
    pub(super) fn at(self, path: &Path) -> Error {
        match self {
            Self::Io(error) => io_error(path)(error),
            Self::Block { position, fault } => {
                corrupt(path, format!("block at byte {position}: {fault}"))
            }
        }
    }
}

/// Steps from block header to block header; the records are not looked at.
pub(super) struct Walk<'a> {
    file: &'a File,
    mark: u32,
    position: u64,
    limit: u64,
    expected: Offset,
    window: Vec<u8>,
    window_at: u64,
}

impl<'a> Walk<'a> {
    /// From the block at `position`, which begins with offset `expected`, to `limit`.
    pub(super) fn new(
        file: &'a File,
        mark: u32,
        position: u64,
        limit: u64,
        expected: Offset,
    ) -> Self {
        Self {
            file,
            mark,
            position,
            limit,
            expected,
            window: Vec::new(),
            window_at: 0,
        }
    }

    pub(super) fn next(&mut self) -> Result<Option<(u64, BlockHeader)>, Fault> {
        if self.position >= self.limit {
            return Ok(None);
        }
        let position = self.position;
        let block_fault = |fault| Fault::Block { position, fault };
        let window_end = self.window_at + self.window.len() as u64;
        let wanted_end = self.limit.min(position + block::HEADER_BYTES as u64);
        if position < self.window_at || wanted_end > window_end {
            let left = usize::try_from(self.limit - position).unwrap_or(usize::MAX);
            self.window =
                read_vec(self.file, position, left.min(WINDOW_BYTES)).map_err(Fault::Io)?;
            self.window_at = position;
        }
        let bytes = &self.window[(position - self.window_at) as usize..];
        let header = BlockHeader::parse(bytes, self.mark).map_err(block_fault)?;
        if header.place.first != self.expected {
            return Err(block_fault(BlockFault::Offset {
                wanted: self.expected.0,
                found: header.place.first.0,
            }));
        }
        let end = position + header.bytes as u64;
        if end > self.limit {
            return Err(block_fault(BlockFault::Short {
                wanted: header.bytes,
                found: (self.limit - position) as usize,
            }));
        }
        self.position = end;
        self.expected = header.next();
        Ok(Some((position, header)))
    }
}

/// The sparse index of a segment, from its block headers.
pub(super) fn index(
    file: &File,
    mark: u32,
    base: Offset,
    limit: u64,
) -> Result<Vec<IndexEntry>, Fault> {
    let mut index = Vec::new();
    let mut walk = Walk::new(file, mark, HEADER_BYTES, limit, base);
    while let Some((position, block)) = walk.next()? {
        note(&mut index, block.place.first, position);
    }
    Ok(index)
}

/// The end of a segment as far as it can be trusted.
#[derive(Debug)]
pub(super) struct Recovered {
    pub(super) end: u64,
    pub(super) next: Offset,
    /// The offset before which all was durable, as the blocks themselves say.
    pub(super) durable: Offset,
    pub(super) appended_at: EventTime,
    pub(super) index: Vec<IndexEntry>,
}

/// Verifies all of `segment` and finds where the last whole block ends.
///
/// What follows is the unfinished work of a crash, unless a later block testifies that it was
/// durable already: then the disk lost it, and cutting it would give its offsets out again.
pub(super) fn recover(segment: &Segment) -> Result<Recovered> {
    let file = segment.file()?;
    let limit = segment.sealed_bytes();
    let mut recovered = Recovered {
        end: HEADER_BYTES,
        next: segment.base,
        durable: segment.base,
        appended_at: segment.taken_in_after,
        index: Vec::new(),
    };
    let mut walk = Walk::new(&file, segment.mark, HEADER_BYTES, limit, segment.base);
    let mut buffer = Vec::new();
    loop {
        let fault = match verified(&mut walk, recovered.appended_at, &mut buffer) {
            Ok(None) => return Ok(recovered),
            Ok(Some((position, block))) => {
                note(&mut recovered.index, block.place.first, position);
                recovered.end = position + block.bytes as u64;
                recovered.next = block.next();
                recovered.durable = recovered.durable.max(block.place.durable);
                recovered.appended_at = block.place.appended_at;
                continue;
            }
            Err(Fault::Io(error)) => return Err(io_error(&segment.path)(error)),
            Err(Fault::Block { fault, .. }) => fault,
        };
        if let Some(witness) = witness_of_loss(segment, &file, &recovered, limit)? {
            let reason =
                format!("{fault}, but it was durable: the block at byte {witness} says so");
            return Err(segment.corrupt(recovered.end, reason));
        }
        return Ok(recovered);
    }
}

fn verified(
    walk: &mut Walk<'_>,
    taken_in_after: EventTime,
    buffer: &mut Vec<u8>,
) -> Result<Option<(u64, BlockHeader)>, Fault> {
    let Some((position, block)) = walk.next()? else {
        return Ok(None);
    };
    let fault = |fault| Fault::Block { position, fault };
    if buffer.len() < block.bytes {
        buffer.resize(block.bytes, 0);
    }
    let bytes = &mut buffer[..block.bytes];
    let read = read_at(walk.file, bytes, position).map_err(Fault::Io)?;
    block.verify(&bytes[..read]).map_err(fault)?;
    if block.place.appended_at < taken_in_after {
        return Err(fault(BlockFault::Time));
    }
    Ok(Some((position, block)))
}

fn read_vec(file: &File, position: u64, bytes: usize) -> io::Result<Vec<u8>> {
    let mut buffer = vec![0; bytes];
    let read = read_at(file, &mut buffer, position)?;
    buffer.truncate(read);
    Ok(buffer)
}

/// The position of a whole block behind the fault, written when the place of the fault was durable.
fn witness_of_loss(
    segment: &Segment,
    file: &File,
    recovered: &Recovered,
    limit: u64,
) -> Result<Option<u64>> {
    // At most the size of a segment, and only when it is damaged.
    let bytes = usize::try_from(limit - recovered.end).unwrap_or(usize::MAX);
    let rest = read_vec(file, recovered.end, bytes).map_err(io_error(&segment.path))?;
    let mark = segment.mark.to_le_bytes();
    let found = rest
        .windows(mark.len())
        .enumerate()
        .filter(|(_, window)| *window == mark)
        .find(|(at, _)| {
            let rest = &rest[*at..];
            BlockHeader::parse(rest, segment.mark).is_ok_and(|block| {
                block.place.durable > recovered.next
                    && rest
                        .get(..block.bytes)
                        .is_some_and(|bytes| block.verify(bytes).is_ok())
            })
        });
    Ok(found.map(|(at, _)| recovered.end + at as u64))
}
