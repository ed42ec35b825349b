//! A local folder whose writes are on the disk before they can be seen.
//!
//! Delta's own store for local folders leaves the flush to the operating system, so that a power
//! failure can leave a commit whose name is there and whose content is not: the table would be
//! unreadable. Only the log is written through here; data files are flushed by who writes them.

use std::fmt;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::ops::Range;
use std::path::Path as FilePath;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

use super::blocking;
use super::staged::{Staged, Upload};

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
        let written = blocking(move || {
            let staged = Staged::beside(target)?;
            staged.write(&payload)?;
            staged.publish(&opts.mode)
        });
        written.await.map_err(|source| match source.kind() {
            ErrorKind::AlreadyExists => Error::AlreadyExists {
                path,
                source: Box::new(source),
            },
            _ => failed(source),
        })?;
        Ok(PutResult {
            e_tag: None,
            version: None,
        })
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        _opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let target = self.reads.path_to_filesystem(location)?;
        let staged = blocking(move || Staged::beside(target)).await;
        Ok(Box::new(Upload::new(staged.map_err(failed)?)))
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

pub(super) fn failed(source: io::Error) -> Error {
    Error::Generic {
        store: "DurableFolder",
        source: Box::new(source),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::TryStreamExt;
    use object_store::buffered::BufWriter;
    use object_store::{ObjectStoreExt, PutMode};
    use std::sync::Arc;
    use tokio::io::AsyncWriteExt;

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
        assert_eq!(names(&folder.path().join("log")), ["0.json"]);
    }

    fn names(folder: &FilePath) -> Vec<std::ffi::OsString> {
        let entries = std::fs::read_dir(folder).unwrap();
        entries.map(|entry| entry.unwrap().file_name()).collect()
    }

    /// Checkpoints are written like this, in parts once they outgrow the buffer of 10 MiB.
    #[tokio::test]
    async fn a_file_larger_than_a_buffer_comes_in_parts_and_as_a_whole() {
        let folder = tempfile::tempdir().unwrap();
        let store: Arc<dyn ObjectStore> = Arc::new(DurableFolder::default());
        let root = Path::from_absolute_path(folder.path()).unwrap();
        let path = root.clone().join("1.checkpoint.parquet");
        store.put(&path, "an older one".into()).await.unwrap();
        let content: Vec<u8> = (0..27_u32 << 20).map(|at| (at >> 10) as u8).collect();
        let mut writer = BufWriter::new(Arc::clone(&store), path.clone());
        for part in content.chunks(3_000_000) {
            writer.write_all(part).await.unwrap();
        }
        let listed: Vec<_> = store.list(Some(&root)).try_collect().await.unwrap();
        assert_eq!(listed.len(), 1, "{listed:?}");
        let read = store.get(&path).await.unwrap().bytes().await.unwrap();
        assert_eq!(read, "an older one", "until all is written");
        writer.shutdown().await.unwrap();
        let read = store.get(&path).await.unwrap().bytes().await.unwrap();
        assert!(read == content, "found {} bytes", read.len());
        assert_eq!(names(folder.path()), ["1.checkpoint.parquet"]);
    }

    #[tokio::test]
    async fn an_upload_that_is_given_up_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let store = DurableFolder::default();
        let path = Path::from_absolute_path(folder.path().join("log").join("1.parquet")).unwrap();
        let mut upload = store.put_multipart(&path).await.unwrap();
        upload.put_part("a part".into()).await.unwrap();
        upload.abort().await.unwrap();
        upload.complete().await.unwrap_err();
        let mut upload = store.put_multipart(&path).await.unwrap();
        upload.put_part("a part".into()).await.unwrap();
        drop(upload);
        assert!(names(&folder.path().join("log")).is_empty());
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
