//! Tables in a cluster that speaks CQL: ScyllaDB, or Cassandra 5. Nothing relies on what only one of
//! them has.
//!
//! **The servers decide what is newest, and nobody reads before writing.** A table is a key and a value,
//! and each record is written with its event time as its CQL timestamp, so that its order is
//! [`RowVersion`](twinfold_model::RowVersion)'s:
//! - the later timestamp wins, in whatever order records arrive and however often;
//! - of equal ones a delete wins over a value;
//! - of two values the larger wins, and a value begins with its offset, big-endian.
//!
//! A row is written with `UPDATE`: `INSERT` would leave, besides the value, a mark that the row exists.
//! So a key is there when its value is, and each write is atomic.
//!
//! **Rows have no TTL of the servers.** At equal timestamps CQL looks at when values expire before it
//! looks at the values, and counts that from the second in which a value was written. Of two rows with
//! one event time, the rule in groups whose event time is a date, the one that happened to be written
//! last would win, and a replay could bring the superseded one back for good. Instead
//! [`expire`](OnlineStore::expire) reads keys and timestamps of the tables with a TTL and deletes each
//! expired row at its own event time. The servers read a whole table for that: one process of a
//! deployment is enough to call it, and calls sooner than a quarter of the TTL (at least ten minutes)
//! after the last one that went through do nothing. Where that is too dear and ties do not matter, an
//! operator can give a table a `default_time_to_live`; this backend leaves it alone.
//!
//! **Deletes are forgotten.** The servers drop a delete, also that of an expired row, when `gc_grace_s`
//! have gone by since it was written (ten days unless set). A row that is older than its delete and
//! arrives later than that is shown. The cluster has to be repaired more often than that, as ever.
//!
//! **The request is the cost.** Records of one replica travel in one unlogged batch to that replica,
//! which is 2 to 3 times faster than one by one; several keys are read likewise. A batch that the
//! servers refuse is halved, one that they are too slow for is taken apart.
//!
//! An acknowledged write is in the commit logs of as many replicas as the consistency asks for; when
//! those reach the disk is the cluster's setting. Nothing is held back here, so that `flush` has nothing
//! to do.
//!
//! In reading order: `options` says where and how, `cluster` connects, `catalog` knows the tables,
//! `table` the statements of one, `plan` what travels together and `replica` where to; `write`, `read`
//! and `expiry` do the work, and `failure` tells what to do when it fails.

mod catalog;
mod cluster;
mod expiry;
mod failure;
mod options;
mod plan;
mod read;
mod replica;
mod table;
mod write;

use std::sync::{Arc, PoisonError, RwLock};

use async_trait::async_trait;
use bytes::Bytes;
use twinfold_model::EventTime;

use crate::{Error, OnlineStore, Result, ScanPage, StoredRow, TableConfig, Upsert, UpsertStats};
use cluster::Cluster;

pub use options::{Consistency, Credentials, ScyllaOptions};

/// The online store in a cluster.
#[derive(Debug)]
pub struct ScyllaOnline {
    /// `None` when the store is closed. What is under way then is still carried out.
    cluster: RwLock<Option<Arc<Cluster>>>,
}

impl ScyllaOnline {
    /// Connects, and makes the keyspace when it is missing. Fails when no node answers.
    pub async fn connect(options: ScyllaOptions) -> Result<Self> {
        let cluster = Cluster::connect(options).await?;
        Ok(Self {
            cluster: RwLock::new(Some(Arc::new(cluster))),
        })
    }

    fn cluster(&self) -> Result<Arc<Cluster>> {
        let cluster = self.cluster.read().unwrap_or_else(PoisonError::into_inner);
        cluster.clone().ok_or(Error::Closed)
    }
}

#[async_trait]
impl OnlineStore for ScyllaOnline {
    async fn create_table(&self, table: &str, config: TableConfig) -> Result<()> {
        self.cluster()?.create_table(table, config).await
    }

    async fn drop_table(&self, table: &str) -> Result<()> {
        self.cluster()?.drop_table(table).await
    }

    fn forget(&self, table: &str) {
        // A closed store remembers nothing.
        if let Ok(cluster) = self.cluster() {
            cluster.forget(table);
        }
    }

    async fn upsert(&self, table: &str, rows: &[Upsert]) -> Result<UpsertStats> {
        self.cluster()?.upsert(table, rows).await
    }

    async fn read(&self, table: &str, keys: &[&[u8]]) -> Result<Vec<Option<StoredRow>>> {
        self.cluster()?.read(table, keys).await
    }

    async fn scan(&self, table: &str, cursor: Option<Bytes>, rows_max: usize) -> Result<ScanPage> {
        self.cluster()?.scan(table, cursor, rows_max).await
    }

    async fn expire(&self, now: EventTime) -> Result<()> {
        self.cluster()?.expire(now).await
    }

    async fn flush(&self) -> Result<()> {
        // What was written has been acknowledged.
        self.cluster().map(drop)
    }

    async fn close(&self) -> Result<()> {
        let mut cluster = self.cluster.write().unwrap_or_else(PoisonError::into_inner);
        *cluster = None;
        Ok(())
    }
}
