//! The embedded engines side by side, on the workload they are chosen for.
//!
//! Two questions are asked: which engine keeps the newest row per key, and which keeps the ordered
//! log. Every measurement runs in a process of its own (this program starts itself again), so that
//! memory is that of one engine, and one of them is killed to see what its next opening costs.
//! The result is printed as Markdown.

mod log;
mod measure;
mod process;
mod rows;

use std::path::PathBuf;

use anyhow::{Context, Result, bail};

const USAGE: &str = "usage: twinfold-bench-engines [--rows N] [--space-rows N] [--log-records N] \
[--readers N] [--kill-after-ms N] [--folder DIR] [--only NAME[,NAME]] [--skip-rows] [--skip-log]";

/// How large the workload is.
#[derive(Debug, Clone)]
pub struct Workload {
    pub rows: u64,
    /// Keys of the run that updates every one of them ten times.
    pub space_rows: u64,
    pub log_records: u64,
    pub readers: usize,
    pub kill_after_ms: u64,
    pub folder: PathBuf,
    pub only: Vec<String>,
    pub skip_rows: bool,
    pub skip_log: bool,
}

impl Default for Workload {
    fn default() -> Self {
        Self {
            rows: 5_000_000,
            space_rows: 1_000_000,
            log_records: 5_000_000,
            readers: 8,
            kill_after_ms: 3_000,
            folder: std::env::temp_dir(),
            only: Vec::new(),
            skip_rows: false,
            skip_log: false,
        }
    }
}

impl Workload {
    fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self> {
        let mut workload = Self::default();
        while let Some(name) = arguments.next() {
            let mut value = || {
                arguments
                    .next()
                    .with_context(|| format!("{name}: no value; {USAGE}"))
            };
            match name.as_str() {
                "--rows" => workload.rows = value()?.parse()?,
                "--space-rows" => workload.space_rows = value()?.parse()?,
                "--log-records" => workload.log_records = value()?.parse()?,
                "--readers" => workload.readers = value()?.parse()?,
                "--kill-after-ms" => workload.kill_after_ms = value()?.parse()?,
                "--folder" => workload.folder = value()?.into(),
                "--only" => workload.only = value()?.split(',').map(str::to_owned).collect(),
                "--skip-rows" => workload.skip_rows = true,
                "--skip-log" => workload.skip_log = true,
                other => bail!("unknown argument `{other}`; {USAGE}"),
            }
        }
        Ok(workload)
    }

    pub fn wants(&self, engine: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == engine)
    }

    /// The arguments that make a child's workload the same.
    pub fn arguments(&self) -> Vec<String> {
        let numbers = [
            ("--rows", self.rows),
            ("--space-rows", self.space_rows),
            ("--log-records", self.log_records),
            ("--readers", self.readers as u64),
            ("--kill-after-ms", self.kill_after_ms),
        ];
        numbers
            .into_iter()
            .flat_map(|(name, value)| [name.to_owned(), value.to_string()])
            .collect()
    }
}

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1).peekable();
    if arguments.next_if(|first| first == process::CHILD).is_some() {
        let mut next = || {
            arguments
                .next()
                .context("a child needs kind, step, engine and folder")
        };
        let (kind, step, engine, folder) = (next()?, next()?, next()?, PathBuf::from(next()?));
        let workload = Workload::parse(arguments)?;
        return match kind.as_str() {
            "rows" => rows::child(&step, &engine, &folder, &workload),
            "log" => log::child(&step, &engine, &folder, &workload),
            other => bail!("unknown kind `{other}`"),
        };
    }
    let workload = Workload::parse(arguments)?;
    println!("{}\n", measure::machine());
    let mut summary = None;
    if !workload.skip_rows {
        summary = rows::run(&workload)?;
    }
    if !workload.skip_log {
        log::run(&workload)?;
    }
    if let Some(line) = summary {
        println!("{line}");
    }
    Ok(())
}
