//! Connections that are reset, stall or crawl.

use std::time::Duration;

use twinfold_integration_tests::{Link, LinkTrouble, lasting};

use crate::stage::Stage;

/// Enough for every client to try again some times.
const RESETS: Duration = Duration::from_secs(1);

macro_rules! troubles {
    ($($link:ident: $resets:ident, $stalls:ident, $crawls:ident;)+) => {$(
        pub async fn $resets(stage: &mut Stage) {
            broken(stage, Link::$link, LinkTrouble::Reset).await;
        }

        pub async fn $stalls(stage: &mut Stage) {
            broken(stage, Link::$link, LinkTrouble::Stalled).await;
        }

        pub async fn $crawls(stage: &mut Stage) {
            broken(stage, Link::$link, LinkTrouble::Slow).await;
        }
    )+};
}

troubles! {
    Kafka: kafka_resets, kafka_stalls, kafka_crawls;
    Cassandra: cassandra_resets, cassandra_stalls, cassandra_crawls;
    Postgres: postgres_resets, postgres_stalls, postgres_crawls;
    S3: s3_resets, s3_stalls, s3_crawls;
}

async fn broken(stage: &mut Stage, link: Link, trouble: LinkTrouble) {
    let duration = match trouble {
        LinkTrouble::Reset => RESETS,
        LinkTrouble::Stalled | LinkTrouble::Slow => stage.fault,
    };
    stage.network.trouble(link, trouble).await;
    if link != Link::Postgres {
        lasting(duration).await;
        stage.network.heal().await;
        return;
    }
    // No row needs it, but definitions do.
    let name = stage.next_name();
    let healed = async {
        lasting(duration).await;
        stage.network.heal().await;
    };
    let (group, ()) = tokio::join!(stage.define(&name), healed);
    stage.prove_new(group).await;
}
