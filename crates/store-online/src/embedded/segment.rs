//! One file of the value log.
//!
//! Records are read with `pread`: a memory map takes a quarter of a microsecond less of about one, but
//! turns an error of the disk into a signal, and unmapping a removed file stops every reader.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::disk::{self, Disk};
use super::record::{self, Record, Scanned};
use crate::{Error, Result};

/// Which stretch of the log a file holds. A compacted file takes the place of the files it was made
/// from, with a higher generation, so that the order of the files stays the order of writing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Span {
    pub first: u32,
    pub last: u32,
    pub generation: u32,
}

impl Span {
    pub fn path(self, folder: &Path) -> PathBuf {
        let Self {
            first,
            last,
            generation,
        } = self;
        folder.join(format!("{first:010}-{last:010}-{generation:06}.log"))
    }

    pub fn parse(name: &str) -> Option<Self> {
        let mut parts = name.strip_suffix(".log")?.split('-');
        let span = Self {
            first: parts.next()?.parse().ok()?,
            last: parts.next()?.parse().ok()?,
            generation: parts.next()?.parse().ok()?,
        };
        (parts.next().is_none() && span.first <= span.last).then_some(span)
    }

    /// True when this file was made from `other`, which is then of no use.
    pub fn replaces(self, other: Self) -> bool {
        self.first <= other.first && other.last <= self.last && self.generation > other.generation
    }
}

/// What is written again at a time.
const WRITE_AGAIN_BYTES: u64 = 4 << 20;

#[derive(Debug)]
pub(super) struct Segment {
    /// Names the file in the index; counted from 0 at each opening.
    pub id: u32,
    pub span: Span,
    pub path: PathBuf,
    file: File,
    bytes: AtomicU64,
    records: AtomicU64,
    dead_bytes: AtomicU64,
    sealed: AtomicBool,
    hinted: AtomicBool,
    damaged: AtomicBool,
    /// Holds what no sync is known to have made durable.
    dirty: AtomicBool,
    /// A failed write could not be cut off yet.
    torn: AtomicBool,
}

impl Segment {
    /// An empty file for new records.
    pub fn create(folder: &Path, id: u32, span: Span) -> Result<Self> {
        let path = span.path(folder);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(&path)
            .map_err(Error::io(&path))?;
        Ok(Self::over(file, path, id, span, 0))
    }

    /// A file that nothing will be appended to. Taken for durable: where that is not known, the caller
    /// has it [written again](Self::write_again).
    pub fn open(folder: &Path, id: u32, span: Span) -> Result<Self> {
        let path = span.path(folder);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(&path)
            .map_err(Error::io(&path))?;
        let bytes = file.metadata().map_err(Error::io(&path))?.len();
        let segment = Self::over(file, path, id, span, bytes);
        segment.seal();
        Ok(segment)
    }

    fn over(file: File, path: PathBuf, id: u32, span: Span, bytes: u64) -> Self {
        Self {
            id,
            span,
            path,
            file,
            bytes: AtomicU64::new(bytes),
            records: AtomicU64::new(0),
            dead_bytes: AtomicU64::new(0),
            sealed: AtomicBool::new(false),
            hinted: AtomicBool::new(false),
            damaged: AtomicBool::new(false),
            dirty: AtomicBool::new(false),
            torn: AtomicBool::new(false),
        }
    }

    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Acquire)
    }

    pub fn records(&self) -> u64 {
        self.records.load(Ordering::Relaxed)
    }

    pub fn add_records(&self, records: u64) {
        self.records.fetch_add(records, Ordering::Relaxed);
    }

    /// Bytes of records that are no longer the newest of their key.
    pub fn dead_bytes(&self) -> u64 {
        self.dead_bytes.load(Ordering::Relaxed)
    }

    pub fn add_dead(&self, bytes: u64) {
        self.dead_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub fn seal(&self) {
        self.sealed.store(true, Ordering::Release);
    }

    pub fn is_sealed(&self) -> bool {
        self.sealed.load(Ordering::Acquire)
    }

    /// Whether a hint file stands beside it: then it is also durable.
    pub fn is_hinted(&self) -> bool {
        self.hinted.load(Ordering::Acquire)
    }

    pub fn set_hinted(&self) {
        self.hinted.store(true, Ordering::Release);
    }

    /// A live record in it cannot be read; it is left as it is.
    pub fn is_damaged(&self) -> bool {
        self.damaged.load(Ordering::Relaxed)
    }

    pub fn set_damaged(&self) {
        self.damaged.store(true, Ordering::Relaxed);
    }

    pub fn hint_path(&self) -> PathBuf {
        self.path.with_extension("hint")
    }

    /// Appends whole records and answers where they begin. After an error the file holds what it
    /// held before. One caller at a time.
    pub fn append(&self, disk: &Disk, bytes: &[u8], records: u64) -> Result<u32> {
        let end = self.bytes();
        if self.torn.load(Ordering::Relaxed) {
            self.file.set_len(end).map_err(Error::io(&self.path))?;
            self.torn.store(false, Ordering::Relaxed);
        }
        if let Err(source) = disk.write_all_at(&self.file, bytes, end) {
            self.torn
                .store(self.file.set_len(end).is_err(), Ordering::Relaxed);
            return Err(Error::io(&self.path)(source));
        }
        self.dirty.store(true, Ordering::Release);
        self.add_records(records);
        self.bytes
            .store(end + bytes.len() as u64, Ordering::Release);
        u32::try_from(end).map_err(|_| Error::corrupt(&self.path, "longer than 4 GiB"))
    }

    /// The bytes of one record, checked.
    pub fn read(&self, seed: u32, position: u32, length: u32) -> Result<Vec<u8>> {
        let mut bytes = vec![0; length as usize];
        match self.file.read_exact_at(&mut bytes, position.into()) {
            Ok(()) if record::parse(seed, &bytes).is_ok() => Ok(bytes),
            Err(source) if source.kind() != io::ErrorKind::UnexpectedEof => {
                Err(Error::io(&self.path)(source))
            }
            _ => Err(Error::corrupt(
                &self.path,
                format!("no whole record of {length} bytes at {position}"),
            )),
        }
    }

    /// Visits every record in order.
    pub fn scan(&self, seed: u32, visit: impl FnMut(u64, &[u8], Record<'_>)) -> Result<Scanned> {
        record::scan(&self.file, self.bytes(), seed, visit).map_err(Error::io(&self.path))
    }

    /// Cuts off what follows `end`.
    pub fn truncate(&self, end: u64) -> Result<()> {
        self.file.set_len(end).map_err(Error::io(&self.path))?;
        self.dirty.store(true, Ordering::Release);
        self.bytes.store(end, Ordering::Release);
        Ok(())
    }

    /// Writes everything again, so that the next sync makes it durable, whatever became of it before.
    ///
    /// For a killed process a sync would do. But after a sync that failed, the system may take pages
    /// for written that never were, and the next one passes them over, also one of another process.
    pub fn write_again(&self, disk: &Disk) -> Result<()> {
        let end = self.bytes();
        let mut buffer = vec![0; end.min(WRITE_AGAIN_BYTES) as usize];
        let mut position = 0;
        while position < end {
            let part = &mut buffer[..(end - position).min(WRITE_AGAIN_BYTES) as usize];
            self.file
                .read_exact_at(part, position)
                .and_then(|()| disk.write_all_at(&self.file, part, position))
                .map_err(Error::io(&self.path))?;
            position += part.len() as u64;
        }
        self.dirty.store(true, Ordering::Release);
        Ok(())
    }

    /// Makes what was written durable. A failure is final: the next success would prove nothing until
    /// everything was [written again](Self::write_again).
    pub fn sync(&self, disk: &Disk) -> io::Result<()> {
        match self.dirty.swap(false, Ordering::AcqRel) {
            true => disk.sync(&self.file),
            false => Ok(()),
        }
    }

    pub fn remove_files(&self) -> Result<()> {
        disk::remove(&self.hint_path())?;
        disk::remove(&self.path)
    }
}

/// The files of the log by id. Readers hold a copy of the list, so a removed file stays open until
/// the last of them is done.
#[derive(Debug, Clone, Default)]
pub(super) struct Segments(Vec<Arc<Segment>>);

impl Segments {
    pub fn get(&self, id: u32) -> Option<&Arc<Segment>> {
        let index = self.0.binary_search_by_key(&id, |segment| segment.id);
        index.ok().map(|index| &self.0[index])
    }

    pub fn with(&self, segment: Arc<Segment>) -> Self {
        let mut segments = self.0.clone();
        // Almost always at the end: writer and compaction take their ids beside each other.
        let index = segments.partition_point(|known| known.id < segment.id);
        segments.insert(index, segment);
        Self(segments)
    }

    pub fn without(&self, removed: &[Arc<Segment>]) -> Self {
        let is_kept =
            |segment: &&Arc<Segment>| removed.iter().all(|removed| removed.id != segment.id);
        Self(self.0.iter().filter(is_kept).cloned().collect())
    }

    pub fn iter(&self) -> impl Iterator<Item = &Arc<Segment>> {
        self.0.iter()
    }

    pub fn in_log_order(&self) -> Vec<Arc<Segment>> {
        let mut segments = self.0.clone();
        segments.sort_unstable_by_key(|segment| segment.span);
        segments
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back_and_replacement_needs_cover_and_generation() {
        let span = |first, last, generation| Span {
            first,
            last,
            generation,
        };
        let name = span(3, 7, 2).path(Path::new(""));
        assert_eq!(name.to_str(), Some("0000000003-0000000007-000002.log"));
        assert_eq!(
            Span::parse("0000000003-0000000007-000002.log"),
            Some(span(3, 7, 2))
        );
        for name in [
            "7-3-1.log",
            "1-1.log",
            "1-1-1-1.log",
            "1-1-1.hint",
            "x-1-1.log",
        ] {
            assert_eq!(Span::parse(name), None, "{name}");
        }
        assert!(span(1, 4, 1).replaces(span(2, 3, 0)));
        assert!(span(1, 1, 1).replaces(span(1, 1, 0)));
        assert!(!span(1, 1, 1).replaces(span(1, 1, 1)));
        assert!(!span(1, 2, 1).replaces(span(2, 3, 0)));
    }
}
