//! onlinefs behind a backlog in Kafka: rows per second and processor time per row, beside a bare consumer
//! of the same topic and bare writes of the same bytes into the same store.

use std::path::Path;

use twinfold_benches::{
    Deployment, Outcome, RowPool, bare, memory_mb_of, processor_seconds, settle, wide_group,
};
use twinfold_model::FeatureGroup;
use twinfold_store_online::TableConfig;
use twinfold_testkit::servers;

const WIDTHS: [usize; 3] = [11, 51, 101];
const CONNECTIONS: [usize; 3] = [1, 2, 4];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Store {
    Cassandra,
    Embedded,
}

struct Sides {
    features: usize,
    ours: Outcome,
    consumer: Outcome,
    /// Before and after ours: the machine is not the same from minute to minute.
    writes: Outcome,
}

#[tokio::main(flavor = "multi_thread")]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let store = match arguments.first().map(String::as_str) {
        Some("cassandra") => Store::Cassandra,
        Some("embedded") => Store::Embedded,
        found => panic!("wanted cassandra or embedded, found {found:?}"),
    };
    let rows: usize = arguments[1].parse().expect("a number of rows");
    let deployment = Deployment::start().await;
    println!("warming up");
    measure(&deployment, store, "warm_up", WIDTHS[0], rows / 2).await;
    let mut all = Vec::new();
    for features in WIDTHS {
        println!("{rows} rows of {features} features");
        let name = format!("bench_{features}");
        let sides = measure(&deployment, store, &name, features, rows).await;
        println!("  onlinefs      {}", sides.ours);
        println!("  bare consumer {}", sides.consumer);
        println!("  bare writes   {}", sides.writes);
        all.push(sides);
    }
    if store == Store::Cassandra {
        compare_connections(&deployment, rows).await;
    }
    // The worst of the widths is the figure.
    let worst = all
        .iter()
        .min_by(|a, b| score(store, a).total_cmp(&score(store, b)));
    println!("{}", summary(store, worst.expect("there are widths")));
}

/// The larger, the better we are.
fn score(store: Store, sides: &Sides) -> f64 {
    match store {
        Store::Cassandra => sides.ours.rate / slower(sides),
        Store::Embedded => both_us(sides) / sides.ours.processor_us,
    }
}

fn slower(sides: &Sides) -> f64 {
    sides.consumer.rate.min(sides.writes.rate)
}

fn both_us(sides: &Sides) -> f64 {
    sides.consumer.processor_us + sides.writes.processor_us
}

fn summary(store: Store, sides: &Sides) -> String {
    let features = sides.features;
    match store {
        Store::Cassandra => format!(
            "onlinefs: ours {:.0} rows/s, peer {:.0} rows/s (the slower of a bare consumer and bare inserts, \
             {features} features), ratio {:.2}",
            sides.ours.rate,
            slower(sides),
            sides.ours.rate / slower(sides)
        ),
        Store::Embedded => format!(
            "onlinefs-embedded: ours {:.2} µs of processor per row, peer {:.2} µs (a bare consumer and bare \
             upserts, {features} features), ratio {:.2}",
            sides.ours.processor_us,
            both_us(sides),
            sides.ours.processor_us / both_us(sides)
        ),
    }
}

async fn measure(
    deployment: &Deployment,
    store: Store,
    name: &str,
    features: usize,
    rows: usize,
) -> Sides {
    let group = wide_group(name, features);
    let pool = RowPool::with_features(features);
    let resource = deployment.create(&group).await.resource.clone();
    deployment.fill(&group, pool.batches(rows)).await;
    let (servers, topic) = (servers(), deployment.broker_topic(&resource));
    let kafka = servers.kafka_bootstrap_servers.as_str();
    let write = || match store {
        Store::Cassandra => {
            let contact_points = servers.cassandra_contact_points.as_str();
            let keyspace = deployment.keyspace();
            bare::run(&["insert", kafka, &topic, contact_points, keyspace])
        }
        Store::Embedded => bare::run(&["upsert", kafka, &topic]),
    };
    settle().await;
    let consumer = bare::run(&["consume", kafka, &topic]);
    let before = write();
    settle().await;
    let ours = match store {
        Store::Cassandra => {
            let url = deployment.cassandra_url();
            ours(deployment, &url, &group, &resource, &pool, rows).await
        }
        Store::Embedded => {
            let folder = tempfile::tempdir().expect("a folder");
            let url = embedded(folder.path(), &resource).await;
            ours(deployment, &url, &group, &resource, &pool, rows).await
        }
    };
    settle().await;
    let after = write();
    deployment.delete(&group).await;
    Sides {
        features,
        ours,
        consumer,
        writes: Outcome::mean(&[before, after]),
    }
}

/// Says how many connections to a node serve onlinefs best.
async fn compare_connections(deployment: &Deployment, rows: usize) {
    let pool = RowPool::with_features(WIDTHS[0]);
    for connections in CONNECTIONS {
        let group = wide_group(&format!("bench_connections_{connections}"), WIDTHS[0]);
        let resource = deployment.create(&group).await.resource.clone();
        deployment.fill(&group, pool.batches(rows)).await;
        settle().await;
        let url = deployment.cassandra_url();
        let url = format!("{url}&connections_per_shard={connections}");
        let outcome = ours(deployment, &url, &group, &resource, &pool, rows).await;
        println!("  onlinefs over {connections} connections {outcome}");
        deployment.delete(&group).await;
    }
}

/// A store of its own with the table in it: one process at a time may open a folder, so the registry
/// cannot make the table there.
async fn embedded(folder: &Path, resource: &str) -> String {
    let url = format!("file://{}", folder.display());
    let store = twinfold_store_online::open(&url).await.expect("a store");
    let created = store.create_table(resource, TableConfig::default()).await;
    created.expect("a table");
    store.close().await.expect("close");
    url
}

/// Processor time and memory are those of the whole life of the process, start and joining included.
async fn ours(
    deployment: &Deployment,
    online_url: &str,
    group: &FeatureGroup,
    resource: &str,
    pool: &RowPool,
    rows: usize,
) -> Outcome {
    let mut onlinefs = deployment.onlinefs(online_url, &[]).await;
    let rate = deployment.work_off(resource, rows as u64, |_| ()).await;
    let outcome = Outcome {
        rate,
        processor_us: processor_seconds(onlinefs.pid()) * 1e6 / rows as f64,
        memory_mb: memory_mb_of(onlinefs.pid()).1,
    };
    onlinefs.stop();
    let check = deployment.check_readable(online_url, group, resource, pool, rows);
    check.await;
    outcome
}
