//! What is found of a partition when the log is opened.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use twinfold_model::{EventTime, Offset};

use super::disk::{Disk, io_error, read_at};
use super::document::{self, corrupt, required};
use super::partition::{Found, Mark};
use super::scan;
use super::segment::{self, Opened, Segment};
use crate::Result;

const END_KIND: &str = "end";
/// What is written again at a time.
const WRITE_AGAIN_BYTES: u64 = 1024 * 1024;

/// Where a partition ended when the log was closed. All before it was durable then: a segment that
/// still has this length need not be verified, and is not cut should it turn out to be damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct CleanEnd {
    pub(super) base: Offset,
    pub(super) end: Mark,
    pub(super) appended_at: EventTime,
}

impl CleanEnd {
    pub(super) fn write(&self, disk: &Disk, folder: &Path) -> Result<()> {
        let fields = [
            ("segment", self.base.0),
            ("bytes", self.end.position),
            ("next", self.end.offset.0),
            ("appended_at_us", self.appended_at.micros().cast_unsigned()),
        ];
        let fields = fields
            .map(|(name, value)| (name.to_owned(), value))
            .to_vec();
        document::replace(disk, &path(folder), END_KIND, &fields)
    }

    fn read(folder: &Path) -> Result<Option<Self>> {
        let path = path(folder);
        let Some(fields) = document::read(&path, END_KIND)? else {
            return Ok(None);
        };
        let field = |name| required(&fields, name, &path);
        Ok(Some(Self {
            base: Offset(field("segment")?),
            end: Mark {
                offset: Offset(field("next")?),
                position: field("bytes")?,
            },
            appended_at: EventTime::from_micros(field("appended_at_us")?.cast_signed()),
        }))
    }
}

fn path(folder: &Path) -> PathBuf {
    folder.join(END_KIND)
}

/// Somebody who knows that a partition was durable up to an offset. What is left must not end before
/// it: the offsets would be given out again, and who has read them would pass over the new records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Witness {
    pub(super) next: Offset,
    /// What it says, as the end of a sentence about where the partition ends.
    pub(super) account: String,
}

impl Witness {
    fn of_close(clean: CleanEnd) -> Self {
        Self {
            next: clean.end.offset,
            account: format!("at the last close it went to {}", clean.end.offset.0),
        }
    }

    fn check(&self, active: &Segment, next: Offset) -> Result<()> {
        if self.next <= next {
            return Ok(());
        }
        let reason = format!("it ends at offset {}, but {}", next.0, self.account);
        Err(corrupt(&active.path, reason))
    }
}

/// Opens the segments in `folder`, verifies the last one and cuts what a crash left unfinished.
/// Nothing is cut when it ends before what `consumer` has read.
pub(super) fn recover(disk: &Disk, folder: &Path, consumer: Option<Witness>) -> Result<Found> {
    let clean_end = CleanEnd::read(folder)?;
    let mut segments = open_segments(disk, folder)?;
    if segments.is_empty() {
        let first = Segment::create(disk, folder, Offset::ZERO, EventTime::MIN)?;
        segments.push_back(Arc::new(first));
    }
    let active = segments.back().expect("made above if there was none");
    let witness = consumer
        .into_iter()
        .chain(clean_end.map(Witness::of_close))
        .max_by_key(|witness| witness.next);
    let bytes = active.sealed_bytes();
    let (end, appended_at) = match clean_end {
        Some(clean) if clean.base == active.base && clean.end.position == bytes => {
            if let Some(witness) = witness {
                witness.check(active, clean.end.offset)?;
            }
            (clean.end, clean.appended_at)
        }
        _ => verify(disk, active, witness)?,
    };
    Ok(Found {
        segments,
        end,
        appended_at,
    })
}

/// Leaves the file of the last one open, and that to be written to.
fn open_segments(disk: &Disk, folder: &Path) -> Result<VecDeque<Arc<Segment>>> {
    let mut segments: VecDeque<Arc<Segment>> = VecDeque::new();
    let listed = segment::list(folder)?;
    let count = listed.len();
    for (at, (base, path)) in listed.into_iter().enumerate() {
        let is_last = at + 1 == count;
        match Segment::open(path.clone(), base)? {
            Opened::Segment(segment) => {
                if let Some(sealed) = segments.back() {
                    sealed.release_file();
                }
                segments.push_back(Arc::new(segment));
            }
            // The one before it is complete: it was made durable first.
            Opened::Unborn if is_last => {
                disk.remove_file(&path)?;
                disk.sync_folder(folder)?;
            }
            Opened::Unborn => return Err(corrupt(&path, "its header is missing")),
        }
    }
    Ok(segments)
}

fn verify(disk: &Disk, active: &Segment, witness: Option<Witness>) -> Result<(Mark, EventTime)> {
    let recovered = scan::recover(active)?;
    let mut durable = recovered.durable;
    if let Some(witness) = witness {
        // Before anything is cut: whole records may stand behind damage to durable ones.
        witness.check(active, recovered.next)?;
        durable = durable.max(witness.next);
    }
    let file = active.file()?;
    let cut_bytes = active.sealed_bytes() - recovered.end;
    if cut_bytes > 0 {
        tracing::warn!(
            path = %active.path.display(),
            cut_bytes,
            next_offset = recovered.next.0,
            "cut an unfinished write off the log"
        );
        file.set_len(recovered.end)
            .map_err(io_error(&active.path))?;
        active.seal(recovered.end);
    }
    active.set_index(recovered.index);
    let doubtful = active.locate(&file, durable, recovered.end)?;
    write_again(disk, &file, doubtful..recovered.end).map_err(io_error(&active.path))?;
    // What only the page cache holds counts as durable from here on.
    disk.sync(&file).map_err(io_error(&active.path))?;
    let end = Mark {
        offset: recovered.next,
        position: recovered.end,
    };
    Ok((end, recovered.appended_at))
}

/// Writes the range with what it holds. For a killed process a sync would do; but after a sync that
/// failed, the system may take pages for written that never were, and the next one passes them over,
/// also one of another process.
fn write_again(disk: &Disk, file: &File, range: Range<u64>) -> io::Result<()> {
    let mut buffer = vec![0; WRITE_AGAIN_BYTES.min(range.end - range.start) as usize];
    let mut position = range.start;
    while position < range.end {
        let wanted = (range.end - position).min(WRITE_AGAIN_BYTES) as usize;
        let read = read_at(file, &mut buffer[..wanted], position)?;
        if read < wanted {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        disk.write_all_at(file, &buffer[..wanted], position)?;
        position += wanted as u64;
    }
    Ok(())
}
