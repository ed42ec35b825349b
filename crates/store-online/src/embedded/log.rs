//! The value log: segments that are appended to, sealed, read, replaced.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};

use super::disk::Disk;
use super::index::{KeyHash, Location};
use super::segment::{Segment, Segments, Span};
use super::{Options, Stats, hint};
use crate::{Error, Result};

/// A segment is not cut shorter than this, unless the options ask for it.
pub(super) const SEGMENT_BYTES_MIN: u64 = 16 << 20;
/// The active segment, which compaction cannot touch, holds about this part of the log: a small store
/// is not left with much more garbage than rows.
const SEGMENTS_WANTED: u64 = 8;

#[derive(Debug)]
pub(super) struct Log {
    pub disk: Disk,
    pub folder: PathBuf,
    pub seed: u64,
    pub options: Options,
    segments: RwLock<Arc<Segments>>,
    next_id: AtomicU32,
    /// One sync at a time: who comes second must not return before the first one's is done.
    syncing: Mutex<()>,
    /// Why nothing can be made durable any more: a sync failed, and the system may have thrown away
    /// what was written before.
    broken: OnceLock<String>,
}

/// The end of the log. Who holds it is the one writer.
#[derive(Debug)]
pub(super) struct Tail {
    active: Option<Arc<Segment>>,
    /// Where the active segment ends.
    segment_bytes_max: u64,
    next_sequence: u32,
}

impl Tail {
    pub fn at(next_sequence: u32) -> Self {
        Self {
            active: None,
            segment_bytes_max: 0,
            next_sequence,
        }
    }

    /// Ends the active segment; the next append begins a new one.
    pub fn seal(&mut self) {
        if let Some(active) = self.active.take() {
            active.seal();
        }
    }
}

impl Log {
    pub fn new(disk: Disk, folder: PathBuf, seed: u64, options: Options) -> Self {
        Self {
            disk,
            folder,
            seed,
            options,
            segments: RwLock::default(),
            next_id: AtomicU32::new(0),
            syncing: Mutex::default(),
            broken: OnceLock::new(),
        }
    }

    /// What checksums of records begin with.
    pub fn checksum_seed(&self) -> u32 {
        self.seed as u32
    }

    pub fn segments(&self) -> Arc<Segments> {
        let segments = self.segments.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&segments)
    }

    pub fn take_id(&self) -> u32 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }

    /// Makes a segment readable. Its id was taken by [`take_id`](Self::take_id).
    pub fn add(&self, segment: Segment) -> Arc<Segment> {
        let segment = Arc::new(segment);
        self.change(|segments| segments.with(Arc::clone(&segment)));
        segment
    }

    /// Forgets segments and removes their files; who still reads them is not disturbed.
    pub fn remove(&self, removed: &[Arc<Segment>]) -> Result<()> {
        self.change(|segments| segments.without(removed));
        for segment in removed {
            segment.remove_files()?;
        }
        self.disk.sync_folder(&self.folder)
    }

    /// Lets go of every file.
    pub fn release(&self) {
        self.change(|_| Segments::default());
    }

    /// Appends whole records in one write.
    pub fn append(&self, tail: &mut Tail, bytes: &[u8], records: u64) -> Result<Appended> {
        let mut sealed = false;
        if let Some(active) = &tail.active
            && (active.bytes() + bytes.len() as u64 > tail.segment_bytes_max
                || active.records() + records > self.options.segment_records_max)
            && active.bytes() > 0
        {
            tail.seal();
            sealed = true;
        }
        let segment = match &tail.active {
            Some(active) => active,
            None => {
                let log_bytes: u64 = self.segments().iter().map(|known| known.bytes()).sum();
                tail.segment_bytes_max = (log_bytes / SEGMENTS_WANTED)
                    .max(SEGMENT_BYTES_MIN)
                    .min(self.options.segment_bytes_max);
                tail.active.insert(self.begin(&mut tail.next_sequence)?)
            }
        };
        let position = segment.append(&self.disk, bytes, records)?;
        Ok(Appended {
            start: Location {
                segment: segment.id,
                position,
            },
            sealed,
        })
    }

    /// Makes everything that was appended durable. After a failure nothing more is written or synced
    /// until the log is opened again.
    pub fn sync(&self) -> Result<()> {
        let _one_at_a_time = self.syncing.lock().unwrap_or_else(PoisonError::into_inner);
        self.check_writable()?;
        self.segments().iter().try_for_each(|segment| {
            segment.sync(&self.disk).map_err(|source| {
                self.broken
                    .get_or_init(|| format!("a sync failed: {source}"));
                Error::io(&segment.path)(source)
            })
        })
    }

    /// Whether what is written can still become durable.
    pub fn check_writable(&self) -> Result<()> {
        self.broken.get().map_or(Ok(()), |reason| {
            Err(Error::Broken {
                path: self.folder.clone(),
                reason: reason.clone(),
            })
        })
    }

    /// What the files hold; rows are counted by the tables.
    pub fn stats(&self) -> Stats {
        let mut stats = Stats::default();
        for segment in self.segments().iter() {
            stats.segments += 1;
            stats.log_bytes += segment.bytes();
            stats.dead_bytes += segment.dead_bytes();
        }
        stats
    }

    /// Reads a segment through and cuts off a torn tail.
    pub fn scan(&self, segment: &Segment) -> Result<Vec<hint::Entry>> {
        let mut entries = Vec::new();
        let scanned = segment.scan(self.checksum_seed(), |position, bytes, record| {
            entries.push(hint::Entry {
                hash: KeyHash::of(self.seed, record.key),
                table: record.table,
                event_time: record.event_time,
                operation: record.operation,
                position: position as u32,
                length: bytes.len() as u32,
            });
        })?;
        if scanned.damaged_bytes > 0 {
            tracing::warn!(
                path = %segment.path.display(),
                damaged_bytes = scanned.damaged_bytes,
                "stepped over bytes that are no whole record"
            );
        }
        if scanned.valid_end < segment.bytes() {
            tracing::warn!(
                path = %segment.path.display(),
                torn_bytes = segment.bytes() - scanned.valid_end,
                "cut off a torn tail"
            );
            segment.truncate(scanned.valid_end)?;
        }
        Ok(entries)
    }

    fn begin(&self, next_sequence: &mut u32) -> Result<Arc<Segment>> {
        let sequence = *next_sequence;
        // First, so that what is left of a failure stands in nobody's way.
        *next_sequence = sequence
            .checked_add(1)
            .ok_or_else(|| Error::corrupt(&self.folder, "no segment number is left"))?;
        let span = Span {
            first: sequence,
            last: sequence,
            generation: 0,
        };
        let segment = Segment::create(&self.folder, self.take_id(), span)?;
        self.disk.sync_folder(&self.folder).inspect_err(|_| {
            // Should this fail too, it is an empty segment at the next opening.
            let _ = segment.remove_files();
        })?;
        Ok(self.add(segment))
    }

    fn change(&self, next: impl FnOnce(&Segments) -> Segments) {
        let mut segments = self
            .segments
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        *segments = Arc::new(next(&segments));
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Appended {
    pub start: Location,
    /// The append ended a segment: there is something to tidy.
    pub sealed: bool,
}
