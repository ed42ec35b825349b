//! The ordered log: append, read in order, kill, reopen, space.

mod commitlog_log;
mod fjall_log;
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
use crate::rows::{Random, VALUE_BYTES};

const BLOCK_RECORDS: u64 = 1_000;
const KEY_BYTES: usize = 16;
const SYNC_EVERY: Duration = Duration::from_millis(100);

#[derive(Debug, Clone)]
pub struct Record {
    pub key: Bytes,
    pub value: Bytes,
}

/// An engine that keeps records in the order of their offsets, in one partition.
pub trait Engine: Send + Sync {
    /// Appends behind what is there. One caller at a time.
    fn append(&self, records: &[Record]) -> Result<()>;

    /// Makes what was appended durable. May be called beside `append`.
    fn sync(&self) -> Result<()>;

    /// How many records there are.
    fn next_offset(&self) -> Result<u64>;

    /// Hands the value of every record to `visit`, in order.
    fn read_all(&self, visit: &mut dyn FnMut(&[u8])) -> Result<()>;
}

struct Candidate {
    name: &'static str,
    title: &'static str,
    open: fn(&Path) -> Result<Box<dyn Engine>>,
}

const CANDIDATES: [Candidate; 3] = [
    Candidate {
        name: "twinfold",
        title: "**Twinfold**: segments of checksummed blocks",
        open: twinfold::open,
    },
    Candidate {
        name: "fjall",
        title: "fjall 3.1, keyed by partition and offset",
        open: fjall_log::open,
    },
    Candidate {
        name: "commitlog",
        title: "commitlog 0.2",
        open: commitlog_log::open,
    },
];

const COLUMNS: [Column; 9] = [
    ("append, records/s", "append", measure::per_second),
    ("MB/s", "append_bytes", measure::megabytes_per_second),
    ("block p50, µs", "block_p50", measure::micros),
    ("block p99, µs", "block_p99", measure::micros),
    ("read in order, records/s", "read", measure::per_second),
    ("open after kill -9, s", "reopen", measure::seconds),
    ("records lost by it", "lost", measure::count),
    ("space / payload", "space", measure::ratio),
    ("own memory, GB", "anonymous", measure::gigabytes),
];

pub fn run(workload: &Workload) -> Result<()> {
    let mut table = Vec::new();
    for candidate in CANDIDATES
        .iter()
        .filter(|candidate| workload.wants(candidate.name))
    {
        match measure_candidate(candidate, workload) {
            Ok(figures) => table.push((candidate.title.to_owned(), figures)),
            Err(error) => {
                eprintln!("log: {}: {error:#}", candidate.name);
                table.push((
                    format!("{} (failed: {error:#})", candidate.title),
                    Figures::new(),
                ));
            }
        }
    }
    println!(
        "### The ordered log\n\n{} records with keys of {KEY_BYTES} bytes and values of {VALUE_BYTES} bytes \
         that do not compress, blocks of {BLOCK_RECORDS}, one partition, synced every {} ms by a thread \
         beside the writer and at the end.\n",
        workload.log_records,
        SYNC_EVERY.as_millis()
    );
    println!("{}", measure::table(&COLUMNS, &table));
    Ok(())
}

fn measure_candidate(candidate: &Candidate, workload: &Workload) -> Result<Figures> {
    let temporary = tempfile::tempdir_in(&workload.folder)?;
    let folder = temporary.path().join("engine");
    std::fs::create_dir(&folder)?;
    let mut figures = process::run("log", "append", candidate.name, &folder, workload)?;
    process::run_and_kill("log", "write", candidate.name, &folder, workload)?;
    figures.extend(process::run(
        "log",
        "reopen",
        candidate.name,
        &folder,
        workload,
    )?);
    temporary.close()?;
    Ok(figures)
}

/// One step in a process of its own.
pub fn child(step: &str, engine: &str, folder: &Path, workload: &Workload) -> Result<()> {
    let candidate = CANDIDATES.iter().find(|candidate| candidate.name == engine);
    let candidate = candidate.with_context(|| format!("unknown engine `{engine}`"))?;
    let (engine, opened_in) = measure::timed(|| (candidate.open)(folder));
    let engine = engine?;
    match step {
        "append" => append_and_read(&*engine, folder, workload),
        "write" => write_until_killed(&*engine, folder),
        "reopen" => {
            report("reopen", opened_in.as_secs_f64());
            check_after_kill(&*engine, folder)
        }
        other => anyhow::bail!("unknown step `{other}`"),
    }
}

fn append_and_read(engine: &dyn Engine, folder: &Path, workload: &Workload) -> Result<()> {
    let blocks = Blocks::new();
    let count = workload.log_records.div_ceil(BLOCK_RECORDS);
    let done = AtomicBool::new(false);
    let mut took = Vec::new();
    let start = Instant::now();
    std::thread::scope(|scope| -> Result<()> {
        let syncer = scope.spawn(|| -> Result<()> {
            while !done.load(Ordering::Relaxed) {
                std::thread::sleep(SYNC_EVERY);
                engine.sync()?;
            }
            Ok(())
        });
        let appended = (0..count).try_for_each(|block| {
            let (result, duration) = measure::timed(|| engine.append(&blocks.block(block)));
            took.push(duration);
            result
        });
        done.store(true, Ordering::Relaxed);
        syncer.join().expect("the syncer panicked")?;
        appended
    })?;
    engine.sync()?;
    let records = (count * BLOCK_RECORDS) as f64;
    let per_second = records / start.elapsed().as_secs_f64();
    took.sort_unstable();
    report("append", per_second);
    report(
        "append_bytes",
        per_second * (KEY_BYTES + VALUE_BYTES) as f64,
    );
    report("block_p50", measure::percentile_us(&took, 0.5));
    report("block_p99", measure::percentile_us(&took, 0.99));
    report("anonymous", measure::memory("RssAnon"));

    let (mut found, mut sum) = (0_u64, 0_u64);
    let (result, duration) = measure::timed(|| {
        engine.read_all(&mut |value| {
            found += 1;
            sum += value.len() as u64;
        })
    });
    result?;
    ensure!(found as f64 == records, "read {found} of {records} records");
    ensure!(
        sum == found * VALUE_BYTES as u64,
        "values have other lengths"
    );
    report("read", records / duration.as_secs_f64());
    let payload = records * (KEY_BYTES + VALUE_BYTES) as f64;
    report("space", measure::disk_bytes(folder)? as f64 / payload);
    Ok(())
}

/// Appends until the process is killed, noting outside the engine what was acknowledged.
fn write_until_killed(engine: &dyn Engine, folder: &Path) -> Result<()> {
    let blocks = Blocks::new();
    let noted = std::fs::File::create(acknowledged_path(folder))?;
    let mut next = engine.next_offset()?;
    process::report_ready();
    loop {
        engine.append(&blocks.block(next))?;
        next += BLOCK_RECORDS;
        // One write of a fixed length, which a kill does not tear.
        noted.write_all_at(format!("{next:020}").as_bytes(), 0)?;
    }
}

fn check_after_kill(engine: &dyn Engine, folder: &Path) -> Result<()> {
    let acknowledged: u64 = std::fs::read_to_string(acknowledged_path(folder))?.parse()?;
    let found = engine.next_offset()?;
    report("lost", acknowledged.saturating_sub(found) as f64);
    Ok(())
}

/// Beside the engine's folder, where the engine does not see it.
fn acknowledged_path(folder: &Path) -> std::path::PathBuf {
    folder.with_extension("acknowledged")
}

/// Records made from a pool of random bytes.
struct Blocks {
    pool: Bytes,
}

impl Blocks {
    fn new() -> Self {
        let mut random = Random(42);
        let pool: Vec<u8> = (0..1 << 17)
            .flat_map(|_| random.draw().to_le_bytes())
            .collect();
        Self { pool: pool.into() }
    }

    fn block(&self, block: u64) -> Vec<Record> {
        let mut random = Random(block);
        let mut slice = |bytes: usize| {
            let start = random.below((self.pool.len() - bytes) as u64) as usize;
            self.pool.slice(start..start + bytes)
        };
        (0..BLOCK_RECORDS)
            .map(|_| Record {
                key: slice(KEY_BYTES),
                value: slice(VALUE_BYTES),
            })
            .collect()
    }
}
