//! The engine itself, blocking: tables, the write path and the read path.

use std::collections::HashMap;
use std::fs::File;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use bytes::{Buf, Bytes};
use twinfold_model::{EventTime, RowVersion, Ttl};
use twinfold_wire::row::ValueView;

use super::Stats;
use super::batch::Batch;
use super::index::{Entry, Index, KeyHash};
use super::log::{Log, Tail};
use super::record;
use super::registry::Registry;
use super::segment::Segments;
use crate::{Error, Result, ScanPage, StoredRow, TableConfig, UpsertStats};

/// A reader looks a key up again when compaction took the file it was about to read. More often than
/// this in a row means that the index points nowhere.
const LOOKUPS_MAX: usize = 64;
/// A page of a scan ends early at this size.
const SCAN_PAGE_BYTES_MAX: usize = 8 << 20;

#[derive(Debug)]
pub(super) struct Table {
    pub id: u32,
    pub name: String,
    /// µs, 0 for none.
    ttl: AtomicI64,
    pub index: Index,
    dropped: AtomicBool,
}

impl Table {
    pub fn new(id: u32, name: &str, config: TableConfig) -> Self {
        let table = Self {
            id,
            name: name.to_owned(),
            ttl: AtomicI64::new(0),
            index: Index::default(),
            dropped: AtomicBool::new(false),
        };
        table.configure(config);
        table
    }

    fn configure(&self, config: TableConfig) {
        let ttl = config.ttl.map_or(0, Ttl::micros);
        self.ttl.store(ttl, Ordering::Relaxed);
    }

    fn ttl(&self) -> Option<Ttl> {
        Ttl::from_micros(self.ttl.load(Ordering::Relaxed))
    }
}

#[derive(Debug)]
pub(super) struct Engine {
    pub folder: PathBuf,
    pub log: Log,
    pub tables: RwLock<HashMap<String, Arc<Table>>>,
    pub registry: Mutex<Registry>,
    /// Held by the one writer from its decision until the index shows it.
    pub tail: Mutex<Tail>,
    /// Held by the one who tidies.
    pub tidying: Mutex<()>,
    pub lock: Mutex<Option<File>>,
    pub closed: AtomicBool,
}

/// What [`Engine::commit`] did.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Committed {
    pub stats: UpsertStats,
    /// A segment was sealed: there is something to tidy.
    pub sealed: bool,
}

impl Engine {
    pub fn table(&self, name: &str) -> Result<Arc<Table>> {
        self.check_open()?;
        let tables = self.tables.read().unwrap_or_else(PoisonError::into_inner);
        tables.get(name).cloned().ok_or_else(|| unknown(name))
    }

    pub fn create_table(&self, name: &str, config: TableConfig) -> Result<()> {
        self.check_open()?;
        let mut registry = lock(&self.registry);
        let mut changed = registry.clone();
        let next_table = changed.next_table;
        let known = changed
            .tables
            .entry(name.to_owned())
            .or_insert((next_table, config));
        known.1 = config;
        let id = known.0;
        if id == next_table {
            changed.next_table += 1;
        }
        if changed == *registry {
            return Ok(());
        }
        changed.write(&self.registry_path())?;
        *registry = changed;
        let mut tables = self.tables.write().unwrap_or_else(PoisonError::into_inner);
        tables
            .entry(name.to_owned())
            .or_insert_with(|| Arc::new(Table::new(id, name, config)))
            .configure(config);
        Ok(())
    }

    /// Answers whether there was such a table.
    pub fn drop_table(&self, name: &str) -> Result<bool> {
        self.check_open()?;
        let mut registry = lock(&self.registry);
        let mut changed = registry.clone();
        if changed.tables.remove(name).is_none() {
            return Ok(false);
        }
        changed.write(&self.registry_path())?;
        *registry = changed;
        let removed = self
            .tables
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(name);
        if let Some(table) = removed {
            // No writer is between its decision and the index while the tail is held.
            let _tail = lock(&self.tail);
            table.dropped.store(true, Ordering::Release);
            let mut dead = DeadBytes::default();
            table.index.retain(|entry| {
                dead.add(entry);
                false
            });
            dead.count(&self.log);
        }
        Ok(true)
    }

    /// Writes the rows of a batch that are newer than what the index knows.
    pub fn commit(&self, table: &Table, mut batch: Batch) -> Result<Committed> {
        let mut tail = lock(&self.tail);
        self.check_open()?;
        if table.dropped.load(Ordering::Acquire) {
            return Err(unknown(&table.name));
        }
        let hashes = batch.hashes();
        let mut known = Vec::with_capacity(hashes.len());
        table.index.get_sorted(&hashes, &mut known);
        let answers = batch
            .versions()
            .zip(&known)
            .map(|(version, known)| match known {
                Some(entry) => self.is_newer(table, version, *entry),
                None => Ok(true),
            })
            .collect::<Result<Vec<bool>>>()?;
        batch.keep(&answers);
        let stats = UpsertStats {
            applied: batch.len(),
            superseded: batch.superseded(),
        };
        if batch.len() == 0 {
            return Ok(Committed {
                stats,
                sealed: false,
            });
        }
        let appended = self.log.append(&mut tail, batch.bytes(), batch.len())?;
        let mut dead = DeadBytes::default();
        let entries = batch.entries(appended.start);
        table.index.put_sorted(&entries, |old| dead.add(old));
        dead.count(&self.log);
        Ok(Committed {
            stats,
            sealed: appended.sealed,
        })
    }

    /// The newest row of each key, in the order of the keys.
    pub fn read(
        &self,
        table: &Table,
        keys: &[&[u8]],
        rows: &mut Vec<Option<StoredRow>>,
    ) -> Result<()> {
        let mut segments = self.log.segments();
        for key in keys {
            let hash = KeyHash::of(self.log.seed, key);
            let found = self.fetch(table, hash, &mut segments, Wanted::LiveRow)?;
            rows.push(found.and_then(|(entry, record)| {
                let (found_key, value) = record::key_and_value(&record);
                let value_bytes = value.len();
                (found_key == *key).then(|| StoredRow {
                    event_time: entry.event_time(),
                    value: tail_of(record, value_bytes),
                })
            }));
        }
        Ok(())
    }

    /// Live rows behind `after`, in the order of their hashes: a key that is there during the whole
    /// scan is returned exactly once.
    pub fn scan(&self, table: &Table, after: Option<KeyHash>, rows_max: usize) -> Result<ScanPage> {
        let entries = table.index.page(after, rows_max);
        let is_last_page = entries.len() < rows_max;
        let mut segments = self.log.segments();
        let mut page = ScanPage::default();
        let mut page_bytes = 0;
        let mut last = None;
        for entry in &entries {
            if page_bytes >= SCAN_PAGE_BYTES_MAX {
                break;
            }
            last = Some(entry.hash());
            let Some((entry, record)) =
                self.fetch(table, entry.hash(), &mut segments, Wanted::LiveRow)?
            else {
                continue;
            };
            page_bytes += record.len();
            let (key, value) = record::key_and_value(&record);
            let (key, value_bytes) = (Bytes::copy_from_slice(key), value.len());
            let row = StoredRow {
                event_time: entry.event_time(),
                value: tail_of(record, value_bytes),
            };
            page.rows.push((key, row));
        }
        let is_cut = last != entries.last().map(Entry::hash);
        page.cursor = last
            .filter(|_| is_cut || !is_last_page)
            .map(|last| Bytes::copy_from_slice(&last.0.to_be_bytes()));
        Ok(page)
    }

    /// Forgets rows and deletes that are expired at `now`. That cannot bring an older row back: it
    /// would be expired as well, and readers check for themselves.
    pub fn expire(&self, now: EventTime) -> Result<()> {
        self.check_open()?;
        let _tail = lock(&self.tail);
        let mut dead = DeadBytes::default();
        let tables = self.tables.read().unwrap_or_else(PoisonError::into_inner);
        for table in tables.values() {
            let Some(ttl) = table.ttl() else { continue };
            table.index.retain(|entry| {
                let expired = ttl.is_expired(entry.event_time(), now);
                if expired {
                    dead.add(entry);
                }
                !expired
            });
        }
        dead.count(&self.log);
        Ok(())
    }

    pub fn stats(&self) -> Stats {
        let mut stats = Stats::default();
        for table in self
            .tables
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .values()
        {
            let (rows, deletes) = table.index.counts();
            stats.rows += rows;
            stats.deletes += deletes;
        }
        for segment in self.log.segments().iter() {
            stats.segments += 1;
            stats.log_bytes += segment.bytes();
            stats.dead_bytes += segment.dead_bytes();
        }
        stats
    }

    pub fn registry_path(&self) -> PathBuf {
        self.folder.join("tables")
    }

    pub fn check_open(&self) -> Result<()> {
        if self.closed.load(Ordering::Acquire) {
            return Err(Error::Closed);
        }
        Ok(())
    }

    /// Whether `version` is newer than the row at `entry`. The offset is in the log only, and asked
    /// for only when everything else is equal. The caller holds the tail.
    fn is_newer(&self, table: &Table, version: RowVersion, entry: Entry) -> Result<bool> {
        let known = (entry.event_time(), entry.operation());
        match (version.event_time, version.operation).cmp(&known) {
            std::cmp::Ordering::Greater => Ok(true),
            std::cmp::Ordering::Less => Ok(false),
            std::cmp::Ordering::Equal => {
                let mut segments = self.log.segments();
                match self.fetch(table, entry.hash(), &mut segments, Wanted::Anything) {
                    Ok(Some((_, record))) => {
                        let (_, value) = record::key_and_value(&record);
                        let value = ValueView::parse(value);
                        Ok(value.is_ok_and(|value| version.offset > value.offset))
                    }
                    Ok(None) => Ok(true),
                    Err(error @ Error::Corrupt { .. }) => {
                        tracing::warn!(table = table.name, %error, "replacing a row that cannot be read");
                        Ok(true)
                    }
                    Err(error) => Err(error),
                }
            }
        }
    }

    /// The newest record of a key, read without any lock held. Compaction may take the file away
    /// between the two steps; then the index knows better by now.
    fn fetch(
        &self,
        table: &Table,
        hash: KeyHash,
        segments: &mut Arc<Segments>,
        wanted: Wanted,
    ) -> Result<Option<(Entry, Vec<u8>)>> {
        for _ in 0..LOOKUPS_MAX {
            let Some(entry) = table.index.get(hash) else {
                return Ok(None);
            };
            if wanted == Wanted::LiveRow && entry.is_delete() {
                return Ok(None);
            }
            let location = entry.location();
            let Some(segment) = segments.get(location.segment) else {
                self.check_open()?;
                *segments = self.log.segments();
                continue;
            };
            let seed = self.log.checksum_seed();
            let bytes = segment.read(seed, location.position, entry.length())?;
            return Ok(Some((entry, bytes)));
        }
        Err(Error::corrupt(
            &self.folder,
            format!(
                "the index of table `{}` points to a missing segment",
                table.name
            ),
        ))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    LiveRow,
    Anything,
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Bytes that died, per segment, gathered first: a segment that compaction has just put in place is
/// surely in a list of segments that is asked for after the index was changed.
#[derive(Debug, Default)]
struct DeadBytes(HashMap<u32, u64>);

impl DeadBytes {
    fn add(&mut self, entry: Entry) {
        *self.0.entry(entry.location().segment).or_default() += u64::from(entry.length());
    }

    fn count(self, log: &Log) {
        let segments = log.segments();
        for (id, bytes) in self.0 {
            if let Some(segment) = segments.get(id) {
                segment.add_dead(bytes);
            }
        }
    }
}

fn unknown(table: &str) -> Error {
    Error::UnknownTable {
        table: table.to_owned(),
    }
}

/// The last `count` bytes, without copying them.
fn tail_of(record: Vec<u8>, count: usize) -> Bytes {
    let before = record.len() - count;
    let mut bytes = Bytes::from(record);
    bytes.advance(before);
    bytes
}
