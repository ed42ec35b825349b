//! Keeping a table's folder tidy: few large files, none that nobody needs.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime};

use arrow::datatypes::SchemaRef;
use deltalake_core::DeltaTable;
use deltalake_core::kernel::{Action, LogicalFileView};
use deltalake_core::protocol::DeltaOperation;
use futures::TryStreamExt;
use twinfold_model::EventTime;

use super::append::{COMMIT_ATTEMPTS_MAX, Outcome, added, commit_data};
use super::data_file::{DataFile, DataFiles, read};
use super::place::{Found, Place};
use super::table::{Head, Pinned, Table};
use super::{blocking, columns, now};
use crate::{Error, Result};

/// What small files are merged into.
const COMPACTED_FILE_BYTES: u64 = 128 << 20;
/// Appends and the end of the process wait for a compaction, so one takes on no more than this; the next
/// goes on from there.
const COMPACTION_BYTES_MAX: u64 = 256 << 20;
/// So long a file in a bucket may wait for the commit that names it, whatever the retention is: another
/// process has uploaded it and is about to commit, or a server carries a commit out late.
const UNDER_WAY_MAX: Duration = Duration::from_secs(3600);

impl Table {
    pub(super) async fn compact(&self) -> Result<Option<u64>> {
        let _writing = self.writing.lock().await;
        let head = self.head().await?;
        self.check_writable(&head)?;
        let groups = groups(&small_files(self.state(&head).await?));
        if groups.is_empty() {
            return Ok(None);
        }
        // Made before the files are marked, so that the marks are not older.
        let taken_out = groups.iter().flatten();
        let taken_out: Vec<Action> = taken_out
            .map(|file| Action::Remove(file.remove_action(false)))
            .collect();
        let names = groups.iter().flatten().map(|file| file.path().into_owned());
        let names: Vec<String> = names.collect();
        let drafts = self.place.drafts()?;
        let mut fetched = self.place.fetch(&drafts, &names).await?.into_iter();
        let paths: Vec<Vec<PathBuf>> = groups
            .iter()
            .map(|group| fetched.by_ref().take(group.len()).collect())
            .collect();
        let (folder, schema) = (drafts.folder.clone(), head.schema.clone());
        let waiting = Arc::new(());
        let is_waited_for = Arc::downgrade(&waiting);
        let merge = move || {
            merge(
                &paths,
                DataFiles::new(folder, schema.clone()),
                &schema,
                &is_waited_for,
            )
        };
        let files = blocking(merge).await?;
        drop(waiting);
        self.place.publish(&drafts, &files).await?;
        let marked = self.place.mark_taken_out(&names, system_time(now())).await;
        if let Err(error) = marked {
            self.place.delete_orphans(&files).await;
            return Err(error);
        }

        let commit = self.commit_merge(head, &names, taken_out, &files).await?;
        Ok(Some(commit))
    }

    /// Commits files in place of others. When another writer was faster, the commit is tried again behind
    /// its own: rows that were appended meanwhile change nothing about the files that were merged.
    async fn commit_merge(
        &self,
        mut head: Arc<Head>,
        merged: &[String],
        taken_out: Vec<Action>,
        files: &[DataFile],
    ) -> Result<u64> {
        let mut attempts_left = COMMIT_ATTEMPTS_MAX;
        loop {
            let mut commit = self.next_commit(&head);
            commit.bytes = files.iter().map(|file| file.bytes).sum();
            let mut actions = added(files, &commit, false);
            actions.extend(taken_out.iter().cloned());
            let operation = DeltaOperation::Optimize {
                predicate: None,
                target_size: i64::try_from(COMPACTED_FILE_BYTES).unwrap_or(i64::MAX),
            };
            let data = commit_data(&commit, actions, operation, Vec::new());
            attempts_left -= 1;
            let newer = match self.write_commit(&head, &commit, data).await {
                Outcome::Written => return Ok(commit.id),
                Outcome::Unknown(error) => return Err(error),
                Outcome::Missing(Error::Conflict { .. }) if attempts_left > 0 => {
                    self.head_with(merged, &head.schema).await
                }
                Outcome::Missing(error) => Err(error),
            };
            head = match newer {
                Ok(newer) => newer,
                Err(error) => {
                    self.place.delete_orphans(files).await;
                    return Err(error);
                }
            };
        }
    }

    /// The newest commit, if these files are still part of the table and its columns are the same.
    async fn head_with(&self, names: &[String], schema: &SchemaRef) -> Result<Arc<Head>> {
        let head = self.head().await?;
        let there = file_names(self.state(&head).await?);
        if head.schema == *schema && names.iter().all(|name| there.contains(name)) {
            return Ok(head);
        }
        Err(Error::Conflict {
            table: self.name.clone(),
        })
    }

    pub(super) async fn vacuum(&self, retention_hours: u64, pinned: &[u64]) -> Result<u64> {
        // What has to be read is read before appends have to wait.
        let head = self.head().await?;
        let pinned = self.pinned_files(&head, pinned).await?;
        let state = self.state(&head).await?;
        let removed = self.removal_times(state).await?;
        let mut needed = file_names(state);
        let retention = Duration::from_secs(retention_hours.saturating_mul(3600));
        // A retention from before all time keeps everything.
        let Some(oldest_kept) = system_time(now()).checked_sub(retention) else {
            return Ok(0);
        };

        let _writing = self.writing.lock().await;
        let head = self.head().await?;
        needed.extend(file_names(self.state(&head).await?));
        let is_needed = |name: &str| needed.contains(name) || pinned.contains(name);
        delete_unneeded(&self.place, is_needed, &removed, oldest_kept).await
    }

    async fn pinned_files(&self, head: &Head, wanted: &[u64]) -> Result<Arc<HashSet<String>>> {
        let wanted: BTreeSet<u64> = wanted.iter().copied().collect();
        if let Some(found) = wanted.last().filter(|newest| **newest > head.commit) {
            return Err(Error::UnknownCommit {
                table: self.name.clone(),
                found: *found,
                newest: head.commit,
            });
        }
        let (incarnation, mut pinned) = self.pinned();
        if !pinned.commits.is_subset(&wanted) {
            // One is no longer pinned, and it is not known which files were its own.
            pinned = Pinned::default();
        }
        let mut files = Vec::new();
        for commit in wanted.difference(&pinned.commits) {
            files.extend(file_names(&self.load(Some(*commit)).await?));
        }
        if pinned.commits != wanted {
            pinned.commits = wanted;
            Arc::make_mut(&mut pinned.files).extend(files);
            self.set_pinned(incarnation, pinned.clone());
        }
        Ok(pinned.files)
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

/// Writes one file for each group. When nobody waits for the outcome
/// any more, it ends, and leaves nothing.
fn merge(
    groups: &[Vec<PathBuf>],
    mut writer: DataFiles,
    schema: &SchemaRef,
    is_waited_for: &Weak<()>,
) -> Result<Vec<DataFile>> {
    for group in groups {
        for path in group {
            for batch in read(path, schema.clone())? {
                if is_waited_for.strong_count() == 0 {
                    return Ok(Vec::new());
                }
                // A file older than a column of the table lacks it.
                let batch = columns::conform(&batch?, schema)
                    .map_err(arrow::error::ArrowError::SchemaError)?;
                writer.write(&batch)?;
            }
        }
        writer.cut()?;
    }
    writer.finish()
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

/// Deletes files that nothing needs and that nothing has needed for long enough.
async fn delete_unneeded(
    place: &Place,
    is_needed: impl Fn(&str) -> bool,
    removed: &HashMap<String, SystemTime>,
    oldest_kept: SystemTime,
) -> Result<u64> {
    let settled = system_time(now()) - UNDER_WAY_MAX;
    let mut deleted = 0;
    for found in place.data_files().await? {
        let Found {
            name,
            mut since,
            is_marked,
        } = found;
        if is_needed(&name) {
            continue;
        }
        let is_new = !is_marked && !removed.contains_key(&name);
        let oldest_kept = match is_new && place.may_write_late() {
            true => oldest_kept.min(settled),
            false => oldest_kept,
        };
        if let Some(time) = removed.get(&name).filter(|time| **time > since) {
            since = *time;
            // Another engine took it out.
            let marked = place.mark_taken_out(std::slice::from_ref(&name), *time);
            if let Err(error) = marked.await {
                tracing::warn!(name, %error, "a file that was taken out cannot be marked");
            }
        }
        if since <= oldest_kept && place.delete_orphan(&name).await {
            deleted += 1;
        }
    }
    Ok(deleted)
}

fn system_time(time: EventTime) -> SystemTime {
    let since_epoch = Duration::from_micros(u64::try_from(time.micros()).unwrap_or_default());
    SystemTime::UNIX_EPOCH + since_epoch
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_what_is_gone_counts_as_deleted() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["unneeded.parquet", "needed.parquet", "notes.txt"] {
            std::fs::write(folder.path().join(name), "rows").unwrap();
        }
        // A folder cannot be deleted as a file.
        std::fs::create_dir(folder.path().join("stays.parquet")).unwrap();
        let is_needed = |name: &str| name == "needed.parquet";
        let later = SystemTime::now() + Duration::from_secs(60);
        let place = Place::Folder(folder.path().to_owned());
        let deleted = delete_unneeded(&place, is_needed, &HashMap::new(), later).await;
        assert_eq!(deleted.unwrap(), 1);
        let left = std::fs::read_dir(folder.path()).unwrap();
        let mut left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["needed.parquet", "notes.txt", "stays.parquet"]);
    }

    #[test]
    fn a_merge_that_nobody_waits_for_ends_and_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let field = arrow::datatypes::Field::new("id", arrow::datatypes::DataType::Int64, false);
        let schema: SchemaRef = Arc::new(arrow::datatypes::Schema::new(vec![field]));
        let writer = || DataFiles::new(folder.path().to_owned(), schema.clone());
        let rows = Arc::new(arrow::array::Int64Array::from(vec![1, 2, 3]));
        let rows = arrow::record_batch::RecordBatch::try_new(schema.clone(), vec![rows]).unwrap();
        let mut small = writer();
        small.write(&rows).unwrap();
        let small = folder.path().join(&small.finish().unwrap()[0].name);
        let groups = [vec![small.clone(), small.clone()], vec![small]];
        let files = || std::fs::read_dir(folder.path()).unwrap().count();

        let gone = merge(&groups, writer(), &schema, &Weak::new()).unwrap();
        assert!(gone.is_empty());
        assert_eq!(files(), 1);
        let waiting = Arc::new(());
        let merged = merge(&groups, writer(), &schema, &Arc::downgrade(&waiting)).unwrap();
        assert_eq!(merged.len(), 2, "one for each group");
        assert_eq!(files(), 3);
    }
}
