//! Kafka keeps every guarantee of the port.

use std::sync::{Arc, LazyLock};

use async_trait::async_trait;
use twinfold_store_topic::conformance::Harness;
use twinfold_store_topic::{KafkaOptions, KafkaTopics, Result, TopicStore};
use uuid::Uuid;

/// The cluster that all tests share, seen through names of their own.
struct Cluster;

#[async_trait]
impl Harness for Cluster {
    async fn open(&self) -> Result<Arc<dyn TopicStore>> {
        Ok(Arc::new(KafkaTopics::connect(options()).await?))
    }

    fn keeps_appends_together(&self) -> bool {
        false
    }
}

fn options() -> KafkaOptions {
    static RUN: LazyLock<Uuid> = LazyLock::new(Uuid::new_v4);
    let mut options = KafkaOptions::new(&twinfold_testkit::servers().kafka_bootstrap_servers);
    // The servers may have topics of an earlier run.
    options.topic_prefix = format!("conformance.{}.", RUN.simple());
    options
}

twinfold_store_topic::topic_store_conformance!(Cluster);
