//! The segments of one partition and the one place where they grow, become durable and go.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use twinfold_model::{EventTime, Offset, PartitionId};

use super::block::{Place, PreparedBlock};
use super::buffers::Buffers;
use super::discarded::Discarded;
use super::disk::io_error;
use super::recovery::CleanEnd;
use super::retention::{Retention, SegmentAge};
use super::segment::{self, Segment};
use super::{Settings, SyncPolicy, lock};
use crate::{Appended, Bounds, Error, Result};

/// Sealed segments whose files stay open for readers, per partition.
const SEALED_FILES_OPEN_MAX: usize = 8;

/// Locks are taken in the order of the fields, and `shared` only for moments.
#[derive(Debug)]
pub(super) struct Partition {
    pub(super) topic: Arc<str>,
    pub(super) id: PartitionId,
    pub(super) folder: PathBuf,
    settings: Arc<Settings>,
    writer: Mutex<Writer>,
    /// Held while the disk syncs: whoever waits for it finds the work done, which is group commit.
    sync_turn: Mutex<()>,
    /// Held while files are removed.
    discarded: Mutex<Discarded>,
    shared: Mutex<Shared>,
}

#[derive(Debug)]
struct Writer {
    segment: Arc<Segment>,
    file: Arc<File>,
    appended_at: EventTime,
}

#[derive(Debug)]
struct Shared {
    /// Oldest first, without gaps; the last one is active.
    segments: VecDeque<Arc<Segment>>,
    written: Mark,
    /// Never ahead of `written`, and of the same segment.
    durable: Mark,
    state: State,
    /// Sealed segments with an open file, the longest open first.
    open_sealed: VecDeque<Arc<Segment>>,
}

/// A place in the active segment and the offset that comes there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) offset: Offset,
    pub(super) position: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Open,
    Closed,
    Dropped,
    /// What the disk holds is not known any more: nothing is written until the log is opened again.
    Broken(String),
}

/// What recovery found of a partition.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) segments: VecDeque<Arc<Segment>>,
    pub(super) end: Mark,
    pub(super) appended_at: EventTime,
}

/// A run of blocks in one segment that may be read.
#[derive(Debug)]
pub(super) struct Span {
    pub(super) segment: Arc<Segment>,
    pub(super) file: Arc<File>,
    pub(super) limit: u64,
}

#[derive(Debug)]
pub(super) struct Written {
    pub(super) appended: Appended,
    /// A segment became full, so there may be something to forget.
    pub(super) is_segment_sealed: bool,
}

impl Partition {
    /// What recovery found, ready to be written to.
    pub(super) fn new(
        topic: Arc<str>,
        id: PartitionId,
        folder: PathBuf,
        settings: Arc<Settings>,
        found: Found,
    ) -> Result<Self> {
        let segment = Arc::clone(found.segments.back().expect("recovery makes the first one"));
        Ok(Self {
            topic,
            id,
            folder,
            settings,
            writer: Mutex::new(Writer {
                file: segment.file()?,
                segment,
                appended_at: found.appended_at,
            }),
            sync_turn: Mutex::new(()),
            discarded: Mutex::default(),
            shared: Mutex::new(Shared {
                segments: found.segments,
                written: found.end,
                durable: found.end,
                state: State::Open,
                open_sealed: VecDeque::new(),
            }),
        })
    }

    pub(super) fn append(&self, block: &mut PreparedBlock) -> Result<Written> {
        let mut writer = lock(&self.writer);
        let mut end = self.writable_end()?;
        let segment_bytes = end.position + block.len();
        let is_full = end.position > segment::HEADER_BYTES
            && segment_bytes > self.settings.options.segment_bytes_max;
        if is_full {
            end = self.roll(&mut writer, end)?;
        }

        let appended_at = (self.settings.clock)().max(writer.appended_at);
        let place = Place {
            mark: writer.segment.mark,
            first: end.offset,
            durable: lock(&self.shared).durable.offset,
            appended_at,
        };
        let disk = &self.settings.disk;
        if let Err(error) = disk.write_all_at(&writer.file, block.placed(place), end.position) {
            return Err(self.take_back(&writer, end, error));
        }
        writer.appended_at = appended_at;
        writer.segment.note_block(end.offset, end.position);

        let count = u64::from(block.records());
        let mut shared = lock(&self.shared);
        shared.written = Mark {
            offset: end.offset.plus(count),
            position: end.position + block.len(),
        };
        if self.settings.options.sync == SyncPolicy::Never {
            shared.durable = shared.written;
        }
        Ok(Written {
            appended: Appended {
                partition: self.id,
                first: end.offset,
                next: end.offset.plus(count),
                count,
            },
            is_segment_sealed: is_full,
        })
    }

    /// Begins a new segment. The old one is durable first, so that only the last segment of a
    /// partition can ever end in the middle of a block.
    fn roll(&self, writer: &mut Writer, end: Mark) -> Result<Mark> {
        self.make_durable()?;
        let disk = &self.settings.disk;
        let next = Segment::create(disk, &self.folder, end.offset, writer.appended_at)?;
        let next = Arc::new(next);
        let file = next.file()?;
        let sealed = std::mem::replace(&mut writer.segment, Arc::clone(&next));
        writer.file = file;
        sealed.seal(end.position);
        let begin = Mark {
            offset: end.offset,
            position: segment::HEADER_BYTES,
        };
        let mut shared = lock(&self.shared);
        shared.segments.push_back(next);
        shared.written = begin;
        shared.durable = begin;
        shared.keep_open(sealed);
        Ok(begin)
    }

    /// Cuts what a failed write left behind the last good block.
    fn take_back(&self, writer: &Writer, end: Mark, error: io::Error) -> Error {
        if let Err(cut) = writer.file.set_len(end.position) {
            lock(&self.shared).state = State::Broken(format!(
                "a write failed ({error}) and could not be undone: {cut}"
            ));
        }
        io_error(&writer.segment.path)(error)
    }

    fn writable_end(&self) -> Result<Mark> {
        let shared = lock(&self.shared);
        match &shared.state {
            State::Open => Ok(shared.written),
            state => Err(self.refusal(state)),
        }
    }

    fn refusal(&self, state: &State) -> Error {
        match state {
            State::Open | State::Closed => Error::Closed,
            State::Dropped => Error::UnknownTopic {
                topic: self.topic.to_string(),
            },
            State::Broken(reason) => Error::Broken {
                path: self.folder.clone(),
                reason: reason.clone(),
            },
        }
    }

    /// Returns when all that was written before the call is durable.
    pub(super) fn make_durable(&self) -> Result<()> {
        let wanted = lock(&self.shared).written.offset;
        let _turn = lock(&self.sync_turn);
        let (written, active) = {
            let shared = lock(&self.shared);
            if shared.durable.offset >= wanted {
                return Ok(());
            }
            if shared.state != State::Open {
                return Err(self.refusal(&shared.state));
            }
            (shared.written, Arc::clone(shared.active()))
        };
        let synced = self.settings.disk.sync(&*active.file()?);
        let mut shared = lock(&self.shared);
        if let Err(error) = synced {
            // The system may have dropped the pages it could not write: a second try would succeed
            // without having written them. Recovery writes them again.
            shared.state = State::Broken(format!("a sync failed: {error}"));
            return Err(io_error(&active.path)(error));
        }
        if written.offset > shared.durable.offset {
            shared.durable = written;
        }
        Ok(())
    }

    pub(super) fn is_durable(&self) -> bool {
        let shared = lock(&self.shared);
        shared.durable.offset >= shared.written.offset
    }

    pub(super) fn bounds(&self) -> Bounds {
        let shared = lock(&self.shared);
        Bounds {
            partition: self.id,
            earliest: shared.earliest(),
            next: shared.written.offset,
        }
    }

    /// The end of what may be delivered.
    pub(super) fn durable_end(&self) -> Offset {
        lock(&self.shared).durable.offset
    }

    pub(super) fn buffers(&self) -> &Arc<Buffers> {
        &self.settings.buffers
    }

    pub(super) fn check_readable(&self) -> Result<()> {
        match &lock(&self.shared).state {
            State::Open | State::Broken(_) => Ok(()),
            state => Err(self.refusal(state)),
        }
    }

    /// Where to read `offset`, which moves to the earliest one when it is forgotten already.
    pub(super) fn span(&self, offset: &mut Offset) -> Result<Option<Span>> {
        self.check_readable()?;
        let mut shared = lock(&self.shared);
        *offset = (*offset).max(shared.earliest());
        if *offset >= shared.durable.offset {
            return Ok(None);
        }
        let after = shared
            .segments
            .partition_point(|segment| segment.base <= *offset);
        let segment = Arc::clone(&shared.segments[after - 1]);
        let is_active = after == shared.segments.len();
        let limit = match is_active {
            true => shared.durable.position,
            false => segment.sealed_bytes(),
        };
        let was_open = segment.is_file_open();
        let file = segment.file()?;
        if !is_active && !was_open {
            shared.keep_open(Arc::clone(&segment));
        }
        Ok(Some(Span {
            segment,
            file,
            limit,
        }))
    }

    /// Removes the oldest segments that `retention` gives up and that end at or before `hold`, and
    /// what could not be removed before.
    pub(super) fn forget(&self, retention: &Retention, hold: Offset) -> Result<()> {
        let now = (self.settings.clock)();
        let mut discarded = lock(&self.discarded);
        // Once closed or dropped, the files of these names may be another's.
        self.check_readable()?;
        {
            let mut shared = lock(&self.shared);
            let count = retention.forgettable(&shared.ages(), hold, now);
            discarded.add(shared.forget(count));
        }
        discarded.remove_files(&self.settings.disk, &self.folder)
    }

    /// Refuses writes from now on, as the topic is gone.
    pub(super) fn abandon(&self) {
        let _writer = lock(&self.writer);
        let _discarded = lock(&self.discarded);
        lock(&self.shared).state = State::Dropped;
    }

    /// Waits for the write under way, notes where the log ends and refuses writes from now on, also
    /// when the end could not be made durable.
    pub(super) fn close(&self) -> Result<()> {
        let writer = lock(&self.writer);
        let state = lock(&self.shared).state.clone();
        let ended = match state {
            State::Open => self.make_durable().and_then(|()| self.note_end(&writer)),
            State::Broken(_) => Err(self.refusal(&state)),
            State::Closed | State::Dropped => return Ok(()),
        };
        let _discarded = lock(&self.discarded);
        let mut shared = lock(&self.shared);
        shared.state = State::Closed;
        for segment in &shared.segments {
            segment.release_file();
        }
        ended
    }

    fn note_end(&self, writer: &Writer) -> Result<()> {
        if self.settings.options.sync == SyncPolicy::Never {
            return Ok(());
        }
        let end = CleanEnd {
            base: writer.segment.base,
            end: lock(&self.shared).written,
            appended_at: writer.appended_at,
        };
        end.write(&self.settings.disk, &self.folder)
    }
}

impl Shared {
    fn active(&self) -> &Arc<Segment> {
        self.segments.back().expect("the active segment never goes")
    }

    fn earliest(&self) -> Offset {
        self.segments
            .front()
            .expect("the active segment never goes")
            .base
    }

    fn keep_open(&mut self, sealed: Arc<Segment>) {
        self.open_sealed.push_back(sealed);
        if self.open_sealed.len() > SEALED_FILES_OPEN_MAX
            && let Some(oldest) = self.open_sealed.pop_front()
        {
            oldest.release_file();
        }
    }

    /// Takes out so many of the oldest segments; who reads one keeps its file for so long.
    fn forget(&mut self, count: usize) -> Vec<Arc<Segment>> {
        let forgotten: Vec<_> = self.segments.drain(..count).collect();
        for segment in &forgotten {
            segment.release_file();
        }
        let earliest = self.earliest();
        self.open_sealed.retain(|segment| segment.base >= earliest);
        forgotten
    }

    fn ages(&self) -> Vec<SegmentAge> {
        let followers = self.segments.iter().skip(1);
        self.segments
            .iter()
            .zip(followers)
            .map(|(segment, follower)| SegmentAge {
                end: follower.base,
                newest: follower.taken_in_after,
                bytes: segment.sealed_bytes(),
            })
            .chain([SegmentAge {
                end: self.written.offset,
                newest: EventTime::MAX,
                bytes: self.written.position,
            }])
            .collect()
    }
}
