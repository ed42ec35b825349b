//! Metadata in one SQLite file: a write-ahead log, one writer, several readers.

mod changes;
mod feature_groups;
mod feature_views;
mod migrations;
mod quarantine;
mod schemas;
mod training_datasets;

use std::path::Path;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::pool::PoolConnection;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{Sqlite, Transaction};

use crate::{Error, Result};

const READERS_MAX: u32 = 4;
/// How long to wait for another process that writes the same file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// The embedded backend.
///
/// Writers queue for one connection instead of failing on SQLite's own lock; every write begins as
/// `IMMEDIATE`, so what it read is still true when it commits.
#[derive(Debug)]
pub struct SqliteMetadata {
    writer: SqlitePool,
    readers: SqlitePool,
}

impl SqliteMetadata {
    /// Opens the file, makes it when it is not there, and migrates it.
    pub async fn open(path: &Path) -> Result<Self> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(BUSY_TIMEOUT);
        let writer = pool(1)
            .connect_with(options.clone())
            .await
            .map_err(|source| Error::Open {
                path: path.to_owned(),
                source,
            })?;
        if let Err(error) = migrations::run(&writer, path).await {
            writer.close().await;
            return Err(error);
        }
        let readers = pool(READERS_MAX).connect_lazy_with(options.pragma("query_only", "ON"));
        Ok(Self { writer, readers })
    }

    async fn write(&self) -> Result<Transaction<'static, Sqlite>> {
        Ok(self.writer.begin_with("BEGIN IMMEDIATE").await?)
    }

    /// For one statement, which is a transaction of its own.
    async fn read(&self) -> Result<PoolConnection<Sqlite>> {
        Ok(self.readers.acquire().await?)
    }

    async fn close_all(&self) {
        self.readers.close().await;
        // The last connection to close folds the write-ahead log into the file.
        self.writer.close().await;
    }
}

fn pool(connections_max: u32) -> SqlitePoolOptions {
    SqlitePoolOptions::new()
        .max_connections(connections_max)
        .idle_timeout(None)
        .max_lifetime(None)
}

fn to_json<B: Serialize>(body: &B) -> String {
    serde_json::to_string(body).expect("bodies have string keys and fail on nothing")
}

/// Reads a stored body and checks it through the noun's constructor.
fn from_json<B, T>(what: &'static str, name: impl ToString, text: &str) -> Result<T>
where
    B: DeserializeOwned,
    T: TryFrom<B>,
    T::Error: ToString,
{
    let corrupt = |reason: String| Error::Corrupt {
        what,
        name: name.to_string(),
        reason,
    };
    let body: B = serde_json::from_str(text).map_err(|error| corrupt(error.to_string()))?;
    T::try_from(body).map_err(|error| corrupt(error.to_string()))
}

/// SQLite's integers are signed; nothing that counts from 0 reaches their end.
fn integer(what: &'static str, found: u64) -> Result<i64> {
    i64::try_from(found).map_err(|_| Error::OutOfRange { what, found })
}

/// A number read back from a column that only ever held a `T`.
fn number<T: TryFrom<i64>>(what: &'static str, found: i64) -> Result<T> {
    T::try_from(found).map_err(|_| Error::Corrupt {
        what,
        name: found.to_string(),
        reason: "the number is out of range".to_owned(),
    })
}

fn limit(rows: usize) -> i64 {
    i64::try_from(rows).unwrap_or(i64::MAX)
}
