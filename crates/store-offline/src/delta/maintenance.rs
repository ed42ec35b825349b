//! Keeping a table's folder tidy: few large files, none that nobody needs.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::time::{Duration, SystemTime};

use deltalake_core::DeltaTable;
use deltalake_core::kernel::{Action, LogicalFileView};
use deltalake_core::protocol::DeltaOperation;
use futures::TryStreamExt;

use super::append::{added, commit_data};
use super::data_file::{DataFiles, delete_orphan, read};
use super::table::Table;
use super::{blocking, columns, now};
use crate::{Error, Result};

/// What small files are merged into.
const COMPACTED_FILE_BYTES: u64 = 128 << 20;
/// Appends wait for a compaction, so one takes on no more than this; the next goes on from there.
const COMPACTION_BYTES_MAX: u64 = 1 << 30;

impl Table {
    pub(super) async fn compact(&self) -> Result<Option<u64>> {
        let _writing = self.writing.lock().await;
        let head = self.head().await?;
        self.check_writable(&head)?;
        let groups = groups(&small_files(self.state(&head).await?));
        if groups.is_empty() {
            return Ok(None);
        }
        let names: Vec<Vec<String>> = groups
            .iter()
            .map(|group| group.iter().map(|file| file.path().into_owned()).collect())
            .collect();
        let (folder, schema) = (self.folder.clone(), head.schema.clone());
        let files = blocking(move || {
            let mut merged = Vec::new();
            for group in names {
                let mut writer = DataFiles::new(folder.clone(), schema.clone());
                for name in group {
                    for batch in read(&folder.join(name), schema.clone())? {
                        // A file older than a column of the table lacks it.
                        let batch = columns::conform(&batch?, &schema)
                            .map_err(arrow::error::ArrowError::SchemaError)?;
                        writer.write(&batch)?;
                    }
                }
                merged.extend(writer.finish()?);
            }
            Ok::<_, Error>(merged)
        })
        .await?;

        let commit = self.next_commit(&head);
        let mut actions = added(&files, &commit, false);
        let taken_out = groups.iter().flatten();
        actions.extend(taken_out.map(|file| Action::Remove(file.remove_action(false))));
        let operation = DeltaOperation::Optimize {
            predicate: None,
            target_size: i64::try_from(COMPACTED_FILE_BYTES).unwrap_or(i64::MAX),
        };
        let data = commit_data(&commit, actions, operation, Vec::new());
        self.commit(&head, &commit, data, &files).await?;
        Ok(Some(commit.id))
    }

    pub(super) async fn vacuum(&self, retention_hours: u64, pinned: &[u64]) -> Result<u64> {
        let _writing = self.writing.lock().await;
        let head = self.head().await?;
        let state = self.state(&head).await?;
        let mut needed = file_names(state);
        for commit in pinned.iter().filter(|commit| **commit != head.commit) {
            if *commit > head.commit {
                return Err(Error::UnknownCommit {
                    table: self.name.clone(),
                    found: *commit,
                    newest: head.commit,
                });
            }
            needed.extend(file_names(&self.load(Some(*commit)).await?));
        }
        let removed = self.removal_times(state).await?;
        let retention = Duration::from_secs(retention_hours.saturating_mul(3600));
        let folder = self.folder.clone();
        let oldest_kept = SystemTime::UNIX_EPOCH
            .checked_add(Duration::from_micros(
                u64::try_from(now().micros()).unwrap_or_default(),
            ))
            .and_then(|now| now.checked_sub(retention));
        // A retention from before all time keeps everything.
        let Some(oldest_kept) = oldest_kept else {
            return Ok(0);
        };
        Ok(blocking(move || delete_unneeded(&folder, &needed, &removed, oldest_kept)).await?)
    }

    /// When files were taken out of the table, as far as the log remembers.
    async fn removal_times(&self, delta: &DeltaTable) -> Result<HashMap<String, SystemTime>> {
        let state = delta
            .snapshot()
            .map_err(|source| self.delta_error(source))?;
        state
            .all_tombstones(&self.log)
            .map_ok(|tombstone| {
                let millis = tombstone.deletion_timestamp().unwrap_or_default();
                let since_epoch = Duration::from_millis(u64::try_from(millis).unwrap_or_default());
                let time = SystemTime::UNIX_EPOCH + since_epoch;
                (tombstone.path().into_owned(), time)
            })
            .try_collect()
            .await
            .map_err(|source| self.delta_error(source))
    }
}

/// Oldest first, so that merged files keep the order of the appends.
fn small_files(delta: &DeltaTable) -> Vec<LogicalFileView> {
    let mut files: Vec<_> = files(delta)
        .filter(|file| size(file) < COMPACTED_FILE_BYTES / 2)
        .collect();
    files.sort_by_key(LogicalFileView::modification_time);
    files
}

/// Neighbours that make one file together. A group of one is left as it is.
fn groups(files: &[LogicalFileView]) -> Vec<Vec<LogicalFileView>> {
    let mut groups: Vec<Vec<LogicalFileView>> = Vec::new();
    let (mut group_bytes, mut all_bytes) = (0, 0);
    for file in files {
        if all_bytes + size(file) > COMPACTION_BYTES_MAX {
            break;
        }
        all_bytes += size(file);
        group_bytes += size(file);
        match groups.last_mut() {
            Some(group) if group_bytes <= COMPACTED_FILE_BYTES => group.push(file.clone()),
            _ => {
                group_bytes = size(file);
                groups.push(vec![file.clone()]);
            }
        }
    }
    groups.retain(|group| group.len() > 1);
    groups
}

fn files(delta: &DeltaTable) -> impl Iterator<Item = LogicalFileView> {
    let state = delta.state.as_ref();
    state
        .into_iter()
        .flat_map(|state| state.log_data().into_iter())
}

fn file_names(delta: &DeltaTable) -> HashSet<String> {
    files(delta).map(|file| file.path().into_owned()).collect()
}

fn size(file: &LogicalFileView) -> u64 {
    u64::try_from(file.size()).unwrap_or_default()
}

/// Looks at data files only, and at none below the folder: everything else is not ours to delete.
fn delete_unneeded(
    folder: &Path,
    needed: &HashSet<String>,
    removed: &HashMap<String, SystemTime>,
    oldest_kept: SystemTime,
) -> std::io::Result<u64> {
    let mut deleted = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.ends_with(".parquet") || needed.contains(&name) {
            continue;
        }
        let written = entry.metadata()?.modified()?;
        let unneeded_since = removed
            .get(&name)
            .map_or(written, |time| written.max(*time));
        if unneeded_since <= oldest_kept && delete_orphan(&entry.path()) {
            deleted += 1;
        }
    }
    Ok(deleted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_gone_counts_as_deleted() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["unneeded.parquet", "needed.parquet", "notes.txt"] {
            std::fs::write(folder.path().join(name), "rows").unwrap();
        }
        // A folder cannot be deleted as a file.
        std::fs::create_dir(folder.path().join("stays.parquet")).unwrap();
        let needed = HashSet::from(["needed.parquet".to_owned()]);
        let later = SystemTime::now() + Duration::from_secs(60);
        let deleted = delete_unneeded(folder.path(), &needed, &HashMap::new(), later).unwrap();
        assert_eq!(deleted, 1);
        let left = std::fs::read_dir(folder.path()).unwrap();
        let mut left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["needed.parquet", "notes.txt", "stays.parquet"]);
    }
}
