//! Memory of onlinefs while it works off a backlog in Kafka: it must not grow with it. Keys repeat, so
//! that what grows is the backlog alone.

use twinfold_benches::{BATCH_ROWS, Deployment, RowPool, bare, memory_mb_of, settle, wide_group};
use twinfold_testkit::servers;

const KEYS: usize = 500_000;
const LIMIT_MB: u64 = 300;
const LOOKS: u64 = 10;

#[tokio::main(flavor = "multi_thread")]
async fn main() {
    let rows = std::env::args().nth(1).expect("how many rows");
    let rows: usize = rows.parse().expect("a number of rows");
    let deployment = Deployment::start().await;
    let group = wide_group("backlog", 11);
    let pool = RowPool::new();
    let resource = deployment.create(&group).await.resource.clone();
    let firsts = (0..rows).step_by(BATCH_ROWS);
    let batches = firsts.map(|first| pool.batch(first % KEYS, BATCH_ROWS.min(rows - first)));
    deployment.fill(&group, batches).await;
    settle().await;

    let topic = deployment.broker_topic(&resource);
    let consumer = bare::run(&["consume", &servers().kafka_bootstrap_servers, &topic]);
    println!("bare consumer {consumer}");
    let mut onlinefs = deployment.onlinefs(&deployment.cassandra_url(), &[]).await;
    let mut looks = 0;
    let look = |passed: u64| {
        let reached = passed * LOOKS / rows as u64;
        if reached > looks {
            looks = reached;
            let (now, at_most) = memory_mb_of(onlinefs.pid());
            println!("  {passed:>9} rows written: {now} MB, {at_most} MB at most");
        }
    };
    let rate = deployment.work_off(&resource, rows as u64, look).await;
    let (_, at_most) = memory_mb_of(onlinefs.pid());
    onlinefs.stop();
    deployment.delete(&group).await;
    println!("{rate:.0} rows/s");
    println!(
        "onlinefs-memory: ours {at_most} MB at most behind {rows} rows (limit {LIMIT_MB} MB), peer {} MB \
         (bare consumer), ratio {:.2}",
        consumer.memory_mb,
        at_most as f64 / consumer.memory_mb as f64
    );
}
