//! Where the files of a table are: in a folder of this machine, or below a prefix of a bucket.
//!
//! Rows are written into local files first, by the same code for both. In a folder they are there then;
//! into a bucket they are uploaded as they are, so that no row group has to fit into memory.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use futures::{StreamExt, TryStreamExt};
use object_store::buffered::BufWriter;
use object_store::path::Path as Key;
use object_store::{Error as StoreError, ObjectStore, ObjectStoreExt};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use uuid::Uuid;

use super::data_file::DataFile;
use super::folder::sync_folder;
use super::{DROPPED_PREFIX, blocking};
use crate::Result;

/// Stands beside a file of a bucket from when it was taken out of the table: objects cannot be dated.
const TAKEN_OUT_SUFFIX: &str = ".taken-out";
/// Parts of an upload, and pieces of a download.
const PART_BYTES: usize = 8 << 20;
const LOG_FOLDER: &str = "_delta_log";

#[derive(Debug, Clone)]
pub(super) enum Place {
    Folder(PathBuf),
    Bucket(Bucket),
}

#[derive(Debug, Clone)]
pub(crate) struct Bucket {
    pub(crate) store: Arc<dyn ObjectStore>,
    /// Of its files.
    pub(crate) prefix: Key,
}

/// A local folder to write data files in. That of a bucket's table is thrown away with all that is in it.
#[derive(Debug)]
pub(super) struct Drafts {
    pub(super) folder: PathBuf,
    _spool: Option<TempDir>,
}

/// A data file and since when it has been as it is: written, or taken out of the table.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) name: String,
    pub(super) since: SystemTime,
    /// A mark in the bucket says that it was taken out.
    pub(super) is_marked: bool,
}

impl Place {
    pub(super) fn drafts(&self) -> io::Result<Drafts> {
        match self {
            Self::Folder(folder) => Ok(Drafts {
                folder: folder.clone(),
                _spool: None,
            }),
            Self::Bucket(_) => {
                let spool = tempfile::Builder::new().prefix("twinfold-").tempdir()?;
                Ok(Drafts {
                    folder: spool.path().to_owned(),
                    _spool: Some(spool),
                })
            }
        }
    }

    /// Makes finished files part of the place, before a commit names them.
    pub(super) async fn publish(&self, drafts: &Drafts, files: &[DataFile]) -> Result<()> {
        let Self::Bucket(bucket) = self else {
            return Ok(());
        };
        for file in files {
            let draft = drafts.folder.join(&file.name);
            if let Err(error) = bucket.upload(&draft, &file.name).await {
                self.delete_orphans(files).await;
                return Err(error);
            }
        }
        Ok(())
    }

    /// Where the files can be read.
    pub(super) async fn fetch(&self, drafts: &Drafts, names: &[String]) -> Result<Vec<PathBuf>> {
        let mut paths = Vec::with_capacity(names.len());
        for name in names {
            let path = drafts.folder.join(name);
            if let Self::Bucket(bucket) = self {
                bucket.download(name, &path).await?;
            }
            paths.push(path);
        }
        Ok(paths)
    }

    /// Whether a write may be carried out here that this process knows nothing of: one that failed, or one
    /// of another process.
    pub(super) fn may_write_late(&self) -> bool {
        matches!(self, Self::Bucket(_))
    }

    pub(super) async fn has(&self, name: &str) -> Result<bool> {
        match self {
            Self::Folder(folder) => Ok(tokio::fs::try_exists(folder.join(name)).await?),
            Self::Bucket(bucket) => match bucket.store.head(&bucket.key(name)).await {
                Ok(_) => Ok(true),
                Err(StoreError::NotFound { .. }) => Ok(false),
                Err(error) => Err(error.into()),
            },
        }
    }

    /// Every data file, and none below: everything else is not ours to delete.
    pub(super) async fn data_files(&self) -> Result<Vec<Found>> {
        match self {
            Self::Folder(folder) => {
                let folder = folder.clone();
                Ok(blocking(move || list_folder(&folder)).await?)
            }
            Self::Bucket(bucket) => bucket.list().await,
        }
    }

    /// Remembers when files were taken out of the table, for longer than the log does.
    pub(super) async fn mark_taken_out(&self, names: &[String], time: SystemTime) -> Result<()> {
        match self {
            Self::Folder(folder) => {
                let paths: Vec<_> = names.iter().map(|name| folder.join(name)).collect();
                let mark = move || paths.iter().try_for_each(|path| set_time(path, time));
                Ok(blocking(mark).await?)
            }
            Self::Bucket(bucket) => {
                for name in names {
                    let mark = bucket.key(&format!("{name}{TAKEN_OUT_SUFFIX}"));
                    bucket.store.put(&mark, Vec::new().into()).await?;
                }
                Ok(())
            }
        }
    }

    /// Deletes files that no commit names. What cannot be deleted is left to a later vacuum.
    pub(super) async fn delete_orphans(&self, files: &[DataFile]) {
        for file in files {
            self.delete_orphan(&file.name).await;
        }
    }

    /// Says whether the file is gone.
    pub(super) async fn delete_orphan(&self, name: &str) -> bool {
        let deleted = match self {
            Self::Folder(folder) => tokio::fs::remove_file(folder.join(name))
                .await
                .map_err(Into::into),
            Self::Bucket(bucket) => bucket.delete(name).await,
        };
        if let Err(error) = &deleted {
            tracing::warn!(name, %error, "could not delete an unused data file");
        }
        deleted.is_ok()
    }

    /// Makes a new table survive a power failure.
    pub(super) async fn sync(&self) -> Result<()> {
        let Self::Folder(folder) = self else {
            return Ok(());
        };
        let folder = folder.clone();
        let sync = move || {
            sync_folder(&folder)?;
            folder.parent().map_or(Ok(()), sync_folder)
        };
        Ok(blocking(sync).await?)
    }

    /// Deletes all. In a folder the table is gone as a whole; in a bucket its log goes first, and who
    /// was cut short begins again.
    pub(super) async fn remove(&self) -> Result<()> {
        match self {
            Self::Folder(folder) => {
                let folder = folder.clone();
                Ok(blocking(move || remove_folder(&folder)).await?)
            }
            Self::Bucket(bucket) => {
                bucket.delete_below(&bucket.key(LOG_FOLDER)).await?;
                bucket.delete_below(&bucket.prefix).await
            }
        }
    }
}

impl Bucket {
    pub(crate) fn key(&self, name: &str) -> Key {
        name.split('/').fold(self.prefix.clone(), Key::join)
    }

    pub(crate) async fn upload(&self, path: &Path, name: &str) -> Result<()> {
        let source = tokio::fs::File::open(path).await?;
        let mut source = tokio::io::BufReader::with_capacity(PART_BYTES, source);
        let mut target =
            BufWriter::with_capacity(Arc::clone(&self.store), self.key(name), PART_BYTES);
        if let Err(error) = tokio::io::copy_buf(&mut source, &mut target).await {
            // Parts that nobody puts together are kept, unseen, and paid for.
            if let Err(error) = target.abort().await {
                tracing::warn!(name, %error, "parts of an upload are left behind");
            }
            return Err(error.into());
        }
        Ok(target.shutdown().await?)
    }

    pub(crate) async fn download(&self, name: &str, path: &Path) -> Result<()> {
        let mut content = self.store.get(&self.key(name)).await?.into_stream();
        let mut target = tokio::fs::File::create(path).await?;
        while let Some(bytes) = content.try_next().await? {
            target.write_all(&bytes).await?;
        }
        Ok(target.flush().await?)
    }

    async fn list(&self) -> Result<Vec<Found>> {
        let listed = self.store.list_with_delimiter(Some(&self.prefix)).await?;
        let names = listed.objects.iter().filter_map(|object| {
            let name = object.location.filename()?.to_owned();
            Some((name, SystemTime::from(object.last_modified)))
        });
        let times: std::collections::HashMap<String, SystemTime> = names.collect();
        let data_files = times.iter().filter(|(name, _)| name.ends_with(".parquet"));
        Ok(data_files
            .map(|(name, written)| {
                let taken_out = times.get(&format!("{name}{TAKEN_OUT_SUFFIX}"));
                Found {
                    name: name.clone(),
                    since: *taken_out.unwrap_or(written),
                    is_marked: taken_out.is_some(),
                }
            })
            .collect())
    }

    async fn delete(&self, name: &str) -> Result<()> {
        self.store.delete(&self.key(name)).await?;
        let mark = self.key(&format!("{name}{TAKEN_OUT_SUFFIX}"));
        match self.store.delete(&mark).await {
            Ok(()) | Err(StoreError::NotFound { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    pub(crate) async fn delete_below(&self, prefix: &Key) -> Result<()> {
        let listed = self.store.list(Some(prefix));
        let keys = listed.map_ok(|object| object.location).boxed();
        let deleted = self.store.delete_stream(keys);
        Ok(deleted.try_for_each(async |_| Ok(())).await?)
    }
}

fn list_folder(folder: &Path) -> io::Result<Vec<Found>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.ends_with(".parquet") {
            found.push(Found {
                name,
                since: entry.metadata()?.modified()?,
                is_marked: false,
            });
        }
    }
    Ok(found)
}

/// Makes a file as old as its removal. It may stay for longer than the log remembers that, and the time
/// when it was written would be too early.
fn set_time(path: &Path, time: SystemTime) -> io::Result<()> {
    let file = File::open(path)?;
    file.set_modified(time)?;
    file.sync_all()
}

/// Renamed first: a table is there as a whole or not at all.
fn remove_folder(folder: &Path) -> io::Result<()> {
    let aside = folder.with_file_name(format!("{DROPPED_PREFIX}{}", Uuid::new_v4()));
    match std::fs::rename(folder, &aside) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        renamed => renamed?,
    }
    if let Some(root) = folder.parent() {
        sync_folder(root)?;
    }
    std::fs::remove_dir_all(&aside)
}
