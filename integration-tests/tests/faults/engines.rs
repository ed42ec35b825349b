//! Servers that end, in the ordinary way or not, and come back.

use twinfold_integration_tests::{End, lasting};

use crate::stage::Stage;

const BROKERS: [&str; 3] = ["kafka-0", "kafka-1", "kafka-2"];

pub async fn kafka_broker_restarted(stage: &mut Stage) {
    let broker = one_broker(stage);
    stage.servers.restart(&[broker], End::Asked).await;
}

pub async fn kafka_broker_killed(stage: &mut Stage) {
    let broker = one_broker(stage);
    stage.servers.restart(&[broker], End::Killed).await;
}

/// Two of three are in sync, which is enough to go on.
pub async fn kafka_broker_down(stage: &mut Stage) {
    let broker = one_broker(stage);
    stage.servers.stop(&[broker], End::Killed).await;
    lasting(stage.fault).await;
    stage.servers.restart(&[broker], End::Asked).await;
}

/// All at once.
pub async fn kafka_killed(stage: &mut Stage) {
    stage.servers.restart(&BROKERS, End::Killed).await;
}

/// In the ordinary way, because it is the only copy: killed, it forgets what was not yet in its log.
pub async fn cassandra_down(stage: &mut Stage) {
    stage.servers.stop(&["cassandra"], End::Asked).await;
    lasting(stage.fault * 3 / 2).await;
    stage.servers.restart(&["cassandra"], End::Asked).await;
}

pub async fn postgres_restarted(stage: &mut Stage) {
    restart_postgres(stage, End::Asked).await;
}

pub async fn postgres_killed(stage: &mut Stage) {
    restart_postgres(stage, End::Killed).await;
}

/// While a feature group is made.
async fn restart_postgres(stage: &mut Stage, end: End) {
    let name = stage.next_name();
    let (group, ()) = tokio::join!(
        stage.define(&name),
        stage.servers.restart(&["postgres"], end)
    );
    stage.prove_new(group).await;
}

fn one_broker(stage: &mut Stage) -> &'static str {
    BROKERS[stage.random.below(BROKERS.len() as u64) as usize]
}
