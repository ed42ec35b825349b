//! Measurements in processes of their own, and killing one.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::Workload;

/// The first argument of a child.
pub const CHILD: &str = "--child";
/// What a child prints when it may be killed.
const READY: &str = "ready";

/// What a child measured, by name.
pub type Figures = BTreeMap<String, f64>;

/// Prints a figure for the parent.
pub fn report(name: &str, value: f64) {
    println!("{name}={value}");
}

pub fn report_ready() {
    println!("{READY}");
}

/// Runs a step to its end and answers its figures.
pub fn run(
    kind: &str,
    step: &str,
    engine: &str,
    folder: &Path,
    workload: &Workload,
) -> Result<Figures> {
    let mut child = start(kind, step, engine, folder, workload)?;
    let figures = read_figures(&mut child, |_| false)?;
    let status = child.wait()?;
    ensure!(status.success(), "{kind} {step} of {engine}: {status}");
    Ok(figures)
}

/// Runs a step until it is ready, and kills it `workload.kill_after_ms` later without warning.
pub fn run_and_kill(
    kind: &str,
    step: &str,
    engine: &str,
    folder: &Path,
    workload: &Workload,
) -> Result<Figures> {
    let mut child = start(kind, step, engine, folder, workload)?;
    let figures = read_figures(&mut child, |line| line == READY)?;
    std::thread::sleep(Duration::from_millis(workload.kill_after_ms));
    ensure!(
        child.try_wait()?.is_none(),
        "{engine} ended before it was killed"
    );
    child.kill()?;
    child.wait()?;
    Ok(figures)
}

fn start(
    kind: &str,
    step: &str,
    engine: &str,
    folder: &Path,
    workload: &Workload,
) -> Result<Child> {
    eprintln!("{kind}: {engine}: {step}");
    Command::new(std::env::current_exe()?)
        .args([CHILD, kind, step, engine])
        .arg(folder)
        .args(workload.arguments())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start a child")
}

fn read_figures(child: &mut Child, is_last: impl Fn(&str) -> bool) -> Result<Figures> {
    let output = child.stdout.take().context("no output")?;
    let mut figures = Figures::new();
    for line in BufReader::new(output).lines() {
        let line = line?;
        if is_last(&line) {
            break;
        }
        if let Some((name, value)) = line.split_once('=') {
            figures.insert(name.to_owned(), value.parse()?);
        }
    }
    Ok(figures)
}
