//! Kafka keeps every guarantee of the port.

use std::sync::Arc;

use async_trait::async_trait;
use twinfold_store_topic::conformance::Harness;
use twinfold_store_topic::{KafkaOptions, KafkaTopics, Result, TopicStore};

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
    KafkaOptions::new(&twinfold_testkit::servers().kafka_bootstrap_servers)
}

twinfold_store_topic::topic_store_conformance!(Cluster);
