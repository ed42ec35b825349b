//! What processes have taken of the machine, as the kernel counts it.

use std::fs;
use std::time::{Duration, Instant};

/// The kernel shows programs its times in hundredths of a second, whatever its own tick is.
const TICKS_PER_SECOND: f64 = 100.0;
/// A machine that is busy for less than this share of the time has nothing left to do.
const CALM_SHARE: f64 = 0.15;
const SETTLE_MAX: Duration = Duration::from_secs(30);

/// Resident memory of this process now and at its highest, in MB.
pub fn memory_mb() -> (u64, u64) {
    memory_mb_of(std::process::id())
}

/// Resident memory of a process now and at its highest, in MB.
pub fn memory_mb_of(pid: u32) -> (u64, u64) {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let value = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name));
        let kb = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
        kb.unwrap_or(0) / 1_024
    };
    (value("VmRSS:"), value("VmHWM:"))
}

/// Seconds of processor time, of user and system, that a process has taken since it started.
pub fn processor_seconds(pid: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("the process runs");
    // Its name may hold anything; what stands behind it has an order.
    let (_, fields) = stat.rsplit_once(')').expect("a name in parentheses");
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let seconds = |place: usize| fields[place].parse::<f64>().expect("ticks") / TICKS_PER_SECOND;
    let (user, system) = (seconds(11), seconds(12));
    user + system
}

/// Waits until the machine is calm: what servers do behind one load must not slow the next one down.
pub async fn settle() {
    let started = Instant::now();
    let mut before = machine_ticks();
    while started.elapsed() < SETTLE_MAX {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let now = machine_ticks();
        let busy_share = (now.busy - before.busy) / (now.all - before.all).max(1.0);
        if busy_share < CALM_SHARE {
            return;
        }
        before = now;
    }
    println!("  (the machine was not calm within {SETTLE_MAX:?})");
}

struct Ticks {
    busy: f64,
    all: f64,
}

fn machine_ticks() -> Ticks {
    let stat = fs::read_to_string("/proc/stat").expect("the kernel counts");
    let line = stat.lines().next().expect("all processors");
    let ticks = line.split_whitespace().skip(1);
    let ticks: Vec<f64> = ticks.map(|ticks| ticks.parse().expect("ticks")).collect();
    // User, nice, system, idle, waiting for disks, interrupts, soft interrupts, stolen.
    let all: f64 = ticks[..8].iter().sum();
    Ticks {
        busy: all - ticks[3] - ticks[4],
        all,
    }
}
