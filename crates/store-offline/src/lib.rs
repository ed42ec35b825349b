//! The port to the full history: one append-only Delta table per feature group.
//!
//! The only crate that knows Delta. A table holds every version of every row, each with its position
//! in the topic; the newest row and the point-in-time row are computed by who reads (`training`).
//! The entry type is [`OfflineStore`], opened from a URL by [`open`]; [`Files`] are what lies beside it.

pub mod conformance;
mod delta;
mod error;
mod files;

use std::fmt::Debug;
use std::path::Path;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use datafusion::catalog::TableProvider;
use futures::future::BoxFuture;
use twinfold_model::{AsOf, Commit, Positions};

pub use delta::{DeltaStore, S3Credentials, S3Options};
pub use error::{Error, Result};
pub use files::{BucketFiles, Files};

/// Opens the backend that `url` names: `file:///folder` for Delta tables below a local folder,
/// `s3://bucket/prefix` for those in a bucket (see [`S3Options`]).
pub fn open(url: &str) -> BoxFuture<'_, Result<Arc<dyn OfflineStore>>> {
    // Boxed: compiled here, and not by all who open a store.
    Box::pin(open_backend(url))
}

async fn open_backend(url: &str) -> Result<Arc<dyn OfflineStore>> {
    match Place::parse(url)? {
        Place::Folder(path) => Ok(Arc::new(DeltaStore::open(path).await?)),
        Place::Bucket(options) => Ok(Arc::new(DeltaStore::in_bucket(&options)?)),
    }
}

/// Fails where [`open`] and [`Files::open`] would without asking anybody: over a scheme or a setting.
pub fn check(url: &str) -> Result<()> {
    Place::parse(url).map(drop)
}

/// What a url names.
pub(crate) enum Place<'a> {
    Folder(&'a Path),
    Bucket(S3Options),
}

impl<'a> Place<'a> {
    pub(crate) fn parse(url: &'a str) -> Result<Self> {
        match url.split_once("://") {
            Some(("file", path)) => Ok(Self::Folder(path.as_ref())),
            Some(("s3", _)) => Ok(Self::Bucket(S3Options::parse(url)?)),
            // The rest may hold secrets: of another store, for what we know.
            _ => Err(Error::UnsupportedUrl {
                found: url
                    .split_once("://")
                    .map_or_else(String::new, |(scheme, _)| format!("{scheme}://…")),
            }),
        }
    }
}

/// Rows to append and the progress they stand for, committed together or not at all.
#[derive(Debug, Clone)]
pub struct AppendRequest {
    /// In the table's schema (see [`wire::record::history_schema`](twinfold_wire::record)).
    pub batches: Vec<RecordBatch>,
    /// Per partition of `positions`, where the rows begin: what the writer knows the table to contain.
    /// From the beginning when it names none.
    pub follows: Positions,
    /// Per partition, the first offset after those contained. Only of partitions that this append moves.
    pub positions: Positions,
    pub rows_upserted: u64,
    pub rows_deleted: u64,
}

/// A table frozen at one commit.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// The table's.
    pub name: String,
    pub commit: u64,
    /// What it contains: per partition, the first offset that it does not.
    pub positions: Positions,
    pub schema: SchemaRef,
    /// Scans with projection and filter push-down.
    pub table: Arc<dyn TableProvider>,
}

/// The history of every feature group.
///
/// Guarantees owed by every backend:
/// - **Atomicity**: [`append`](Self::append) adds all rows with their positions as one commit, or
///   nothing.
/// - **Exactly once**: an append is refused with [`Error::AlreadyCommitted`] when the table has gone
///   beyond where its rows begin, in any of its partitions. So a retry after a lost answer adds nothing,
///   nor does a writer that believes in a partition which another has taken over. That holds for all
///   writers of a table, in whatever process they are.
/// - **Immutable past**: reading at a commit gives the same rows for ever, until
///   [`vacuum`](Self::vacuum); a pinned commit is not vacuumed.
/// - **Order of commits**: ids increase by one per commit; their times never decrease.
#[async_trait]
pub trait OfflineStore: Debug + Send + Sync {
    /// Makes the table, or adds the columns that it lacks (as nullable). Other differences:
    /// [`Error::SchemaMismatch`].
    async fn create_table(&self, table: &str, schema: SchemaRef) -> Result<()>;

    /// Forgets the table and deletes its files. Not there: nothing happens.
    async fn drop_table(&self, table: &str) -> Result<()>;

    /// Lets go of what this process remembers of a table that another has dropped. One that is there after all
    /// is looked up again. Whoever remembers nothing does nothing here.
    fn forget(&self, _table: &str) {}

    /// Appends as one commit.
    async fn append(&self, table: &str, request: AppendRequest) -> Result<Commit>;

    /// Per partition, the first offset that the table does not contain.
    async fn positions(&self, table: &str) -> Result<Positions>;

    /// Commits, the newest first, at most `limit`; with `before` those that came before this one. Commits
    /// without rows (creation, evolution) count too.
    async fn commits(&self, table: &str, before: Option<u64>, limit: usize) -> Result<Vec<Commit>>;

    /// The table at a commit or a commit time; the newest when `None`.
    async fn snapshot(&self, table: &str, as_of: Option<AsOf>) -> Result<Snapshot>;

    /// Merges small files into larger ones without changing what any query answers; returns the commit
    /// if there was something to merge. It merges only so much that appends need not wait for long: more
    /// may be left. Such a commit is the only kind without rows that says it wrote bytes.
    async fn compact(&self, table: &str) -> Result<Option<u64>>;

    /// Deletes files that neither the newest commit nor a pinned one needs, nor any commit has needed for
    /// `retention_hours`. Where other processes write too, one that no commit has named yet stays for an
    /// hour at least. Returns how many.
    async fn vacuum(&self, table: &str, retention_hours: u64, pinned: &[u64]) -> Result<u64>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_checked_without_asking_anybody() {
        for url in [
            "file:///histories",
            "s3://bucket",
            "s3://bucket/prefix?region=here",
        ] {
            check(url).expect(url);
        }
        for (url, wanted) in [
            ("gs://bucket?secret=hush", "`gs://…` is not supported"),
            ("s3://", "`s3://` is not supported"),
            ("s3://bucket?colour=red", "found `colour`"),
            ("s3://bucket?access_key_id=me", "both or none"),
        ] {
            let error = check(url).expect_err(url).to_string();
            assert!(error.contains(wanted), "{url}: {error}");
            assert!(!error.contains("hush"), "{url}: {error}");
        }
    }
}
