//! Segments that retention gave up and whose files still have to go.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;

use super::disk::Disk;
use super::segment::Segment;
use crate::Result;

/// Oldest first. No reader comes to them any more.
#[derive(Debug, Default)]
pub(super) struct Discarded(VecDeque<Arc<Segment>>);

impl Discarded {
    pub(super) fn add(&mut self, segments: Vec<Arc<Segment>>) {
        self.0.extend(segments);
    }

    /// Removes the files in order and stops at the first that cannot be removed, which is tried again
    /// at the next call: were a newer one removed before it, the log would open with a gap.
    pub(super) fn remove_files(&mut self, disk: &Disk, folder: &Path) -> Result<()> {
        if self.0.is_empty() {
            return Ok(());
        }
        while let Some(oldest) = self.0.front() {
            disk.remove_file(&oldest.path)?;
            self.0.pop_front();
        }
        disk.sync_folder(folder)
    }
}
