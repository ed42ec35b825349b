//! Files that are no tables, beside the histories: those of training datasets.

use std::path::{Path, PathBuf};

use futures::TryStreamExt;

use crate::delta::Bucket;
use crate::{Place, Result};

/// Where files are kept.
#[derive(Debug, Clone)]
pub enum Files {
    Folder(PathBuf),
    Bucket(BucketFiles),
}

impl Files {
    /// `file:///folder`, or `s3://bucket/prefix` (see [`S3Options`](crate::S3Options)). Nothing is asked of it yet.
    pub fn open(url: &str) -> Result<Self> {
        match Place::parse(url)? {
            Place::Folder(path) => Ok(Self::Folder(path.to_owned())),
            Place::Bucket(options) => Ok(Self::Bucket(BucketFiles(Bucket {
                store: options.connect()?,
                prefix: options.key(),
            }))),
        }
    }
}

/// Files below a prefix of a bucket. Names have slashes, as paths do.
#[derive(Debug, Clone)]
pub struct BucketFiles(Bucket);

impl BucketFiles {
    /// It is there as a whole or not at all.
    pub async fn upload(&self, path: &Path, name: &str) -> Result<()> {
        self.0.upload(path, name).await
    }

    pub async fn download(&self, name: &str, path: &Path) -> Result<()> {
        self.0.download(name, path).await
    }

    /// The names of all files below a folder, in order.
    pub async fn list(&self, folder: &str) -> Result<Vec<String>> {
        let listed = self.0.store.list(Some(&self.0.key(folder)));
        let mut names: Vec<String> = listed
            .map_ok(|object| self.name(object.location.as_ref()))
            .try_collect()
            .await?;
        names.sort_unstable();
        Ok(names)
    }

    /// Removes all files below a folder.
    pub async fn remove(&self, folder: &str) -> Result<()> {
        self.0.delete_below(&self.0.key(folder)).await
    }

    fn name(&self, key: &str) -> String {
        let prefix: &str = self.0.prefix.as_ref();
        let below = key.strip_prefix(prefix).unwrap_or(key);
        below.trim_start_matches('/').to_owned()
    }
}
