//! How long rows take from a producer to a reader.

use std::collections::{HashSet, VecDeque};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::bare::cql::Table;
use crate::{Load, percentile};

/// Between two probes.
pub const PROBE_EVERY: Duration = Duration::from_millis(20);
/// What one question after probes asks for, at most.
const KEYS_MAX: usize = 100;
const READ_EVERY: Duration = Duration::from_millis(2);
/// A probe that is not there after this long is lost.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// From when a probe was due to be sent until it was read.
#[derive(Debug)]
pub struct Latencies {
    pub p50_ms: f64,
    pub p99_ms: f64,
    probes: usize,
    rate: f64,
}

impl Latencies {
    /// Sends probes among a load of `rate` rows a second, and looks for them in the table.
    pub async fn measure(
        load: &mut Load,
        probes: &mut Load,
        table: &Table,
        rate: f64,
        duration: Duration,
    ) -> Self {
        let waiting = Waiting::default();
        let ((), (), mut samples) = tokio::join!(
            load.run(rate, duration),
            send(probes, &waiting, duration),
            look_for(&waiting, table)
        );
        Self {
            p50_ms: percentile(&mut samples, 0.5),
            p99_ms: percentile(&mut samples, 0.99),
            probes: samples.len(),
            rate,
        }
    }
}

impl fmt::Display for Latencies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "p50 {:>6.1} ms, p99 {:>6.1} ms ({} probes among {:.0} rows/s)",
            self.p50_ms, self.p99_ms, self.probes, self.rate
        )
    }
}

/// Sends a probe whenever one is due, whatever became of those before.
async fn send(probes: &mut Load, waiting: &Waiting, duration: Duration) {
    let mut under_way = JoinSet::new();
    let mut ticks = tokio::time::interval(PROBE_EVERY);
    let started = Instant::now();
    while started.elapsed() < duration {
        // The time at which it was due: a probe that goes out late is no fresher for that.
        let due = ticks.tick().await;
        let key = probes.append_one(&mut under_way);
        waiting.probes().push_back((key, due));
    }
    under_way.join_all().await;
    waiting.are_all_out.store(true, Ordering::SeqCst);
}

/// Reads until all probes are found; the milliseconds that each took.
async fn look_for(waiting: &Waiting, table: &Table) -> Vec<f64> {
    let mut samples = Vec::new();
    loop {
        let are_all_out = waiting.are_all_out.load(Ordering::SeqCst);
        let keys = waiting.oldest();
        if keys.is_empty() && are_all_out {
            return samples;
        }
        if !keys.is_empty() {
            let found = table.present(&keys).await.into_iter().collect();
            samples.extend(waiting.took(&found));
        }
        tokio::time::sleep(READ_EVERY).await;
    }
}

/// Probes that have not been found, and when each was due.
#[derive(Default)]
struct Waiting {
    probes: Mutex<VecDeque<(Bytes, Instant)>>,
    are_all_out: AtomicBool,
}

impl Waiting {
    fn probes(&self) -> MutexGuard<'_, VecDeque<(Bytes, Instant)>> {
        self.probes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn oldest(&self) -> Vec<Bytes> {
        let probes = self.probes();
        if let Some((_, due)) = probes.front() {
            assert!(due.elapsed() < WAIT_MAX, "a probe is lost");
        }
        let keys = probes.iter().map(|(key, _)| key.clone());
        keys.take(KEYS_MAX).collect()
    }

    /// Strikes out what was found; the milliseconds since each was due.
    fn took(&self, found: &HashSet<Bytes>) -> Vec<f64> {
        let now = Instant::now();
        let mut took_ms = Vec::with_capacity(found.len());
        self.probes().retain(|(key, due)| {
            let is_found = found.contains(key);
            if is_found {
                took_ms.push((now - *due).as_secs_f64() * 1e3);
            }
            !is_found
        });
        took_ms
    }
}
