//! From produce to readable: probes among a steady load on Kafka are looked for in Cassandra, with
//! onlinefs between the two, and with a bare consumer that writes what comes.

use std::time::Duration;

use arrow::record_batch::RecordBatch;
use tokio::time::Instant;
use twinfold_benches::bare::Relay;
use twinfold_benches::bare::cql::Table;
use twinfold_benches::{Deployment, Latencies, Load, PROBE_EVERY, RowPool, settle, wide_group};
use twinfold_testkit::{ServiceProcess, bench_rows, eventually, servers};

/// Shares of the highest throughput.
const LEVELS: [f64; 3] = [0.1, 0.5, 0.9];
/// The level of the last line.
const LEVEL_SHOWN: usize = 1;
const LOAD_ROWS: usize = 160_000;
/// Far from the keys of the load.
const FIRST_PROBE: i64 = 1_000_000_000;
/// Rows between the producer and onlinefs when the highest throughput is looked for.
const BACKLOG_ROWS: u64 = 40_000;
const SLICE_ROWS: usize = 2_000;
const PAUSE: Duration = Duration::from_millis(5);
const DRAIN_MAX: Duration = Duration::from_secs(60);
/// Hopsworks published 250 ms at p99 for its OnlineFS in 2021: for batches of 1,000 rows of 948 bytes, without
/// the time in the queue, on other machines.
const PUBLISHED_MS: f64 = 250.0;
const PUBLISHED_ROWS: usize = 1_000;
const ROW_BYTES: usize = 950;

struct Bench {
    deployment: Deployment,
    resource: String,
    /// Where onlinefs writes.
    table: Table,
    load: Load,
    probes: Load,
    level: Duration,
}

#[tokio::main(flavor = "multi_thread")]
async fn main() {
    let seconds = std::env::args().nth(1).expect("seconds of each level");
    let level = Duration::from_secs(seconds.parse().expect("a number of seconds"));
    let mut bench = Bench::new(level).await;
    let highest = bench.highest_rate().await;
    println!("at most {highest:.0} rows/s through onlinefs, with the producer beside it");
    let (mut ours, mut peer) = (Vec::new(), Vec::new());
    // One after the other at each level: the servers are not the same from minute to minute.
    for share in LEVELS {
        let found = bench.ours(highest * share).await;
        println!("{share} of it, onlinefs:      {found}");
        ours.push(found);
        let found = bench.peer(highest * share).await;
        println!("{share} of it, bare pipeline: {found}");
        peer.push(found);
    }
    bench.processing().await;
    let (ours, peer) = (ours[LEVEL_SHOWN].p99_ms, peer[LEVEL_SHOWN].p99_ms);
    println!(
        "freshness: ours {ours:.1} ms p99 at {} of the highest throughput, peer {peer:.1} ms (a bare \
         consumer and bare inserts), ratio {:.2}",
        LEVELS[LEVEL_SHOWN],
        ours / peer
    );
}

impl Bench {
    async fn new(level: Duration) -> Self {
        let deployment = Deployment::start().await;
        let group = wide_group("freshness", 11);
        let definition = deployment.create(&group).await;
        let load = |batches: Vec<RecordBatch>| {
            let topics = &deployment.topics;
            Load::new(
                topics,
                &definition.resource,
                &group,
                definition.schema,
                batches,
            )
        };
        // Each probe has a key of its own, in all levels of both sides.
        let per_level = level.as_millis() / PROBE_EVERY.as_millis() + 2;
        let probes = LEVELS.len() * 2 * per_level as usize;
        let contact_points = servers().cassandra_contact_points.as_str();
        Self {
            table: Table::only(contact_points, deployment.keyspace()).await,
            probes: load(vec![bench_rows(FIRST_PROBE, probes, 0)]),
            load: load(RowPool::new().batches(LOAD_ROWS).collect()),
            resource: definition.resource.clone(),
            deployment,
            level,
        }
    }

    /// Produces as fast as onlinefs follows.
    async fn highest_rate(&mut self) -> f64 {
        let mut onlinefs = self.onlinefs().await;
        // The first time is for warming up.
        self.saturate().await;
        let (started, before) = (Instant::now(), self.passed().await);
        self.saturate().await;
        let rows = self.passed().await - before;
        let rate = rows as f64 / started.elapsed().as_secs_f64();
        self.drain().await;
        onlinefs.stop();
        rate
    }

    async fn onlinefs(&self) -> ServiceProcess {
        let url = self.deployment.cassandra_url();
        self.deployment.onlinefs(&url, &[]).await
    }

    async fn ours(&mut self, rate: f64) -> Latencies {
        let mut onlinefs = self.onlinefs().await;
        // What the other side was sent comes first.
        self.drain().await;
        let (load, probes) = (&mut self.load, &mut self.probes);
        let found = Latencies::measure(load, probes, &self.table, rate, self.level).await;
        self.drain().await;
        onlinefs.stop();
        found
    }

    async fn peer(&mut self, rate: f64) -> Latencies {
        let topic = self.deployment.broker_topic(&self.resource);
        let (kafka, keyspace) = (
            &servers().kafka_bootstrap_servers,
            self.deployment.keyspace(),
        );
        let contact_points = servers().cassandra_contact_points.as_str();
        let _relay = Relay::start(&[kafka, &topic, contact_points, keyspace]);
        let table = Table::open(contact_points, keyspace, "bare").await;
        settle().await;
        let (load, probes) = (&mut self.load, &mut self.probes);
        let found = Latencies::measure(load, probes, &table, rate, self.level).await;
        settle().await;
        found
    }

    async fn saturate(&mut self) {
        let started = Instant::now();
        while started.elapsed() < self.level {
            if self.load.sent - self.passed().await < BACKLOG_ROWS {
                self.load.append(SLICE_ROWS).await;
            } else {
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    fn sent(&self) -> u64 {
        self.load.sent + self.probes.sent
    }

    async fn passed(&self) -> u64 {
        self.deployment.passed(&self.resource).await
    }

    /// Waits until onlinefs has all that was sent, and the machine is calm.
    async fn drain(&self) {
        eventually(DRAIN_MAX, || async { self.passed().await >= self.sent() }).await;
        settle().await;
    }

    /// How long onlinefs takes for a batch as large as that of the published figure.
    async fn processing(&mut self) {
        for _ in 0..LOAD_ROWS / SLICE_ROWS {
            self.load.append(SLICE_ROWS).await;
        }
        settle().await;
        let rows_max = PUBLISHED_ROWS.to_string();
        let bytes_max = (PUBLISHED_ROWS * ROW_BYTES).to_string();
        let settings = [
            ("BATCHES__BATCH_ROWS_MAX", rows_max.as_str()),
            ("BATCHES__BATCH_BYTES_MAX", bytes_max.as_str()),
        ];
        let url = self.deployment.cassandra_url();
        let mut onlinefs = self.deployment.onlinefs(&url, &settings).await;
        let worked_off = self
            .deployment
            .work_off(&self.resource, self.sent(), |_| ());
        let batch_ms = PUBLISHED_ROWS as f64 * 1e3 / worked_off.await;
        println!("batches of {PUBLISHED_ROWS} rows: one every {batch_ms:.1} ms");
        if let Some(seconds) = write_p99(&onlinefs) {
            println!(
                "batches of {PUBLISHED_ROWS} rows: written within {:.1} ms at p99 (Hopsworks published \
                 {PUBLISHED_MS} ms of processing)",
                seconds * 1e3
            );
        }
        onlinefs.stop();
    }
}

/// Seconds below which 99 of 100 writes of the process stay: the upper bound of a bucket of its histogram.
/// `None` when it has none.
fn write_p99(onlinefs: &ServiceProcess) -> Option<f64> {
    let metrics = onlinefs.ask("/metrics")?;
    let mut buckets: Vec<(f64, f64)> = Vec::new();
    for line in metrics.lines() {
        let Some(rest) = line.strip_prefix("twinfold_ingest_write_seconds_bucket{") else {
            continue;
        };
        let (labels, count) = rest.rsplit_once(' ')?;
        let (_, bound) = labels.rsplit_once("le=\"")?;
        // The last one is `+Inf`, which is a number too.
        let bound: f64 = bound.split('"').next()?.parse().ok()?;
        let count: f64 = count.parse().ok()?;
        match buckets.iter_mut().find(|(known, _)| *known == bound) {
            Some((_, counted)) => *counted += count,
            None => buckets.push((bound, count)),
        }
    }
    buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (_, all) = *buckets.last()?;
    let within = buckets.iter().find(|(_, count)| *count >= 0.99 * all);
    within.map(|(bound, _)| *bound)
}
