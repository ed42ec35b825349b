//! Metadata in one SQLite file: a write-ahead log, one writer, several readers.

#[expect(
    clippy::duplicate_mod,
    reason = "each backend compiles the shared statements for its own database"
)]
#[path = "../sql/mod.rs"]
mod sql;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use sqlx::pool::PoolConnection;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{Sqlite, Transaction};

use crate::{Change, Error, Lease, MetadataStore, Result};

const READERS_MAX: u32 = 4;
/// How long to wait for another process that writes the same file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

const COUNT_HISTORIES: &str = "SELECT count(*) FROM sqlite_schema WHERE name = '_sqlx_migrations'";

// What `sql` is compiled for.
type Database = Sqlite;
type Store = SqliteMetadata;

/// The embedded backend.
///
/// Writers queue for one connection instead of failing on SQLite's own lock; every write begins as
/// `IMMEDIATE`, so what it read is still true when it commits.
#[derive(Debug)]
pub struct SqliteMetadata {
    writer: SqlitePool,
    readers: SqlitePool,
    /// Whether somebody has the reconciler's lease. Kept here: one process has a file open at a time.
    is_leased: Arc<AtomicBool>,
}

impl SqliteMetadata {
    /// Opens the file, makes it when it is not there, and migrates it.
    pub async fn open(path: &Path) -> Result<Self> {
        let place = path.display().to_string();
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(BUSY_TIMEOUT);
        let writer = match pool(1).connect_with(options.clone()).await {
            Ok(writer) => writer,
            Err(source) => return Err(Error::Open { place, source }),
        };
        let migrated =
            sql::history::migrate(&writer, &place, COUNT_HISTORIES, |step| step.sqlite).await;
        if let Err(error) = migrated {
            writer.close().await;
            return Err(error);
        }
        let readers = pool(READERS_MAX).connect_lazy_with(options.pragma("query_only", "ON"));
        Ok(Self {
            writer,
            readers,
            is_leased: Arc::default(),
        })
    }

    async fn write(&self) -> Result<Transaction<'static, Sqlite>> {
        Ok(self.writer.begin_with("BEGIN IMMEDIATE").await?)
    }

    /// For one statement, which is a transaction of its own.
    async fn read(&self) -> Result<PoolConnection<Sqlite>> {
        Ok(self.readers.acquire().await?)
    }
}

#[async_trait]
impl MetadataStore for SqliteMetadata {
    async fn changes(&self, after: u64, limit: usize) -> Result<Vec<Change>> {
        sql::changes::since(&mut *self.read().await?, after, limit).await
    }

    async fn newest_change(&self) -> Result<u64> {
        sql::changes::newest(&mut *self.read().await?).await
    }

    async fn reconciler(&self) -> Result<Option<Box<dyn Lease>>> {
        if self.is_leased.swap(true, Ordering::SeqCst) {
            return Ok(None);
        }
        Ok(Some(Box::new(Leased(Arc::clone(&self.is_leased)))))
    }

    async fn close(&self) -> Result<()> {
        self.readers.close().await;
        // The last connection to close folds the write-ahead log into the file.
        self.writer.close().await;
        Ok(())
    }
}

struct Leased(Arc<AtomicBool>);

#[async_trait]
impl Lease for Leased {
    async fn renew(&mut self) -> Result<()> {
        Ok(())
    }

    async fn release(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}

impl Drop for Leased {
    fn drop(&mut self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

fn pool(connections_max: u32) -> SqlitePoolOptions {
    SqlitePoolOptions::new()
        .max_connections(connections_max)
        .idle_timeout(None)
        .max_lifetime(None)
}
