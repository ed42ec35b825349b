//! Where the files of one dataset are: in a folder of this machine, or in a bucket.
//!
//! They are written into a local folder and read from local files, by the same code for both. Into a
//! bucket they are uploaded when all are written: who reads a dataset knows of it from the registry,
//! which hears of it only then.

use std::fmt;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use futures::{StreamExt, TryStreamExt, stream};
use tempfile::TempDir;
use twinfold_model::{DatasetFormat, DatasetSpec, FeatureType, TrainingDataset};
use twinfold_store_offline::{BucketFiles, Files};

use super::digest::{ContentDigest, DatasetDigest};
use super::read::{read_dataset, read_files, schema_of};
use super::split::Splitter;
use super::write::{unfinished_folder, write_dataset};
use super::{Written, extension};
use crate::execute::Rows;
use crate::{Error, Result};

/// The place of one dataset.
#[derive(Debug, Clone)]
pub enum DatasetPlace {
    Folder(PathBuf),
    Bucket {
        files: BucketFiles,
        /// The folder in the bucket.
        location: String,
    },
}

impl fmt::Display for DatasetPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(folder) => write!(f, "{}", folder.display()),
            Self::Bucket { location, .. } => f.write_str(location),
        }
    }
}

impl DatasetPlace {
    /// A location below the place of all datasets.
    pub fn below(files: &Files, location: &str) -> Self {
        match files {
            Files::Folder(root) => Self::Folder(root.join(location)),
            Files::Bucket(files) => Self::Bucket {
                files: files.clone(),
                location: location.to_owned(),
            },
        }
    }

    /// Refuses a place where there is something: [`Error::DatasetExists`].
    pub async fn check_free(&self) -> Result<()> {
        let is_taken = match self {
            Self::Folder(folder) => tokio::fs::try_exists(folder)
                .await
                .map_err(Error::io(folder))?,
            Self::Bucket { files, location } => !files.list(location).await?.is_empty(),
        };
        if is_taken {
            return Err(Error::DatasetExists { path: self.path() });
        }
        Ok(())
    }

    /// Writes the dataset. In a folder it appears at once when all is written, and a failure leaves
    /// nothing; in a bucket a failure leaves files, which [`remove`](Self::remove) removes.
    pub async fn write(&self, rows: Rows, spec: &DatasetSpec) -> Result<Written> {
        let (files, location) = match self {
            Self::Folder(folder) => return write_dataset(rows, spec, folder).await,
            Self::Bucket { files, location } => (files, location),
        };
        let spool = spool()?;
        let folder = spool.path().join("dataset");
        let written = write_dataset(rows, spec, &folder).await?;
        for file in &written.files {
            let name = format!("{location}/{}", file.display());
            files.upload(&folder.join(file), &name).await?;
        }
        Ok(written)
    }

    /// One split in the order of its rows.
    pub async fn read(
        &self,
        format: DatasetFormat,
        split: &str,
        features: &[(String, FeatureType)],
    ) -> Result<Rows> {
        let (files, location) = match self {
            Self::Folder(folder) => return read_dataset(folder, format, split, features),
            Self::Bucket { files, location } => (files.clone(), location),
        };
        let suffix = format!(".{}", extension(format));
        let mut names = files.list(&format!("{location}/{split}")).await?;
        names.retain(|name| name.ends_with(&suffix));
        if names.is_empty() {
            return Err(Error::UnknownSplit {
                path: self.path(),
                split: split.to_owned(),
            });
        }
        let schema = schema_of(features);
        let wanted = schema.clone();
        let fetched = stream::iter(names).then(move |name| fetch(files.clone(), name));
        let batches = fetched
            .map_ok(move |fetched| {
                let paths = vec![fetched.path.clone()];
                read_files(paths, format, wanted.clone(), Some(fetched.spool))
            })
            .try_flatten();
        Ok(Rows::new(schema, batches))
    }

    /// The digest of the files as they are now.
    pub async fn digest(&self, dataset: &TrainingDataset) -> Result<DatasetDigest> {
        let spec = &dataset.spec;
        let mut splits = Vec::new();
        for name in Splitter::new(&spec.splits, spec.seed).names() {
            let mut rows = self.read(spec.format, name, &dataset.features).await?;
            let mut content = ContentDigest::new(rows.schema())?;
            while let Some(batch) = rows.next().await {
                content.update(&batch?)?;
            }
            splits.push(content.finish(name));
        }
        Ok(DatasetDigest { splits })
    }

    /// Removes the dataset, also one that was never finished. Nobody may be writing it.
    pub async fn remove(&self) -> Result<()> {
        match self {
            Self::Folder(folder) => {
                remove_folder(&unfinished_folder(folder)?).await?;
                remove_folder(folder).await
            }
            Self::Bucket { files, location } => Ok(files.remove(location).await?),
        }
    }

    /// For messages.
    fn path(&self) -> PathBuf {
        PathBuf::from(self.to_string())
    }
}

/// A file of a bucket in a folder of its own, which goes with it.
struct Fetched {
    path: PathBuf,
    spool: TempDir,
}

async fn fetch(files: BucketFiles, name: String) -> Result<Fetched> {
    let spool = spool()?;
    let path = spool.path().join("part");
    files.download(&name, &path).await?;
    Ok(Fetched { path, spool })
}

fn spool() -> Result<TempDir> {
    let spool = tempfile::Builder::new().prefix("twinfold-").tempdir();
    spool.map_err(Error::io(std::env::temp_dir()))
}

async fn remove_folder(folder: &Path) -> Result<()> {
    match tokio::fs::remove_dir_all(folder).await {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(Error::io(folder)(error)),
        _ => Ok(()),
    }
}
