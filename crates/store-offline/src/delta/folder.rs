//! A local folder whose writes are on the disk before they can be seen.
//!
//! Delta's own store for local folders leaves the flush to the operating system, so that a power
//! failure can leave a commit whose name is there and whose content is not: the table would be
//! unreadable. Only the log is written through here; data files are flushed by who writes them.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::ops::Range;
use std::path::{Path as FilePath, PathBuf};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

use super::blocking;

#[derive(Debug, Default)]
pub(super) struct DurableFolder {
    reads: LocalFileSystem,
}

impl fmt::Display for DurableFolder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DurableFolder")
    }
}

#[async_trait]
impl ObjectStore for DurableFolder {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        opts: PutOptions,
    ) -> Result<PutResult> {
        let target = self.reads.path_to_filesystem(location)?;
        let path = location.to_string();
        blocking(move || write_durably(&target, &payload, &opts.mode))
            .await
            .map_err(|source| match source.kind() {
                ErrorKind::AlreadyExists => Error::AlreadyExists {
                    path,
                    source: Box::new(source),
                },
                _ => Error::Generic {
                    store: "DurableFolder",
                    source: Box::new(source),
                },
            })?;
        Ok(PutResult {
            e_tag: None,
            version: None,
        })
    }

    async fn put_multipart_opts(
        &self,
        _location: &Path,
        _opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        Err(Error::NotImplemented {
            operation: "put_multipart_opts".to_owned(),
            implementer: self.to_string(),
        })
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.reads.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.reads.get_ranges(location, ranges).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.reads.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.reads.list(prefix)
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.reads.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.reads.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.reads.copy_opts(from, to, options).await
    }
}

/// Makes new names in a folder survive a power failure.
pub(super) fn sync_folder(folder: &FilePath) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Writes beside the target, flushes, then gives the content its name in one step.
fn write_durably(target: &FilePath, payload: &PutPayload, mode: &PutMode) -> io::Result<()> {
    let folder = target
        .parent()
        .ok_or_else(|| io::Error::new(ErrorKind::InvalidInput, "a file needs a folder"))?;
    std::fs::create_dir_all(folder)?;
    let (mut file, staged) = stage(target)?;
    let named = payload
        .iter()
        .try_for_each(|part| file.write_all(part))
        .and_then(|()| file.sync_all())
        .and_then(|()| match mode {
            PutMode::Create => std::fs::hard_link(&staged, target),
            PutMode::Overwrite => std::fs::rename(&staged, target),
            PutMode::Update(_) => Err(ErrorKind::Unsupported.into()),
        });
    if !matches!((&named, mode), (Ok(()), PutMode::Overwrite)) {
        std::fs::remove_file(&staged)?;
    }
    named?;
    sync_folder(folder)
}

/// A new file next to the target. Listings skip names that end in `#` and digits.
fn stage(target: &FilePath) -> io::Result<(File, PathBuf)> {
    let mut attempt = 0_u32;
    loop {
        let mut name = target.as_os_str().to_owned();
        name.push(format!("#{attempt}"));
        let staged = PathBuf::from(name);
        match OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&staged)
        {
            Ok(file) => return Ok((file, staged)),
            // Left behind by a crash, or in use by another writer.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => attempt += 1,
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::TryStreamExt;
    use object_store::ObjectStoreExt;

    #[tokio::test]
    async fn a_name_is_given_once_and_nothing_is_left_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let store = DurableFolder::default();
        let path = Path::from_absolute_path(folder.path().join("log").join("0.json")).unwrap();
        let create = || PutOptions::from(PutMode::Create);
        store
            .put_opts(&path, "first".into(), create())
            .await
            .unwrap();
        let refused = store.put_opts(&path, "second".into(), create()).await;
        assert!(
            matches!(refused, Err(Error::AlreadyExists { .. })),
            "{refused:?}"
        );
        let read = store.get(&path).await.unwrap().bytes().await.unwrap();
        assert_eq!(read, "first");
        store.put(&path, "third".into()).await.unwrap();
        let read = store.get(&path).await.unwrap().bytes().await.unwrap();
        assert_eq!(read, "third");
        let names: Vec<_> = std::fs::read_dir(folder.path().join("log"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(names, ["0.json"]);
    }

    #[tokio::test]
    async fn a_file_left_by_a_crash_is_neither_listed_nor_in_the_way() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("0.json#0"), "torn").unwrap();
        let store = DurableFolder::default();
        let root = Path::from_absolute_path(folder.path()).unwrap();
        let path = root.clone().join("0.json");
        store.put(&path, "whole".into()).await.unwrap();
        let listed: Vec<_> = store.list(Some(&root)).try_collect().await.unwrap();
        assert_eq!(listed.len(), 1);
        assert_eq!(listed[0].location, path);
    }
}
