//! The port to the newest row per entity key, and its backends.
//!
//! Keys and values are bytes (`wire::row` gives them meaning). The store decides which row of a key
//! is the newest by [`RowVersion`]; it does not know the clock: who reads decides whether a row is
//! expired. The entry type is [`OnlineStore`], opened from a URL by [`open`].

pub mod conformance;
mod embedded;
mod error;
mod scylla;

use std::fmt::Debug;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::future::BoxFuture;
use twinfold_model::{EventTime, RowVersion, SchemaId, Ttl};

pub use embedded::{EmbeddedOnline, Options as EmbeddedOptions, Stats as EmbeddedStats};
pub use error::{Error, Result};
// Said with `self`, because the driver's crate has the same name.
pub use self::scylla::{
    Consistency as ScyllaConsistency, Credentials as ScyllaCredentials, ScyllaOnline, ScyllaOptions,
};

/// Opens the backend that `url` names: `file:///folder` for the embedded engine,
/// `scylla://host:port,host:port/keyspace?setting=value` for a cluster (see [`ScyllaOptions`]).
pub fn open(url: &str) -> BoxFuture<'_, Result<Arc<dyn OnlineStore>>> {
    // Boxed: compiled here, and not by all who open a store.
    Box::pin(open_backend(url))
}

async fn open_backend(url: &str) -> Result<Arc<dyn OnlineStore>> {
    match Place::parse(url)? {
        Place::Folder(path) => Ok(Arc::new(EmbeddedOnline::open(path).await?)),
        Place::Cluster(options) => Ok(Arc::new(ScyllaOnline::connect(*options).await?)),
    }
}

/// Fails where [`open`] would without asking anybody: over a scheme or a setting.
pub fn check(url: &str) -> Result<()> {
    Place::parse(url).map(drop)
}

/// What a url names.
enum Place<'a> {
    Folder(&'a Path),
    Cluster(Box<ScyllaOptions>),
}

impl<'a> Place<'a> {
    fn parse(url: &'a str) -> Result<Self> {
        match url.split_once("://") {
            Some(("file", path)) => Ok(Self::Folder(path.as_ref())),
            Some(("scylla", rest)) => Ok(Self::Cluster(Box::new(ScyllaOptions::parse(rest)?))),
            // The rest may hold secrets: of another store, for what we know.
            _ => Err(Error::UnsupportedUrl {
                found: url
                    .split_once("://")
                    .map_or_else(String::new, |(scheme, _)| format!("{scheme}://…")),
            }),
        }
    }
}

/// How a table is kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TableConfig {
    /// Rows whose event time is further back than this may be dropped to free space. Advice to the
    /// store: a reader checks for itself.
    pub ttl: Option<Ttl>,
}

/// One record of a key, on its way into the store.
#[derive(Debug, Clone)]
pub struct Upsert {
    /// Canonical key bytes, at least one.
    pub key: Bytes,
    pub version: RowVersion,
    pub schema: SchemaId,
    /// The Avro body as it stood in the topic; empty for a delete.
    pub body: Bytes,
}

/// The newest row of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRow {
    pub event_time: EventTime,
    /// `wire::row` value bytes: position, schema id, Avro body.
    pub value: Bytes,
}

/// What an [`upsert`](OnlineStore::upsert) did. A backend whose servers decide what is newest does not
/// ask them: to it a record is applied unless it was left out for a newer one of the same call.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct UpsertStats {
    /// Records that became the newest of their key.
    pub applied: u64,
    /// Records that were not newer than what the store had.
    pub superseded: u64,
}

/// One page of a [`scan`](OnlineStore::scan).
#[derive(Debug, Clone, Default)]
pub struct ScanPage {
    /// Live rows; deleted keys are left out.
    pub rows: Vec<(Bytes, StoredRow)>,
    /// Where to go on; `None` at the end.
    pub cursor: Option<Bytes>,
}

/// The newest row per key, per table.
///
/// Guarantees owed by every backend:
/// - **Newest wins**: after any sequence of upserts the row of a key is the one with the greatest
///   [`RowVersion`], whatever the order and however often each was written. A delete hides rows that
///   are not newer, and is remembered so that an older row that comes late stays hidden: for ever, or
///   as long as the backend says.
/// - **Idempotence**: writing the same records again changes nothing.
/// - **Atomicity per row**: a reader sees a row whole or not at all. A batch is not atomic.
/// - **Read your write**: a row is readable when `upsert` has returned.
/// - **Durability**: what was written before [`flush`](Self::flush) returned survives the machine's
///   end; what was not may be lost with it, never damaged.
/// - **Missing** means: no row, or a delete is the newest.
#[async_trait]
pub trait OnlineStore: Debug + Send + Sync {
    /// Makes the table, or updates its configuration.
    async fn create_table(&self, table: &str, config: TableConfig) -> Result<()>;

    /// Forgets the table and frees its space. Not there: nothing happens.
    async fn drop_table(&self, table: &str) -> Result<()>;

    /// Lets go of what this process remembers of a table that another has dropped. One that is there after all
    /// is looked up again. Whoever remembers nothing does nothing here.
    fn forget(&self, _table: &str) {}

    /// Writes a batch; several records of one key may be among them.
    async fn upsert(&self, table: &str, rows: &[Upsert]) -> Result<UpsertStats>;

    /// The newest row of each key, in the order of the keys.
    async fn read(&self, table: &str, keys: &[&[u8]]) -> Result<Vec<Option<StoredRow>>>;

    /// All live rows of a table, page by page, in no particular order.
    async fn scan(&self, table: &str, cursor: Option<Bytes>, rows_max: usize) -> Result<ScanPage>;

    /// Forgets rows of tables with a TTL that are expired at `now`, and deletes as old as these unless
    /// the backend forgets deletes after a time of its own. May be put off when it was done not long
    /// before. Tables have their turn whatever happens to others; the first failure is told. A caller
    /// that does not wait for the end may drop the call: what it left is found by the next one.
    async fn expire(&self, now: EventTime) -> Result<()>;

    /// Makes all that was written durable. A backend that cannot, and does not know what it has lost,
    /// refuses further upserts and flushes: [`Error::Broken`].
    async fn flush(&self) -> Result<()>;

    /// Flushes, refuses further writes, releases files. Idempotent.
    async fn close(&self) -> Result<()>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_of_no_backend_is_refused_without_telling_secrets() {
        let refused = check("redis://user:hush@a:1/ks").expect_err("no such backend");
        let message = refused.to_string();
        assert!(message.contains("`redis://…`"), "{message}");
        assert!(message.contains("file:///"), "{message}");
        assert!(message.contains("scylla://"), "{message}");
        let refused = check("/folder").expect_err("no scheme");
        assert!(refused.to_string().contains("scylla://"), "{refused}");
    }

    #[test]
    fn a_url_is_checked_without_asking_anybody() {
        check("file:///online").expect("a folder");
        check("scylla://nowhere:1/ks?replication=1").expect("a cluster");
        let refused = check("scylla://nowhere:1/ks?replication=none").expect_err("no number");
        assert!(refused.to_string().contains("`replication`"), "{refused}");
    }
}
