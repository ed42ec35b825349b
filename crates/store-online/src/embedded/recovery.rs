//! Opening: what the folder holds becomes an engine again.
//!
//! Only a record newer than what the index knew was ever appended, and compaction keeps the order of
//! the log. So the last record of a key in that order is its newest, and no versions are compared.

use std::collections::HashMap;
use std::fs::{File, TryLockError};
use std::hash::{BuildHasher, RandomState};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::ScopedJoinHandle;

use super::disk::{self, Disk};
use super::engine::{Engine, Table, lock};
use super::index::{Entry, Location};
use super::log::{Log, Tail};
use super::pace::Pace;
use super::registry::Registry;
use super::segment::{Segment, Span};
use super::{Options, hint};
use crate::{Error, Result};

/// The layout of the folder that this version writes.
const FORMAT: u32 = 1;

impl Engine {
    pub fn open(folder: &Path, options: Options) -> Result<Self> {
        Self::open_on(Disk::default(), folder, options)
    }

    pub fn open_on(disk: Disk, folder: &Path, options: Options) -> Result<Self> {
        let log_folder = folder.join("log");
        std::fs::create_dir_all(&log_folder).map_err(Error::io(&log_folder))?;
        let lock = take_lock(&folder.join("lock"))?;
        check_format(&disk, &folder.join("format"))?;
        let registry = read_registry(&disk, &folder.join("tables"))?;
        let spans = tidy_folder(&disk, &log_folder)?;
        let next_sequence = spans.last().map_or(0, |span| span.last + 1);
        let tables = registry
            .tables
            .iter()
            .map(|(name, (id, config))| (name.clone(), Arc::new(Table::new(*id, name, *config))));
        let engine = Self {
            folder: folder.to_owned(),
            log: Log::new(disk, log_folder, registry.seed, options),
            tables: RwLock::new(tables.collect()),
            registry: Mutex::new(registry),
            tail: Mutex::new(Tail::at(next_sequence)),
            tidying: Mutex::default(),
            pace: Pace::default(),
            lock: Mutex::new(Some(lock)),
            closed: AtomicBool::new(false),
        };
        for spans in spans.chunks(threads()) {
            engine.load(spans)?;
        }
        engine.count_dead();
        Ok(engine)
    }

    /// Flushes, seals and lets go of everything. Another call does nothing.
    pub fn close(&self) -> Result<()> {
        if self.closed.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        lock(&self.tail).seal();
        let result = self.log.sync().and_then(|()| {
            let _one_at_a_time = lock(&self.tidying);
            self.write_hints()
        });
        self.log.release();
        lock(&self.lock).take();
        result
    }

    /// Reads segments beside each other and puts them into the index one after the other.
    fn load(&self, spans: &[Span]) -> Result<()> {
        let read = |span: Span| -> Result<(Segment, Vec<hint::Entry>)> {
            let segment = Segment::open(&self.log.folder, self.log.take_id(), span)?;
            let entries = match hint::read(&segment.hint_path(), segment.bytes())? {
                Some(entries) => {
                    segment.set_hinted();
                    entries
                }
                None => {
                    let entries = self.log.scan(&segment)?;
                    // It may be in the page cache only, and what it supersedes is about to go.
                    segment.write_again(&self.log.disk)?;
                    entries
                }
            };
            Ok((segment, entries))
        };
        let results: Vec<_> = std::thread::scope(|scope| {
            let readers: Vec<_> = spans
                .iter()
                .map(|span| scope.spawn(move || read(*span)))
                .collect();
            let join = |reader: ScopedJoinHandle<'_, _>| {
                reader
                    .join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            };
            readers.into_iter().map(join).collect()
        });
        for result in results {
            let (segment, entries) = result?;
            segment.add_records(entries.len() as u64);
            let segment = self.log.add(segment);
            self.show(segment.id, &entries);
        }
        Ok(())
    }

    /// Puts the records of one segment into the index, whose shards are shared out to threads.
    fn show(&self, segment: u32, entries: &[hint::Entry]) {
        let tables = self.tables.read().unwrap_or_else(PoisonError::into_inner);
        let tables: HashMap<u32, &Table> =
            tables.values().map(|table| (table.id, &**table)).collect();
        let threads = threads();
        let show_part = |part: usize| {
            let is_mine = |entry: &&hint::Entry| entry.hash.shard() % threads == part;
            for entry in entries.iter().filter(is_mine) {
                let Some(table) = tables.get(&entry.table) else {
                    continue;
                };
                let location = Location {
                    segment,
                    position: entry.position,
                };
                let known = Entry::new(
                    entry.hash,
                    entry.event_time,
                    entry.operation,
                    location,
                    entry.length,
                );
                table.index.put_sorted(&[known], |_| {});
            }
        };
        std::thread::scope(|scope| {
            for part in 1..threads {
                scope.spawn(move || show_part(part));
            }
            show_part(0);
        });
    }

    /// What no table's index points to is dead.
    fn count_dead(&self) {
        let segments = self.log.segments();
        let mut live: HashMap<u32, u64> = HashMap::new();
        let tables = self.tables.read().unwrap_or_else(PoisonError::into_inner);
        for table in tables.values() {
            table.index.for_each(|entry| {
                *live.entry(entry.location().segment).or_default() += u64::from(entry.length());
            });
        }
        for segment in segments.iter() {
            let live = live.get(&segment.id).copied().unwrap_or(0);
            segment.add_dead(segment.bytes().saturating_sub(live));
        }
    }
}

fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn take_lock(path: &Path) -> Result<File> {
    let file = File::create(path).map_err(Error::io(path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::Locked {
            path: path.to_owned(),
        }),
        Err(TryLockError::Error(source)) => Err(Error::io(path)(source)),
    }
}

fn check_format(disk: &Disk, path: &Path) -> Result<()> {
    let Some(bytes) = disk::read_if_there(path)? else {
        return disk.replace(path, format!("{FORMAT}\n").as_bytes());
    };
    let text = String::from_utf8_lossy(&bytes);
    let found: u32 = text.trim().parse().map_err(|_| {
        Error::corrupt(
            path,
            format!("found {text:?}, wanted the number of a format"),
        )
    })?;
    if found > FORMAT {
        return Err(Error::NewerFormat {
            path: path.to_owned(),
            found,
            supported: FORMAT,
        });
    }
    Ok(())
}

fn read_registry(disk: &Disk, path: &Path) -> Result<Registry> {
    if let Some(registry) = Registry::read(path)? {
        return Ok(registry);
    }
    let registry = Registry::new(RandomState::new().hash_one("hash seed"));
    registry.write(disk, path)?;
    Ok(registry)
}

/// Removes what a crash left half done and answers the segments in the order of the log.
fn tidy_folder(disk: &Disk, folder: &Path) -> Result<Vec<Span>> {
    let mut spans = Vec::new();
    let mut others = Vec::new();
    for file in std::fs::read_dir(folder).map_err(Error::io(folder))? {
        let path = file.map_err(Error::io(folder))?.path();
        match path
            .file_name()
            .and_then(|name| name.to_str())
            .and_then(Span::parse)
        {
            Some(span) => spans.push(span),
            None => others.push(path),
        }
    }
    let replaced = |span: &Span| spans.iter().any(|other| other.replaces(*span));
    let (obsolete, mut kept): (Vec<Span>, Vec<Span>) =
        spans.iter().copied().partition(|span| replaced(span));
    if !obsolete.is_empty() {
        // The crash may have come before the name of what replaces them was durable.
        disk.sync_folder(folder)?;
    }
    for span in obsolete {
        let path = span.path(folder);
        disk::remove(&path.with_extension("hint"))?;
        disk::remove(&path)?;
    }
    for path in others {
        let is_ours = path.extension().is_some_and(|extension| {
            extension == "tmp" || extension == "hint" && !path.with_extension("log").exists()
        });
        if is_ours {
            disk::remove(&path)?;
        }
    }
    kept.sort_unstable();
    Ok(kept)
}
