//! The newest row per key: load, update, update beside readers, kill, reopen, space.

mod fjall_rows;
mod indexed;
mod map;
mod twinfold;

use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;

use crate::Workload;
use crate::measure::{self, Column};
use crate::process::{self, Figures, report};

pub const VALUE_BYTES: usize = 950;
const BATCH_ROWS: u64 = 1_000;
const READ_KEYS: usize = 50;
const SYNC_EVERY: Duration = Duration::from_secs(1);
const UPDATE_ROUNDS: u64 = 10;

/// Newer than all that was written before.
const KILLED_ROUND: i64 = 1_000_000_000_000;

pub type Key = [u8; 16];

/// A row on its way into an engine.
#[derive(Debug, Clone)]
pub struct Row {
    pub key: Key,
    pub event_time: i64,
    pub body: Bytes,
}

/// An engine that keeps the newest row per key.
pub trait Engine: Send + Sync {
    /// Writes a batch; a row that is not newer than what is there is left out. One caller at a time.
    fn upsert(&self, rows: &[Row]) -> Result<()>;

    /// The event time of each key that is there; the whole value has been read.
    fn read(&self, keys: &[Key]) -> Result<Vec<Option<i64>>>;

    /// Makes what was written durable. May be called beside the others.
    fn sync(&self) -> Result<()>;
}

struct Candidate {
    name: &'static str,
    title: &'static str,
    open: fn(&Path) -> Result<Box<dyn Engine>>,
    durable: bool,
}

const CANDIDATES: [Candidate; 7] = [
    Candidate {
        name: "twinfold",
        title: "**Twinfold**: index in memory over a value log",
        open: twinfold::open,
        durable: true,
    },
    Candidate {
        name: "fjall",
        title: "fjall 3.1 (LSM tree)",
        open: fjall_rows::open,
        durable: true,
    },
    Candidate {
        name: "fjall-separated",
        title: "fjall 3.1, keys and values separated",
        open: fjall_rows::open_separated,
        durable: true,
    },
    Candidate {
        name: "heed",
        title: "heed 0.23 (LMDB), whole values",
        open: indexed::open_heed_whole,
        durable: true,
    },
    Candidate {
        name: "heed-index",
        title: "heed 0.23 (LMDB) as index over a value log (without compaction)",
        open: indexed::open_heed,
        durable: true,
    },
    Candidate {
        name: "redb-index",
        title: "redb 4.5 as index over a value log (without compaction)",
        open: indexed::open_redb,
        durable: true,
    },
    Candidate {
        name: "map",
        title: "sharded map in memory, overwritten in place (not durable: the upper limit)",
        open: map::open,
        durable: false,
    },
];

const COLUMNS: [Column; 13] = [
    ("load, rows/s", "load", measure::per_second),
    ("random updates/s", "update", measure::per_second),
    ("updates/s beside readers", "beside", measure::per_second),
    ("1 key p50, µs", "point_p50", measure::micros),
    ("50 keys p50, µs", "read_p50", measure::micros),
    ("50 keys p99, µs", "read_p99", measure::micros),
    ("50 keys p50 beside, µs", "beside_p50", measure::micros),
    ("50 keys p99 beside, µs", "beside_p99", measure::micros),
    ("open after kill -9, s", "reopen", measure::seconds),
    ("rows lost by it", "lost", measure::count),
    ("space / live after 10 updates", "space", measure::ratio),
    ("peak of that", "space_peak", measure::ratio),
    ("own memory, GB", "anonymous", measure::gigabytes),
];

/// Prints the table; gives one line that says how the chosen engine stands beside the best other one.
pub fn run(workload: &Workload) -> Result<Option<String>> {
    let mut table = Vec::new();
    let mut updates = Vec::new();
    for candidate in CANDIDATES
        .iter()
        .filter(|candidate| workload.wants(candidate.name))
    {
        match measure_candidate(candidate, workload) {
            Ok(figures) => {
                if let (true, Some(rate)) = (candidate.durable, figures.get("update")) {
                    updates.push((candidate.name, *rate));
                }
                table.push((candidate.title.to_owned(), figures));
            }
            Err(error) => {
                eprintln!("rows: {}: {error:#}", candidate.name);
                table.push((
                    format!("{} (failed: {error:#})", candidate.title),
                    Figures::new(),
                ));
            }
        }
    }
    println!(
        "### The newest row per key\n\n{} keys of 16 bytes, values of {VALUE_BYTES} bytes that do not \
         compress, batches of {BATCH_ROWS} compared before they are written, synced every second by a \
         thread beside the writer and at the end; {} readers of {READ_KEYS} random keys without pause. \
         Space: {} keys, each updated {UPDATE_ROUNDS} times.\n",
        workload.rows, workload.readers, workload.space_rows
    );
    println!("{}", measure::table(&COLUMNS, &table));
    Ok(summary(&updates))
}

/// Among the engines that survive a crash, by random updates per second.
fn summary(updates: &[(&str, f64)]) -> Option<String> {
    let (ours, others): (Vec<_>, Vec<_>) =
        updates.iter().partition(|(name, _)| *name == CANDIDATES[0].name);
    let (_, ours) = ours.first()?;
    let best = others.iter().max_by(|a, b| a.1.total_cmp(&b.1));
    let (name, peer) = best?;
    Some(format!(
        "engines: ours {ours:.0} updates/s, peer {peer:.0} updates/s ({name}), ratio {:.2}",
        ours / peer
    ))
}

fn measure_candidate(candidate: &Candidate, workload: &Workload) -> Result<Figures> {
    let temporary = tempfile::tempdir_in(&workload.folder)?;
    let folder = temporary.path().join("engine");
    std::fs::create_dir(&folder)?;
    let mut figures = process::run("rows", "load", candidate.name, &folder, workload)?;
    if candidate.durable {
        process::run_and_kill("rows", "write", candidate.name, &folder, workload)?;
        figures.extend(process::run(
            "rows",
            "reopen",
            candidate.name,
            &folder,
            workload,
        )?);
    }
    temporary.close()?;
    if candidate.durable {
        let temporary = tempfile::tempdir_in(&workload.folder)?;
        let folder = temporary.path().join("engine");
        std::fs::create_dir(&folder)?;
        figures.extend(process::run(
            "rows",
            "space",
            candidate.name,
            &folder,
            workload,
        )?);
        temporary.close()?;
    }
    Ok(figures)
}

/// One step in a process of its own.
pub fn child(step: &str, engine: &str, folder: &Path, workload: &Workload) -> Result<()> {
    let candidate = CANDIDATES.iter().find(|candidate| candidate.name == engine);
    let candidate = candidate.with_context(|| format!("unknown engine `{engine}`"))?;
    let (engine, opened_in) = measure::timed(|| (candidate.open)(folder));
    let engine = engine?;
    match step {
        "load" => load(&*engine, workload),
        "write" => write_until_killed(&*engine, folder, workload),
        "reopen" => {
            report("reopen", opened_in.as_secs_f64());
            check_after_kill(&*engine, folder, workload)
        }
        "space" => space(&*engine, folder, workload),
        other => anyhow::bail!("unknown step `{other}`"),
    }
}

fn load(engine: &dyn Engine, workload: &Workload) -> Result<()> {
    let rows = Rows::new(workload.rows);
    let load = write_all(engine, rows.in_order(1))?;
    report("load", workload.rows as f64 / load.as_secs_f64());

    let updates = workload.rows / 2;
    let update = write_all(engine, rows.at_random(2, updates))?;
    report("update", updates as f64 / update.as_secs_f64());

    let mut points = Vec::new();
    let mut reads = Vec::new();
    let mut random = Random(5);
    for _ in 0..20_000 {
        points.push(timed_read(engine, &rows, &mut random, 1)?);
        reads.push(timed_read(engine, &rows, &mut random, READ_KEYS)?);
    }
    points.sort_unstable();
    reads.sort_unstable();
    report("point_p50", measure::percentile_us(&points, 0.5));
    report("read_p50", measure::percentile_us(&reads, 0.5));
    report("read_p99", measure::percentile_us(&reads, 0.99));

    beside_readers(engine, &rows, updates, workload.readers)?;
    report("anonymous", measure::memory("RssAnon"));
    report("resident", measure::memory("VmRSS"));
    Ok(())
}

fn beside_readers(engine: &dyn Engine, rows: &Rows, updates: u64, readers: usize) -> Result<()> {
    let done = AtomicBool::new(false);
    let (wrote, mut reads) = std::thread::scope(|scope| -> Result<_> {
        let readers: Vec<_> = (0..readers as u64)
            .map(|reader| {
                let done = &done;
                scope.spawn(move || -> Result<Vec<Duration>> {
                    let mut random = Random(1_000 + reader);
                    let mut reads = Vec::new();
                    while !done.load(Ordering::Relaxed) {
                        reads.push(timed_read(engine, rows, &mut random, READ_KEYS)?);
                    }
                    Ok(reads)
                })
            })
            .collect();
        let wrote = write_all(engine, rows.at_random(3, updates));
        done.store(true, Ordering::Relaxed);
        let mut reads = Vec::new();
        for reader in readers {
            reads.extend(reader.join().expect("a reader panicked")?);
        }
        Ok((wrote?, reads))
    })?;
    reads.sort_unstable();
    report("beside", updates as f64 / wrote.as_secs_f64());
    report("beside_p50", measure::percentile_us(&reads, 0.5));
    report("beside_p99", measure::percentile_us(&reads, 0.99));
    report("beside_reads", reads.len() as f64 / wrote.as_secs_f64());
    Ok(())
}

fn timed_read(
    engine: &dyn Engine,
    rows: &Rows,
    random: &mut Random,
    count: usize,
) -> Result<Duration> {
    let keys: Vec<Key> = (0..count).map(|_| key(random.below(rows.count))).collect();
    let (found, took) = measure::timed(|| engine.read(&keys));
    ensure!(
        found?.iter().all(Option::is_some),
        "a key that was written is missing"
    );
    Ok(took)
}

/// Updates keys in order, noting outside the engine what was acknowledged, until the process is killed.
fn write_until_killed(engine: &dyn Engine, folder: &Path, workload: &Workload) -> Result<()> {
    let rows = Rows::new(workload.rows);
    let noted = std::fs::File::create(acknowledged_path(folder))?;
    process::report_ready();
    for round in KILLED_ROUND.. {
        for (batch, updates) in rows.in_order(round).enumerate() {
            engine.upsert(&updates)?;
            // One write of a fixed length, which a kill does not tear.
            noted.write_all_at(format!("{round:020} {batch:020}").as_bytes(), 0)?;
        }
    }
    Ok(())
}

/// Counts what was acknowledged before the kill and is not there.
fn check_after_kill(engine: &dyn Engine, folder: &Path, workload: &Workload) -> Result<()> {
    let noted = std::fs::read_to_string(acknowledged_path(folder))?;
    let (round, last) = noted.split_once(' ').context("nothing was acknowledged")?;
    let (round, last): (i64, u64) = (round.parse()?, last.parse()?);
    let rows = Rows::new(workload.rows);
    let mut lost = 0;
    for (batch, updates) in rows.in_order(round).enumerate() {
        let keys: Vec<Key> = updates.iter().map(|row| row.key).collect();
        let at_least = if batch as u64 <= last { round } else { 1 };
        let is_kept = |found: &Option<i64>| found.is_some_and(|found| found >= at_least);
        lost += engine
            .read(&keys)?
            .iter()
            .filter(|found| !is_kept(found))
            .count();
    }
    report("lost", lost as f64);
    Ok(())
}

/// Beside the engine's folder, where the engine does not see it.
fn acknowledged_path(folder: &Path) -> std::path::PathBuf {
    folder.with_extension("acknowledged")
}

fn space(engine: &dyn Engine, folder: &Path, workload: &Workload) -> Result<()> {
    let rows = Rows::new(workload.space_rows);
    let live = (workload.space_rows * (VALUE_BYTES + size_of::<Key>()) as u64) as f64;
    let mut peak = 0;
    for round in 0..=UPDATE_ROUNDS {
        let updates: Box<dyn Iterator<Item = Vec<Row>>> = if round == 0 {
            Box::new(rows.in_order(0))
        } else {
            Box::new(rows.each_once_shuffled(round))
        };
        for (batch, updates) in updates.enumerate() {
            engine.upsert(&updates)?;
            if batch % 100 == 0 {
                peak = peak.max(measure::disk_bytes(folder)?);
            }
        }
    }
    engine.sync()?;
    // Background work may still be under way; it has this long to settle.
    std::thread::sleep(Duration::from_secs(5));
    report("space", measure::disk_bytes(folder)? as f64 / live);
    report("space_peak", peak as f64 / live);
    Ok(())
}

/// Writes all batches with a sync each second beside, and one at the end.
fn write_all(engine: &dyn Engine, batches: impl Iterator<Item = Vec<Row>>) -> Result<Duration> {
    let done = AtomicBool::new(false);
    let start = Instant::now();
    std::thread::scope(|scope| -> Result<()> {
        let syncer = scope.spawn(|| -> Result<()> {
            let mut synced = Instant::now();
            while !done.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(10));
                if synced.elapsed() >= SYNC_EVERY {
                    engine.sync()?;
                    synced = Instant::now();
                }
            }
            Ok(())
        });
        let written = batches
            .into_iter()
            .try_for_each(|rows| engine.upsert(&rows));
        done.store(true, Ordering::Relaxed);
        syncer.join().expect("the syncer panicked")?;
        written
    })?;
    engine.sync()?;
    Ok(start.elapsed())
}

/// The rows of a workload, made on the way from a pool of random bytes.
struct Rows {
    count: u64,
    pool: Bytes,
}

impl Rows {
    fn new(count: u64) -> Self {
        let mut random = Random(42);
        let pool: Vec<u8> = (0..1 << 17)
            .flat_map(|_| random.draw().to_le_bytes())
            .collect();
        Self {
            count,
            pool: pool.into(),
        }
    }

    /// Every key once.
    fn in_order(&self, event_time: i64) -> impl Iterator<Item = Vec<Row>> {
        let batches = self.count.div_ceil(BATCH_ROWS);
        (0..batches).map(move |batch| {
            let indices = batch * BATCH_ROWS..((batch + 1) * BATCH_ROWS).min(self.count);
            indices.map(|index| self.row(index, event_time)).collect()
        })
    }

    /// `total` keys drawn at random.
    fn at_random(&self, event_time: i64, total: u64) -> impl Iterator<Item = Vec<Row>> {
        let mut random = Random(event_time as u64);
        let mut serial = 0;
        (0..total.div_ceil(BATCH_ROWS)).map(move |_| {
            let mut draw = || {
                // Later draws are newer, so that every one of them is written.
                serial += 1;
                let event_time = event_time * 1_000_000_000 + serial;
                self.row(random.below(self.count), event_time)
            };
            (0..BATCH_ROWS).map(|_| draw()).collect()
        })
    }

    /// Every key once, in another order each round.
    fn each_once_shuffled(&self, round: u64) -> impl Iterator<Item = Vec<Row>> {
        let mut order: Vec<u32> = (0..self.count as u32).collect();
        let mut random = Random(round);
        for last in (1..order.len()).rev() {
            order.swap(last, random.below(last as u64 + 1) as usize);
        }
        let batches = self.count.div_ceil(BATCH_ROWS) as usize;
        (0..batches).map(move |batch| {
            let start = batch * BATCH_ROWS as usize;
            let end = (start + BATCH_ROWS as usize).min(order.len());
            let indices = order[start..end].iter();
            indices
                .map(|index| self.row((*index).into(), round as i64))
                .collect()
        })
    }

    fn row(&self, index: u64, event_time: i64) -> Row {
        let start =
            mix(index ^ (event_time as u64) << 32) as usize % (self.pool.len() - VALUE_BYTES);
        Row {
            key: key(index),
            event_time,
            body: self.pool.slice(start..start + VALUE_BYTES),
        }
    }
}

/// Keys come in the order of a hash, as those of a topic do.
fn key(index: u64) -> Key {
    let mut key = [0; 16];
    key[..8].copy_from_slice(&mix(index).to_be_bytes());
    key[8..].copy_from_slice(&index.to_be_bytes());
    key
}

fn mix(value: u64) -> u64 {
    Random(value).draw()
}

/// SplitMix64.
pub struct Random(pub u64);

impl Random {
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    pub fn below(&mut self, end: u64) -> u64 {
        self.draw() % end
    }
}
