//! Clocks, memory, disk space and tables.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::process::Figures;

/// What the figures were measured on.
pub fn machine() -> String {
    let first = |path: &str, key: &str| {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let line = text.lines().find(|line| line.starts_with(key));
        line.and_then(|line| line.split(':').nth(1))
            .map_or_else(|| "unknown".to_owned(), |value| value.trim().to_owned())
    };
    format!(
        "{} x {}, {} of memory",
        std::thread::available_parallelism().map_or(0, usize::from),
        first("/proc/cpuinfo", "model name"),
        first("/proc/meminfo", "MemTotal"),
    )
}

/// Memory of this process in bytes: `RssAnon` is its own, `VmRSS` counts mapped files too.
pub fn memory(field: &str) -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kib = status.lines().find_map(|line| {
        let value = line.strip_prefix(field)?.strip_prefix(':')?;
        value.trim().strip_suffix(" kB")?.parse::<f64>().ok()
    });
    kib.unwrap_or(f64::NAN) * 1024.0
}

/// Bytes that a folder takes on the disk; a sparse file counts what is there.
pub fn disk_bytes(folder: &Path) -> Result<u64> {
    use std::os::unix::fs::MetadataExt;
    let mut bytes = 0;
    for file in std::fs::read_dir(folder)? {
        let file = file?;
        // A file may be removed by compaction while this looks.
        let Ok(metadata) = file.metadata() else {
            continue;
        };
        bytes += if metadata.is_dir() {
            disk_bytes(&file.path()).unwrap_or(0)
        } else {
            metadata.blocks() * 512
        };
    }
    Ok(bytes)
}

pub fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    let result = work();
    (result, start.elapsed())
}

/// The duration that `share` of them do not exceed, in µs.
pub fn percentile_us(sorted: &[Duration], share: f64) -> f64 {
    let index = ((sorted.len() as f64 * share).ceil() as usize).clamp(1, sorted.len().max(1)) - 1;
    sorted
        .get(index)
        .map_or(f64::NAN, |found| found.as_secs_f64() * 1e6)
}

/// One column of a table: its heading, the figure, and how to write it.
pub type Column = (&'static str, &'static str, fn(f64) -> String);

pub fn table(columns: &[Column], rows: &[(String, Figures)]) -> String {
    let mut out = String::from("| engine |");
    for (heading, _, _) in columns {
        out += &format!(" {heading} |");
    }
    out += "\n| --- |";
    out += &" ---: |".repeat(columns.len());
    for (engine, figures) in rows {
        out += &format!("\n| {engine} |");
        for (_, name, write) in columns {
            let cell = figures
                .get(*name)
                .map_or_else(|| "-".to_owned(), |value| write(*value));
            out += &format!(" {cell} |");
        }
    }
    out + "\n"
}

pub fn per_second(value: f64) -> String {
    let thousands = (value / 1_000.0).round();
    if value < 10_000.0 {
        return format!("{value:.0}");
    }
    format!("{thousands:.0},000")
}

pub fn micros(value: f64) -> String {
    if value < 100.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.0}")
    }
}

pub fn seconds(value: f64) -> String {
    format!("{value:.2}")
}

pub fn ratio(value: f64) -> String {
    format!("{value:.2}")
}

pub fn count(value: f64) -> String {
    format!("{value:.0}")
}

pub fn gigabytes(value: f64) -> String {
    format!("{:.2}", value / 1e9)
}

pub fn megabytes_per_second(value: f64) -> String {
    format!("{:.0}", value / 1e6)
}
