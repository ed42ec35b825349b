//! From produce to readable: probes among a steady load on Kafka are looked for in Cassandra, with
//! onlinefs between the two, and with a bare consumer that writes what comes.

use std::time::Duration;

use arrow::record_batch::RecordBatch;
use tokio::time::Instant;
use twinfold_benches::bare::cql::Table;
use twinfold_benches::bare::{self, Relay};
use twinfold_benches::{Deployment, Latencies, Load, PROBE_EVERY, RowPool, settle, wide_group};
use twinfold_model::FeatureGroup;
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
/// How long rows flow before they count.
const WARM_UP: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(5);
const DRAIN_MAX: Duration = Duration::from_secs(60);
/// Hopsworks published 250 ms at p99 for its OnlineFS in 2021: for batches of 1,000 rows of 948 bytes, without
/// the time in the queue, on other machines.
const PUBLISHED_MS: f64 = 250.0;
const PUBLISHED_ROWS: usize = 1_000;
const ROW_BYTES: usize = 950;

struct Bench {
    deployment: Deployment,
    batches: Vec<RecordBatch>,
    level: Duration,
}

/// A feature group of its own for each measurement: what a store still does with rows of the one before
/// would slow it down.
struct Stage {
    group: FeatureGroup,
    resource: String,
    load: Load,
    probes: Load,
}

#[tokio::main(flavor = "multi_thread")]
async fn main() {
    let seconds = std::env::args().nth(1).expect("seconds of each level");
    let bench = Bench {
        deployment: Deployment::start().await,
        batches: RowPool::new().batches(LOAD_ROWS).collect(),
        level: Duration::from_secs(seconds.parse().expect("a number of seconds")),
    };
    // The first time is for warming up.
    bench.highest_rate("warm_up").await;
    let highest = bench.highest_rate("highest").await;
    println!("at most {highest:.0} rows/s through onlinefs, with the producer beside it");
    let (mut ours, mut peer) = (Vec::new(), Vec::new());
    // One after the other at each level: the machine is not the same from minute to minute.
    for (place, share) in LEVELS.into_iter().enumerate() {
        let found = bench.ours(&format!("ours_{place}"), highest * share).await;
        println!("{share} of it, onlinefs:      {found}");
        ours.push(found);
        let found = bench.peer(&format!("peer_{place}"), highest * share).await;
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
    async fn stage(&self, name: &str) -> Stage {
        let group = wide_group(name, 11);
        let definition = self.deployment.create(&group).await;
        let load = |batches: &[RecordBatch]| {
            Load::new(
                &self.deployment.topics,
                &definition.resource,
                &group,
                definition.schema,
                batches.iter().cloned(),
            )
        };
        let probes = self.level.as_millis() / PROBE_EVERY.as_millis() + 2;
        Stage {
            load: load(&self.batches),
            probes: load(&[bench_rows(FIRST_PROBE, probes as usize, 0)]),
            resource: definition.resource.clone(),
            group,
        }
    }

    /// Produces as fast as onlinefs follows.
    async fn highest_rate(&self, name: &str) -> f64 {
        let mut stage = self.stage(name).await;
        let mut onlinefs = self.onlinefs(&[]).await;
        // Until rows flow.
        self.saturate(&mut stage, WARM_UP).await;
        let (started, before) = (Instant::now(), self.passed(&stage).await);
        self.saturate(&mut stage, self.level).await;
        let rows = self.passed(&stage).await - before;
        let rate = rows as f64 / started.elapsed().as_secs_f64();
        self.end(&stage, &mut onlinefs).await;
        rate
    }

    async fn onlinefs(&self, settings: &[(&'static str, &str)]) -> ServiceProcess {
        let url = self.deployment.cassandra_url();
        self.deployment.onlinefs(&url, settings).await
    }

    async fn ours(&self, name: &str, rate: f64) -> Latencies {
        let mut stage = self.stage(name).await;
        let mut onlinefs = self.onlinefs(&[]).await;
        // It has joined the group when this is through.
        stage.load.append(1).await;
        self.drain(&stage).await;
        let contact_points = servers().cassandra_contact_points.as_str();
        // Where onlinefs writes: the groups before are gone with their tables.
        let table = Table::other(contact_points, self.deployment.keyspace()).await;
        let (load, probes) = (&mut stage.load, &mut stage.probes);
        let found = Latencies::measure(load, probes, &table, rate, self.level).await;
        self.end(&stage, &mut onlinefs).await;
        found
    }

    async fn peer(&self, name: &str, rate: f64) -> Latencies {
        let mut stage = self.stage(name).await;
        let topic = self.deployment.broker_topic(&stage.resource);
        let (servers, keyspace) = (servers(), self.deployment.keyspace());
        let contact_points = servers.cassandra_contact_points.as_str();
        let kafka = servers.kafka_bootstrap_servers.as_str();
        let _relay = Relay::start(&[kafka, &topic, contact_points, keyspace]);
        let table = Table::open(contact_points, keyspace, bare::TABLE).await;
        settle().await;
        let (load, probes) = (&mut stage.load, &mut stage.probes);
        let found = Latencies::measure(load, probes, &table, rate, self.level).await;
        self.deployment.delete(&stage.group).await;
        settle().await;
        found
    }

    async fn saturate(&self, stage: &mut Stage, duration: Duration) {
        let started = Instant::now();
        while started.elapsed() < duration {
            if stage.load.sent - self.passed(stage).await < BACKLOG_ROWS {
                stage.load.append(SLICE_ROWS).await;
            } else {
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    async fn passed(&self, stage: &Stage) -> u64 {
        self.deployment.passed(&stage.resource).await
    }

    /// Waits until onlinefs has all that was sent, and the machine is calm.
    async fn drain(&self, stage: &Stage) {
        let sent = stage.load.sent + stage.probes.sent;
        eventually(DRAIN_MAX, || async { self.passed(stage).await >= sent }).await;
        settle().await;
    }

    async fn end(&self, stage: &Stage, onlinefs: &mut ServiceProcess) {
        self.drain(stage).await;
        onlinefs.stop();
        self.deployment.delete(&stage.group).await;
        settle().await;
    }

    /// How long onlinefs takes for a batch as large as that of the published figure.
    async fn processing(&self) {
        let mut stage = self.stage("processing").await;
        for _ in 0..LOAD_ROWS / SLICE_ROWS {
            stage.load.append(SLICE_ROWS).await;
        }
        settle().await;
        let rows_max = PUBLISHED_ROWS.to_string();
        let bytes_max = (PUBLISHED_ROWS * ROW_BYTES).to_string();
        let settings = [
            ("BATCHES__BATCH_ROWS_MAX", rows_max.as_str()),
            ("BATCHES__BATCH_BYTES_MAX", bytes_max.as_str()),
        ];
        let mut onlinefs = self.onlinefs(&settings).await;
        let worked_off = self
            .deployment
            .work_off(&stage.resource, stage.load.sent, |_| ());
        let batch_ms = PUBLISHED_ROWS as f64 * 1e3 / worked_off.await;
        println!("batches of {PUBLISHED_ROWS} rows: one every {batch_ms:.1} ms");
        let (p50, p99) = write_seconds(&onlinefs);
        println!(
            "batches of {PUBLISHED_ROWS} rows: written within {:.1} ms at p50 and {:.1} ms at p99 (Hopsworks \
             published {PUBLISHED_MS} ms of processing at p99)",
            p50 * 1e3,
            p99 * 1e3
        );
        self.end(&stage, &mut onlinefs).await;
    }
}

/// Seconds within which one of two writes of the process ended, and 99 of 100: upper bounds of buckets of
/// its histogram.
fn write_seconds(onlinefs: &ServiceProcess) -> (f64, f64) {
    let metrics = onlinefs.ask("/metrics").expect("metrics");
    let mut buckets: Vec<(f64, f64)> = metrics.lines().filter_map(bucket).collect();
    buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
    let all = buckets.last().expect("writes were counted").1;
    let within = |share: f64| {
        let bucket = buckets.iter().find(|(_, count)| *count >= share * all);
        bucket.expect("the last one has all").0
    };
    (within(0.5), within(0.99))
}

/// The bound of a bucket of the time that writes take and how many it has; there is one group only.
fn bucket(line: &str) -> Option<(f64, f64)> {
    let rest = line.strip_prefix("twinfold_ingest_write_seconds_bucket{")?;
    let (labels, count) = rest.rsplit_once(' ')?;
    let (_, bound) = labels.rsplit_once("le=\"")?;
    // The last one is `+Inf`, which is a number too.
    Some((bound.split('"').next()?.parse().ok()?, count.parse().ok()?))
}
