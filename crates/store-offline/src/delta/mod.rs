//! Delta tables below a local folder or in a bucket: `root/<table>`, one handle for each.

mod append;
mod bounds;
mod columns;
mod commit_info;
mod data_file;
mod embeddings;
mod folder;
mod history;
mod lifecycle;
mod maintenance;
mod place;
mod s3;
mod scan;
mod staged;
mod table;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use twinfold_model::{AsOf, Commit, EventTime, Positions};

use object_store::ObjectStore;
use object_store::path::Path as Key;
use url::Url;

use self::folder::DurableFolder;
pub(crate) use self::place::Bucket;
use self::place::Place;
pub use self::s3::{S3Credentials, S3Options};
use self::table::Table;
use crate::{AppendRequest, Error, OfflineStore, Result, Snapshot};

/// A table that is being deleted has this before its name.
const DROPPED_PREFIX: &str = ".dropped-";

/// The history as Delta tables in a folder of this machine or in a bucket.
///
/// Appends of one process to a table wait for each other. When another process writes to it too, the
/// second of two commits is tried again behind the first, or fails; nothing is lost or doubled.
#[derive(Debug)]
pub struct DeltaStore {
    root: Root,
    /// Stays when a table is dropped, so that whoever still holds a handle sees the drop, and goes when it is
    /// forgotten.
    tables: Mutex<HashMap<String, Arc<Table>>>,
}

#[derive(Debug)]
enum Root {
    Folder(PathBuf),
    Bucket {
        store: Arc<dyn ObjectStore>,
        url: Url,
        key: Key,
    },
}

impl Root {
    /// The place of a table's files, its address, and the store that both are in.
    fn table(&self, name: &str) -> Result<(Place, Url, Arc<dyn ObjectStore>)> {
        match self {
            Self::Folder(root) => {
                let folder = root.join(name);
                let url = Url::from_directory_path(&folder).map_err(|()| {
                    std::io::Error::other(format!("{} is not absolute", root.display()))
                })?;
                Ok((
                    Place::Folder(folder),
                    url,
                    Arc::new(DurableFolder::default()),
                ))
            }
            Self::Bucket { store, url, key } => {
                let unsupported = |_| Error::UnsupportedUrl {
                    found: url.to_string(),
                };
                let table = url.join(&format!("{name}/")).map_err(unsupported)?;
                let bucket = Bucket {
                    store: Arc::clone(store),
                    prefix: key.clone().join(name),
                };
                Ok((Place::Bucket(bucket), table, Arc::clone(store)))
            }
        }
    }
}

impl DeltaStore {
    /// Tables in a bucket. Nothing is asked of it yet.
    pub fn in_bucket(options: &S3Options) -> Result<Self> {
        let root = Root::Bucket {
            store: options.connect()?,
            url: options.root()?,
            key: options.key(),
        };
        Ok(Self {
            root,
            tables: Mutex::default(),
        })
    }

    /// Tables in a folder, which is made when it is not there.
    pub async fn open(root: &Path) -> Result<Self> {
        let root = root.to_owned();
        let root = blocking(move || {
            std::fs::create_dir_all(&root)?;
            delete_dropped(&root)?;
            root.canonicalize()
        })
        .await?;
        Ok(Self {
            root: Root::Folder(root),
            tables: Mutex::default(),
        })
    }

    fn tables(&self) -> MutexGuard<'_, HashMap<String, Arc<Table>>> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn table(&self, name: &str) -> Result<Arc<Table>> {
        let mut tables = self.tables();
        if let Some(table) = tables.get(name) {
            return Ok(table.clone());
        }
        check_name(name)?;
        let table = Arc::new(Table::new(&self.root, name)?);
        tables.insert(name.to_owned(), table.clone());
        Ok(table)
    }
}

#[async_trait]
impl OfflineStore for DeltaStore {
    async fn create_table(&self, table: &str, schema: SchemaRef) -> Result<()> {
        self.table(table)?.create(schema).await
    }

    async fn drop_table(&self, table: &str) -> Result<()> {
        self.table(table)?.remove().await
    }

    fn forget(&self, table: &str) {
        self.tables().remove(table);
    }

    async fn append(&self, table: &str, request: AppendRequest) -> Result<Commit> {
        self.table(table)?.append(request).await
    }

    async fn positions(&self, table: &str) -> Result<Positions> {
        Ok(self.table(table)?.head().await?.positions.clone())
    }

    async fn commits(&self, table: &str, before: Option<u64>, limit: usize) -> Result<Vec<Commit>> {
        self.table(table)?.commits(before, limit).await
    }

    async fn snapshot(&self, table: &str, as_of: Option<AsOf>) -> Result<Snapshot> {
        self.table(table)?.snapshot(as_of).await
    }

    async fn compact(&self, table: &str) -> Result<Option<u64>> {
        self.table(table)?.compact().await
    }

    async fn vacuum(&self, table: &str, retention_hours: u64, pinned: &[u64]) -> Result<u64> {
        self.table(table)?.vacuum(retention_hours, pinned).await
    }
}

/// The name becomes the name of a folder.
fn check_name(name: &str) -> Result<()> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
    if name.is_empty() || name.starts_with('.') || !name.bytes().all(plain) {
        return Err(Error::InvalidTableName {
            found: name.to_owned(),
        });
    }
    Ok(())
}

/// Finishes drops that were cut short.
fn delete_dropped(root: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(root)? {
        let entry = entry?;
        if entry
            .file_name()
            .to_string_lossy()
            .starts_with(DROPPED_PREFIX)
        {
            std::fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

/// Runs what blocks or computes for long away from the threads that answer requests.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(error) => panic!("blocking work is never cancelled: {error}"),
        },
    }
}

/// Commit times are this store's to give.
fn now() -> EventTime {
    let since_epoch = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    EventTime::from_micros(i64::try_from(since_epoch.as_micros()).unwrap_or(i64::MAX))
}
