//! One file of a partition: a header, then blocks. Named by the offset it begins with.

use std::fs::{self, File};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use twinfold_model::{EventTime, Offset};

use super::disk::{Disk, io_error};
use super::document::corrupt;
use super::scan::{IndexEntry, Walk};
use super::{lock, scan};
use crate::{Error, Result};

/// | at | bytes | what |
/// |---:|---:|---|
/// | 0 | 8 | `TFSEGMNT` |
/// | 8 | 4 | format version |
/// | 12 | 4 | mark of the blocks |
/// | 16 | 8 | offset of the first record |
/// | 24 | 8 | when the last record before this segment was taken in, µs |
/// | 32 | 4 | crc32c of the 32 bytes before |
/// | 36 | 4 | zero |
pub(super) const HEADER_BYTES: u64 = 40;
const MAGIC: &[u8; 8] = b"TFSEGMNT";
const VERSION: u32 = 1;
const CHECKED_BYTES: usize = 32;
/// The digits of the greatest offset.
const NAME_DIGITS: usize = 20;
const SUFFIX: &str = ".log";

#[derive(Debug)]
pub(super) struct Segment {
    pub(super) base: Offset,
    /// No record here was taken in before this; the newest record before the segment was.
    pub(super) taken_in_after: EventTime,
    pub(super) mark: u32,
    pub(super) path: PathBuf,
    /// Final once the segment is sealed; of the active one only `Partition` knows the end.
    sealed_bytes: AtomicU64,
    file: Mutex<Option<Arc<File>>>,
    index: Mutex<Option<Vec<IndexEntry>>>,
}

/// What [`Segment::open`] found.
pub(super) enum Opened {
    Segment(Segment),
    /// The machine ended while the file was being made: nothing was ever written to it.
    Unborn,
}

impl Segment {
    /// Makes an empty segment and makes its existence durable.
    pub(super) fn create(
        disk: &Disk,
        folder: &Path,
        base: Offset,
        taken_in_after: EventTime,
    ) -> Result<Self> {
        let path = path(folder, base);
        let mark = random_mark();
        let made = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(&path)
            .and_then(|file| {
                disk.write_all_at(&file, &header(mark, base, taken_in_after), 0)?;
                disk.sync(&file)?;
                Ok(file)
            })
            .map_err(io_error(&path))
            .and_then(|file| disk.sync_folder(folder).map(|()| file));
        let file = made.inspect_err(|_| {
            // A half-made segment is taken for `Unborn` at the next open, should this fail too.
            let _ = fs::remove_file(&path);
        })?;
        Ok(Self {
            base,
            taken_in_after,
            mark,
            path,
            sealed_bytes: AtomicU64::new(HEADER_BYTES),
            file: Mutex::new(Some(Arc::new(file))),
            index: Mutex::new(Some(Vec::new())),
        })
    }

    pub(super) fn open(path: PathBuf, base: Offset) -> Result<Opened> {
        let file = File::options()
            .read(true)
            .write(true)
            .open(&path)
            .map_err(io_error(&path))?;
        let bytes = file.metadata().map_err(io_error(&path))?.len();
        let mut header = [0; HEADER_BYTES as usize];
        let readable = bytes.min(HEADER_BYTES) as usize;
        file.read_exact_at(&mut header[..readable], 0)
            .map_err(io_error(&path))?;
        if bytes < HEADER_BYTES || (bytes == HEADER_BYTES && header == [0; HEADER_BYTES as usize]) {
            return Ok(Opened::Unborn);
        }
        let (mark, taken_in_after) = parse_header(&header, base, &path)?;
        Ok(Opened::Segment(Self {
            base,
            taken_in_after,
            mark,
            path,
            sealed_bytes: AtomicU64::new(bytes),
            file: Mutex::new(Some(Arc::new(file))),
            index: Mutex::new(None),
        }))
    }

    /// The file, opened again when it was let go.
    pub(super) fn file(&self) -> Result<Arc<File>> {
        let mut file = lock(&self.file);
        match &*file {
            Some(file) => Ok(Arc::clone(file)),
            None => {
                let opened = Arc::new(File::open(&self.path).map_err(io_error(&self.path))?);
                *file = Some(Arc::clone(&opened));
                Ok(opened)
            }
        }
    }

    pub(super) fn is_file_open(&self) -> bool {
        lock(&self.file).is_some()
    }

    /// Lets the file go; whoever is reading it keeps it for so long.
    pub(super) fn release_file(&self) {
        *lock(&self.file) = None;
    }

    pub(super) fn sealed_bytes(&self) -> u64 {
        self.sealed_bytes.load(Ordering::Acquire)
    }

    pub(super) fn seal(&self, bytes: u64) {
        self.sealed_bytes.store(bytes, Ordering::Release);
    }

    pub(super) fn set_index(&self, index: Vec<IndexEntry>) {
        *lock(&self.index) = Some(index);
    }

    /// Takes note of a block just written.
    pub(super) fn note_block(&self, first: Offset, position: u64) {
        if let Some(index) = &mut *lock(&self.index) {
            scan::note(index, first, position);
        }
    }

    /// The position of the block that holds `offset`, or `limit` when all blocks lie before it.
    pub(super) fn locate(&self, file: &File, offset: Offset, limit: u64) -> Result<u64> {
        let (position, first) = self.nearest_entry(file, offset, limit)?;
        let mut walk = Walk::new(file, self.mark, position, limit, first);
        while let Some((position, block)) = walk.next().map_err(|fault| fault.at(&self.path))? {
            if block.next() > offset {
                return Ok(position);
            }
        }
        Ok(limit)
    }

    fn nearest_entry(&self, file: &File, offset: Offset, limit: u64) -> Result<(u64, Offset)> {
        let mut index = lock(&self.index);
        let entries = match &mut *index {
            Some(entries) => entries,
            none => none.insert(
                scan::index(file, self.mark, self.base, limit)
                    .map_err(|fault| fault.at(&self.path))?,
            ),
        };
        let after = entries.partition_point(|entry| entry.first <= offset);
        Ok(match after.checked_sub(1) {
            Some(at) => (entries[at].position, entries[at].first),
            None => (HEADER_BYTES, self.base),
        })
    }

    pub(super) fn corrupt(&self, position: u64, reason: impl std::fmt::Display) -> Error {
        corrupt(&self.path, format!("block at byte {position}: {reason}"))
    }
}

pub(super) fn path(folder: &Path, base: Offset) -> PathBuf {
    folder.join(format!("{:0NAME_DIGITS$}{SUFFIX}", base.0))
}

/// The segments in `folder`, oldest first.
pub(super) fn list(folder: &Path) -> Result<Vec<(Offset, PathBuf)>> {
    let mut segments = Vec::new();
    for entry in fs::read_dir(folder).map_err(io_error(folder))? {
        let path = entry.map_err(io_error(folder))?.path();
        let base = path
            .file_name()
            .and_then(|name| name.to_str()?.strip_suffix(SUFFIX))
            .filter(|digits| digits.len() == NAME_DIGITS)
            .and_then(|digits| digits.parse().ok());
        if let Some(base) = base {
            segments.push((Offset(base), path));
        }
    }
    segments.sort_unstable();
    Ok(segments)
}

fn header(mark: u32, base: Offset, taken_in_after: EventTime) -> [u8; HEADER_BYTES as usize] {
    let mut header = [0; HEADER_BYTES as usize];
    header[0..8].copy_from_slice(MAGIC);
    header[8..12].copy_from_slice(&VERSION.to_le_bytes());
    header[12..16].copy_from_slice(&mark.to_le_bytes());
    header[16..24].copy_from_slice(&base.0.to_le_bytes());
    header[24..32].copy_from_slice(&taken_in_after.micros().to_le_bytes());
    let checksum = crc32c::crc32c(&header[..CHECKED_BYTES]);
    header[CHECKED_BYTES..CHECKED_BYTES + 4].copy_from_slice(&checksum.to_le_bytes());
    header
}

fn parse_header(
    header: &[u8; HEADER_BYTES as usize],
    base: Offset,
    path: &Path,
) -> Result<(u32, EventTime)> {
    let u32_at = |at: usize| u32::from_le_bytes(*header[at..].first_chunk().expect("in range"));
    let u64_at = |at: usize| u64::from_le_bytes(*header[at..].first_chunk().expect("in range"));
    if &header[0..8] != MAGIC {
        return Err(corrupt(path, "it does not begin like a segment"));
    }
    if u32_at(8) > VERSION {
        return Err(Error::NewerFormat {
            path: path.to_owned(),
            found: u32_at(8),
            supported: VERSION,
        });
    }
    if u32_at(CHECKED_BYTES) != crc32c::crc32c(&header[..CHECKED_BYTES]) {
        return Err(corrupt(path, "the checksum of its header does not match"));
    }
    if u64_at(16) != base.0 {
        let reason = format!("it holds the offsets from {} on", u64_at(16));
        return Err(corrupt(path, reason));
    }
    Ok((u32_at(12), EventTime::from_micros(u64_at(24).cast_signed())))
}

/// Different for every segment. The keys of a `RandomState` are the randomness that `std` offers.
fn random_mark() -> u32 {
    let random = RandomState::new().build_hasher().finish();
    // Zero is what a hole in a file reads as.
    (random as u32).max(1)
}
