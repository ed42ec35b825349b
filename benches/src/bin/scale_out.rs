//! Two onlinefs beside one, each behind the same backlog in Kafka: how they share it, and whether a row
//! takes more processor time for that.

use twinfold_benches::{
    Deployment, Outcome, RowPool, bare, memory_mb_of, processor_seconds, settle, wide_group,
};
use twinfold_testkit::{ServiceProcess, servers};

/// Instances in each round; each number comes early once and late once.
const ROUNDS: [usize; 4] = [1, 2, 2, 1];

#[tokio::main(flavor = "multi_thread")]
async fn main() {
    let rows = std::env::args().nth(1).expect("how many rows");
    let rows: usize = rows.parse().expect("a number of rows");
    let deployment = Deployment::start().await;
    let pool = RowPool::new();
    println!("warming up");
    run(&deployment, &pool, "warm_up", 1, rows / 2).await;
    let mut outcomes = Vec::new();
    for (round, instances) in ROUNDS.into_iter().enumerate() {
        let name = format!("round_{round}");
        let outcome = run(&deployment, &pool, &name, instances, rows).await;
        println!("{instances} onlinefs: {outcome}");
        outcomes.push((instances, outcome));
    }
    let mean = |wanted: usize| {
        let of_wanted = outcomes
            .iter()
            .filter(|(instances, _)| *instances == wanted);
        Outcome::mean(&of_wanted.map(|(_, outcome)| *outcome).collect::<Vec<_>>())
    };
    let (one, two) = (mean(1), mean(2));
    println!("one: {one}");
    println!("two: {two}");
    println!(
        "scale-out: ours {:.2} µs of processor per row (two onlinefs), peer {:.2} µs (one), ratio {:.2}",
        two.processor_us,
        one.processor_us,
        two.processor_us / one.processor_us
    );
}

/// Lets `instances` onlinefs work off a backlog of their own. Processor time is that of all of them, from
/// their start on.
async fn run(
    deployment: &Deployment,
    pool: &RowPool,
    name: &str,
    instances: usize,
    rows: usize,
) -> Outcome {
    let group = wide_group(name, 11);
    let resource = deployment.create(&group).await.resource.clone();
    deployment.fill(&group, pool.batches(rows)).await;
    settle().await;
    let url = deployment.cassandra_url();
    let start = || deployment.onlinefs(&url, &[]);
    let mut onlinefs = futures::future::join_all((0..instances).map(|_| start())).await;
    let mut shares = None;
    let look = |passed: u64| {
        if passed > rows as u64 / 2 && shares.is_none() {
            shares = Some(shares_of(deployment, &resource));
        }
    };
    let rate = deployment.work_off(&resource, rows as u64, look).await;
    let spent: Vec<f64> = onlinefs
        .iter()
        .map(|process| processor_seconds(process.pid()))
        .collect();
    let memory_mb: u64 = onlinefs
        .iter()
        .map(|process| memory_mb_of(process.pid()).1)
        .sum();
    let shares = shares.unwrap_or_default();
    println!("  partitions {shares:?}, seconds of processor {spent:.2?}");
    onlinefs.iter_mut().for_each(ServiceProcess::stop);
    deployment
        .check_readable(&url, &group, &resource, pool, rows)
        .await;
    deployment.delete(&group).await;
    Outcome {
        rate,
        processor_us: spent.iter().sum::<f64>() * 1e6 / rows as f64,
        memory_mb,
    }
}

/// Partitions of each member.
fn shares_of(deployment: &Deployment, resource: &str) -> Vec<usize> {
    let group = format!("onlinefs.{}", deployment.broker_topic(resource));
    bare::kafka::shares(&servers().kafka_bootstrap_servers, &group)
}
