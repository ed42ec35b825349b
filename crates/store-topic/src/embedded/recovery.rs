//! What is found of a partition when the log is opened.

use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use twinfold_model::{EventTime, Offset};

use super::disk::{Disk, io_error};
use super::document::{self, corrupt, required};
use super::partition::{Found, Mark};
use super::scan;
use super::segment::{self, Opened, Segment};
use crate::Result;

const END_KIND: &str = "end";

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

/// Opens the segments in `folder`, verifies the last one and cuts what a crash left unfinished.
pub(super) fn recover(disk: &Disk, folder: &Path) -> Result<Found> {
    let clean_end = CleanEnd::read(folder)?;
    let mut segments = open_segments(disk, folder)?;
    if segments.is_empty() {
        let first = Segment::create(disk, folder, Offset::ZERO, EventTime::MIN)?;
        segments.push_back(Arc::new(first));
    }
    let active = segments.back().expect("made above if there was none");
    let bytes = active.sealed_bytes();
    let (end, appended_at) = match clean_end {
        Some(clean) if clean.base == active.base && clean.end.position == bytes => {
            (clean.end, clean.appended_at)
        }
        _ => verify(disk, active)?,
    };
    if let Some(clean) = clean_end
        && clean.end.offset > end.offset
    {
        let reason = format!(
            "it ends at offset {}, but at the last close it went to {}",
            end.offset.0, clean.end.offset.0
        );
        return Err(corrupt(&active.path, reason));
    }
    Ok(Found {
        segments,
        end,
        appended_at,
    })
}

fn open_segments(disk: &Disk, folder: &Path) -> Result<VecDeque<Arc<Segment>>> {
    let mut segments = VecDeque::new();
    let listed = segment::list(folder)?;
    let count = listed.len();
    for (at, (base, path)) in listed.into_iter().enumerate() {
        let is_last = at + 1 == count;
        match Segment::open(path.clone(), base)? {
            Opened::Segment(segment) => {
                if !is_last {
                    segment.release_file();
                }
                segments.push_back(Arc::new(segment));
            }
            // The one before it is complete: it was made durable first.
            Opened::Unborn if is_last => {
                fs::remove_file(&path).map_err(io_error(&path))?;
                disk.sync_folder(folder)?;
            }
            Opened::Unborn => return Err(corrupt(&path, "its header is missing")),
        }
    }
    Ok(segments)
}

fn verify(disk: &Disk, active: &Segment) -> Result<(Mark, EventTime)> {
    let recovered = scan::recover(active)?;
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
    // What only the page cache holds counts as durable from here on.
    disk.sync(&file).map_err(io_error(&active.path))?;
    active.set_index(recovered.index);
    let end = Mark {
        offset: recovered.next,
        position: recovered.end,
    };
    Ok((end, recovered.appended_at))
}
