//! The embedded engine: a hash index in memory over an append-only value log.
//!
//! The idea is Bitcask's (Sheehy and Smith, "Bitcask: a log-structured hash table for fast key/value
//! data", 2010): every row is written once, at the end of a log, and the index says where the newest
//! row of each key stands. A read is one look-up and one read of the file. Nothing is sorted, because
//! nobody asks for the order of keys, and nothing is journaled twice, because the log is the journal.
//!
//! In reading order: `record` is one record's bytes, `segment` one file of records, `log` all of them,
//! `hint` what spares reading them at opening; `index` is the hash table, `batch` what a writer brings,
//! `engine` puts them together, `compaction` gives space back, `recovery` opens what is there. All of
//! them write through `disk`.

mod batch;
mod compaction;
mod disk;
mod engine;
mod hint;
mod index;
mod log;
mod pace;
mod record;
mod recovery;
mod registry;
mod segment;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use async_trait::async_trait;
use bytes::Bytes;
use twinfold_model::EventTime;

use crate::{Error, OnlineStore, Result, ScanPage, StoredRow, TableConfig, Upsert, UpsertStats};
use batch::Batch;
use engine::{Engine, lock};
use index::KeyHash;

/// Keys that are read at a stretch before other tasks get their turn: about 0.1 ms from page cache.
const READ_KEYS_MAX: usize = 64;

/// How the files of the log are cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// A segment ends before it grows beyond this; at most 1 GiB. A small store has smaller ones.
    pub segment_bytes_max: u64,
    /// Bounds the memory that compaction needs when rows are small.
    pub segment_records_max: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            segment_bytes_max: 256 << 20,
            segment_records_max: 1 << 20,
        }
    }
}

const SEGMENT_BYTES_LIMIT: u64 = 1 << 30;

/// What the store holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    pub rows: u64,
    /// Keys of which a delete is the newest; each takes an index entry and a short record.
    pub deletes: u64,
    pub segments: u64,
    pub log_bytes: u64,
    /// Bytes of superseded records that compaction has not yet given back.
    pub dead_bytes: u64,
}

/// The embedded online store in one folder.
#[derive(Debug)]
pub struct EmbeddedOnline {
    engine: Arc<Engine>,
    tidier: Mutex<Option<Tidier>>,
}

impl EmbeddedOnline {
    /// Opens the store in `folder`, which is made when it is not there.
    pub async fn open(folder: &Path) -> Result<Self> {
        Self::open_with(folder, Options::default()).await
    }

    pub async fn open_with(folder: &Path, options: Options) -> Result<Self> {
        let folder = folder.to_owned();
        let options = Options {
            segment_bytes_max: options.segment_bytes_max.min(SEGMENT_BYTES_LIMIT),
            ..options
        };
        blocking(move || {
            let engine = Arc::new(Engine::open(&folder, options)?);
            let tidier = Tidier::start(Arc::clone(&engine))?;
            engine.pace.poke();
            Ok(Self {
                engine,
                tidier: Mutex::new(Some(tidier)),
            })
        })
        .await
    }

    pub fn stats(&self) -> Stats {
        self.engine.stats()
    }
}

#[async_trait]
impl OnlineStore for EmbeddedOnline {
    async fn create_table(&self, table: &str, config: TableConfig) -> Result<()> {
        let (engine, table) = (Arc::clone(&self.engine), table.to_owned());
        blocking(move || engine.create_table(&table, config)).await
    }

    async fn drop_table(&self, table: &str) -> Result<()> {
        let (engine, table) = (Arc::clone(&self.engine), table.to_owned());
        blocking(move || engine.drop_table(&table)).await
    }

    async fn upsert(&self, table: &str, rows: &[Upsert]) -> Result<UpsertStats> {
        let table = self.engine.table(table)?;
        if let Some(row) = rows.iter().find(|row| !record::fits(row)) {
            return Err(Error::RowTooLarge {
                table: table.name.clone(),
                found_bytes: record::encoded_length(row),
                bytes_max: record::RECORD_BYTES_MAX,
            });
        }
        let (seed, id) = (self.engine.log.seed, table.id);
        let mut batches = batch::cut(rows).map(|rows| Batch::new(seed, id, rows));
        let mut stats = UpsertStats::default();
        let mut next = batches.next();
        while let Some(batch) = next {
            let (engine, table) = (Arc::clone(&self.engine), Arc::clone(&table));
            let written = blocking(move || {
                let written = engine.commit(&table, batch)?;
                engine.wait_for_space();
                Ok(written)
            });
            // Encoded while the one before is written.
            next = batches.next();
            let written = written.await?;
            stats.applied += written.applied;
            stats.superseded += written.superseded;
        }
        Ok(stats)
    }

    async fn read(&self, table: &str, keys: &[&[u8]]) -> Result<Vec<Option<StoredRow>>> {
        let table = self.engine.table(table)?;
        let mut rows = Vec::with_capacity(keys.len());
        for (index, keys) in keys.chunks(READ_KEYS_MAX).enumerate() {
            if index > 0 {
                tokio::task::yield_now().await;
            }
            self.engine.read(&table, keys, &mut rows)?;
        }
        Ok(rows)
    }

    async fn scan(&self, table: &str, cursor: Option<Bytes>, rows_max: usize) -> Result<ScanPage> {
        let table = self.engine.table(table)?;
        let after = cursor.map(|cursor| parse_cursor(&cursor)).transpose()?;
        let engine = Arc::clone(&self.engine);
        blocking(move || engine.scan(&table, after, rows_max.max(1))).await
    }

    async fn expire(&self, now: EventTime) -> Result<()> {
        let engine = Arc::clone(&self.engine);
        blocking(move || {
            engine.expire(now)?;
            engine.pace.poke();
            Ok(())
        })
        .await
    }

    async fn flush(&self) -> Result<()> {
        let engine = Arc::clone(&self.engine);
        blocking(move || {
            engine.check_open()?;
            engine.log.sync()
        })
        .await
    }

    async fn close(&self) -> Result<()> {
        let (engine, tidier) = (Arc::clone(&self.engine), lock(&self.tidier).take());
        blocking(move || {
            drop(tidier);
            engine.close()
        })
        .await
    }
}

fn parse_cursor(cursor: &[u8]) -> Result<KeyHash> {
    let hash = cursor.try_into().map_err(|_| Error::InvalidCursor {
        found_bytes: cursor.len(),
    })?;
    Ok(KeyHash(u128::from_be_bytes(hash)))
}

/// Begins at once, whether it is waited for or not.
fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> impl Future<Output = Result<T>> + Send {
    let working = tokio::task::spawn_blocking(work);
    async {
        match working.await {
            Ok(result) => result,
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            // The runtime is shutting down and did not start the work.
            Err(_) => Err(Error::Closed),
        }
    }
}

/// The thread that writes hints and compacts. Dropping it stops it and waits for its end.
#[derive(Debug)]
struct Tidier {
    engine: Arc<Engine>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Tidier {
    fn start(engine: Arc<Engine>) -> Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let poked = engine.pace.listen();
        let (worked_on, stopped) = (Arc::clone(&engine), Arc::clone(&stop));
        let tidy = move || {
            while poked.recv().is_ok() {
                // What failed is tried again at the next poke.
                if let Err(error) = worked_on.tidy(&stopped) {
                    tracing::warn!(%error, "could not compact the online store");
                }
            }
        };
        let thread = std::thread::Builder::new()
            .name("twinfold-online-tidier".to_owned())
            .spawn(tidy)
            .map_err(Error::io(&engine.folder))?;
        Ok(Self {
            engine,
            stop,
            thread: Some(thread),
        })
    }
}

impl Drop for Tidier {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.engine.pace.silence();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that compacts the online store panicked");
        }
    }
}
