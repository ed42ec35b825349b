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
use super::log::{Log, SEGMENT_BYTES_MIN, Tail};
use super::pace::Pace;
use super::record;
use super::registry::Registry;
use super::segment::Segments;
use crate::{Error, Result, ScanPage, StoredRow, TableConfig, UpsertStats};

/// A reader looks a key up again when compaction took the file it was about to read. More often than
/// this in a row means that the index points nowhere.
const LOOKUPS_MAX: usize = 64;
/// A page of a scan ends early at this size.
const SCAN_PAGE_BYTES_MAX: usize = 8 << 20;
/// Garbage of so many small segments never holds a writer back.
const SLACK_SEGMENTS: u64 = 4;

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
    pub pace: Pace,
    pub lock: Mutex<Option<File>>,
    pub closed: AtomicBool,
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
        changed.write(&self.log.disk, &self.registry_path())?;
        *registry = changed;
        let mut tables = self.tables.write().unwrap_or_else(PoisonError::into_inner);
        tables
            .entry(name.to_owned())
            .or_insert_with(|| Arc::new(Table::new(id, name, config)))
            .configure(config);
        Ok(())
    }

    pub fn drop_table(&self, name: &str) -> Result<()> {
        self.check_open()?;
        let mut registry = lock(&self.registry);
        let mut changed = registry.clone();
        if changed.tables.remove(name).is_none() {
            return Ok(());
        }
        changed.write(&self.log.disk, &self.registry_path())?;
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
        self.pace.poke();
        Ok(())
    }

    /// Writes the rows of a batch that are newer than what the index knows.
    pub fn commit(&self, table: &Table, mut batch: Batch) -> Result<UpsertStats> {
        let mut tail = lock(&self.tail);
        self.check_open()?;
        self.log.check_writable()?;
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
            return Ok(stats);
        }
        let appended = self.log.append(&mut tail, batch.bytes(), batch.len())?;
        let mut dead = DeadBytes::default();
        let entries = batch.entries(appended.start);
        table.index.put_sorted(&entries, |old| dead.add(old));
        dead.count(&self.log);
        if appended.sealed {
            self.pace.poke();
        }
        Ok(stats)
    }

    /// The newest row of each key, in the order of the keys.
    pub fn read(
        &self,
        table: &Table,
        keys: &[&[u8]],
        rows: &mut Vec<Option<StoredRow>>,
    ) -> Result<()> {
        let mut segments = self.log.segments();
        // All look-ups first: the processor then waits for their cache misses together.
        let look_up = |key: &&[u8]| table.index.get(KeyHash::of(self.log.seed, key));
        let entries: Vec<Option<Entry>> = keys.iter().map(look_up).collect();
        for (key, entry) in keys.iter().zip(entries) {
            let found = match entry {
                Some(entry) => self.fetch(table, entry, &mut segments, Wanted::LiveRow)?,
                None => None,
            };
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
                self.fetch(table, *entry, &mut segments, Wanted::LiveRow)?
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
    ///
    /// Writers go on meanwhile. An entry is judged as it stands when it would go, so one that was
    /// renewed stays. A writer that has just compared with one that goes loses nothing by it: what it
    /// writes is newer, and what it leaves out is expired.
    pub fn expire(&self, now: EventTime) -> Result<()> {
        self.check_open()?;
        for table in self.tables_by_id().into_values() {
            let Some(ttl) = table.ttl() else { continue };
            // Who asked for it may not wait for its end.
            self.check_open()?;
            let mut dead = DeadBytes::default();
            table.index.retain(|entry| {
                let expired = ttl.is_expired(entry.event_time(), now);
                if expired {
                    dead.add(entry);
                }
                !expired
            });
            dead.count(&self.log);
        }
        Ok(())
    }

    pub fn stats(&self) -> Stats {
        let mut stats = self.log.stats();
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
        stats
    }

    /// Holds a writer back while there is much more garbage than rows and compaction is at work on it.
    pub fn wait_for_space(&self) {
        let slack = SLACK_SEGMENTS * SEGMENT_BYTES_MIN.min(self.log.options.segment_bytes_max);
        self.pace.wait_while(|| {
            let stats = self.log.stats();
            let live_bytes = stats.log_bytes.saturating_sub(stats.dead_bytes);
            self.check_open().is_ok() && stats.dead_bytes > live_bytes + live_bytes / 2 + slack
        });
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
    /// for only when everything else is equal. The caller holds the tail, so the row may expire
    /// meanwhile but not be replaced.
    fn is_newer(&self, table: &Table, version: RowVersion, entry: Entry) -> Result<bool> {
        let known = (entry.event_time(), entry.operation());
        match (version.event_time, version.operation).cmp(&known) {
            std::cmp::Ordering::Greater => Ok(true),
            std::cmp::Ordering::Less => Ok(false),
            std::cmp::Ordering::Equal => {
                let mut segments = self.log.segments();
                match self.fetch(table, entry, &mut segments, Wanted::Anything) {
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

    /// The record that `entry` points to, read without any lock held. Compaction may have taken the
    /// file away meanwhile; then the index knows better by now.
    fn fetch(
        &self,
        table: &Table,
        mut entry: Entry,
        segments: &mut Arc<Segments>,
        wanted: Wanted,
    ) -> Result<Option<(Entry, Vec<u8>)>> {
        for _ in 0..LOOKUPS_MAX {
            if wanted == Wanted::LiveRow && entry.is_delete() {
                return Ok(None);
            }
            let location = entry.location();
            if let Some(segment) = segments.get(location.segment) {
                let seed = self.log.checksum_seed();
                let bytes = segment.read(seed, location.position, entry.length())?;
                return Ok(Some((entry, bytes)));
            }
            self.check_open()?;
            *segments = self.log.segments();
            match table.index.get(entry.hash()) {
                Some(newer) => entry = newer,
                None => return Ok(None),
            }
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
