//! The log in Apache Kafka.
//!
//! Any number of processes share it. Rows of one key stay in order because the port names the
//! partition of every append. What this backend cannot promise, because brokers do not: an append may be
//! cut between two records by a crash, and records of other writers may stand between those of one
//! append. Neither matters to consumers: a row is whole, and a receipt waits for its last record.

mod admin;
mod assignment;
mod batches;
mod failure;
mod fetcher;
mod options;
mod producer;
mod progress;
mod subscription;
mod threads;

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use async_trait::async_trait;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use tokio::sync::OwnedMutexGuard;
use twinfold_model::{Offset, PartitionId, Positions};

use crate::names::{check_consumer_name, check_topic_name};
use crate::{
    Append, Appended, Bounds, Error, Result, Subscription, TopicConfig, TopicStore, blocking,
};
use admin::Admin;
use failure::failed;
use producer::Producer;
use progress::ProgressClients;
use subscription::KafkaSubscription;
use threads::Threads;

pub use options::{Compression, KafkaOptions};

/// More than this makes every rebalance and every metadata request slow.
const PARTITIONS_MAX: u32 = 1024;

/// Topics in a Kafka cluster.
pub struct KafkaTopics {
    options: Arc<KafkaOptions>,
    admin: Arc<Admin>,
    producer: Arc<Producer>,
    topics: Mutex<HashMap<String, Arc<Topic>>>,
    /// For each topic, held by the append that hands its records over: others wait for their turn, in order.
    turns: Mutex<HashMap<String, Turn>>,
    progress_clients: Arc<ProgressClients>,
    threads: Arc<Threads>,
    closed: Arc<AtomicBool>,
}

impl fmt::Debug for KafkaTopics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let servers = &self.options.bootstrap_servers;
        f.debug_struct("KafkaTopics")
            .field("servers", servers)
            .finish_non_exhaustive()
    }
}

type Turn = Arc<tokio::sync::Mutex<()>>;

/// What is known of a topic until it is dropped.
#[derive(Debug)]
struct Topic {
    /// As the brokers know it.
    name: String,
    partitions: u32,
    dropped: AtomicBool,
}

impl KafkaTopics {
    /// Connects; fails when no broker answers.
    pub async fn connect(options: KafkaOptions) -> Result<Self> {
        let options = Arc::new(options);
        let admin = {
            let options = Arc::clone(&options);
            blocking(move || Admin::connect(options)).await?
        };
        Ok(Self {
            producer: Arc::new(Producer::new(&options)?),
            progress_clients: Arc::new(ProgressClients::new(Arc::clone(&options))),
            threads: Arc::default(),
            options,
            admin: Arc::new(admin),
            topics: Mutex::default(),
            turns: Mutex::default(),
            closed: Arc::new(AtomicBool::new(false)),
        })
    }

    fn check_open(&self) -> Result<()> {
        match self.closed.load(Ordering::SeqCst) {
            true => Err(Error::Closed),
            false => Ok(()),
        }
    }

    fn topics(&self) -> MutexGuard<'_, HashMap<String, Arc<Topic>>> {
        self.topics.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The topic, once it is our turn to append.
    async fn topic_in_turn(
        &self,
        topic: &str,
        deadline: Instant,
    ) -> Result<(Arc<Topic>, OwnedMutexGuard<()>)> {
        let waiting = async {
            // Before the topic is looked up, which takes one longer than another; and it may be closed or
            // dropped by the time that it is our turn.
            let turn = self.turn(topic).await;
            Ok::<_, Error>((self.topic(topic).await?, turn))
        };
        let waited = tokio::time::timeout_at(deadline.into(), waiting).await;
        waited.unwrap_or_else(|_| {
            let late = KafkaError::MessageProduction(RDKafkaErrorCode::OperationTimedOut);
            Err(failed("append", &self.name_of(topic))(late))
        })
    }

    /// The turn of who appends next.
    async fn turn(&self, topic: &str) -> OwnedMutexGuard<()> {
        let turn = Arc::clone(self.turns().entry(topic.to_owned()).or_default());
        turn.lock_owned().await
    }

    fn turns(&self) -> MutexGuard<'_, HashMap<String, Turn>> {
        self.turns.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The topic as remembered, or as the brokers know it.
    async fn topic(&self, name: &str) -> Result<Arc<Topic>> {
        self.check_open()?;
        if let Some(topic) = self.topics().get(name) {
            return Ok(Arc::clone(topic));
        }
        self.look_up(name).await
    }

    /// The topic, if the brokers know it.
    async fn look_up(&self, name: &str) -> Result<Arc<Topic>> {
        self.check_open()?;
        let (admin, asked) = (Arc::clone(&self.admin), self.name_of(name));
        let partitions = blocking(move || admin.partitions(&asked)).await?;
        let partitions = partitions.ok_or_else(|| Error::UnknownTopic {
            topic: name.to_owned(),
        })?;
        Ok(self.remember(name, partitions))
    }

    /// What the brokers call the topic.
    fn name_of(&self, topic: &str) -> String {
        format!("{}{topic}", self.options.topic_prefix)
    }

    fn remember(&self, name: &str, partitions: u32) -> Arc<Topic> {
        let topic = Arc::new(Topic {
            name: self.name_of(name),
            partitions,
            dropped: AtomicBool::new(false),
        });
        Arc::clone(self.topics().entry(name.to_owned()).or_insert(topic))
    }

    /// Whoever still holds the topic sees that it is gone.
    fn note_dropped(&self, name: &str) {
        self.turns().remove(name);
        if let Some(topic) = self.topics().remove(name) {
            topic.dropped.store(true, Ordering::SeqCst);
        }
    }

    /// A topic that another process dropped is not remembered any longer.
    fn note_failure(&self, name: &str, error: Error) -> Error {
        if matches!(error, Error::UnknownTopic { .. }) {
            self.note_dropped(name);
        }
        error
    }
}

impl Topic {
    fn check_partition(&self, partition: PartitionId) -> Result<()> {
        if partition.0 < self.partitions {
            return Ok(());
        }
        Err(Error::UnknownPartition {
            topic: self.name.clone(),
            partition: partition.0,
            partitions: self.partitions,
        })
    }

    fn check_there(&self) -> Result<()> {
        match self.dropped.load(Ordering::SeqCst) {
            true => Err(self.unknown()),
            false => Ok(()),
        }
    }

    fn unknown(&self) -> Error {
        Error::UnknownTopic {
            topic: self.name.clone(),
        }
    }
}

/// The consumer group of a consumer on a topic: each topic has its own, so that a rebalance of one
/// feature group does not stop the others.
fn group_of(topic: &str, consumer: &str) -> String {
    format!("{consumer}.{topic}")
}

#[async_trait]
impl TopicStore for KafkaTopics {
    async fn create(&self, topic: &str, config: &TopicConfig) -> Result<()> {
        self.check_open()?;
        check_topic_name(topic)?;
        if !(1..=PARTITIONS_MAX).contains(&config.partitions) {
            return Err(Error::InvalidPartitions {
                topic: topic.to_owned(),
                found: config.partitions,
                partitions_max: PARTITIONS_MAX,
            });
        }
        let found = self.admin.create(&self.name_of(topic), config).await?;
        if found != config.partitions {
            return Err(Error::TopicMismatch {
                topic: topic.to_owned(),
                found,
                wanted: config.partitions,
            });
        }
        self.remember(topic, found);
        Ok(())
    }

    async fn drop_topic(&self, topic: &str) -> Result<()> {
        self.check_open()?;
        self.note_dropped(topic);
        self.admin.drop_topic(&self.name_of(topic)).await
    }

    fn forget(&self, topic: &str) {
        self.topics().remove(topic);
        self.turns().remove(topic);
    }

    async fn append(&self, topic: &str, appends: Vec<Append>) -> Result<Vec<Appended>> {
        // To be handed over by then, however many others are before.
        let deadline = Instant::now() + self.options.delivery_timeout();
        let known = self.topic_in_turn(topic, deadline).await;
        let (known, turn) = known.map_err(|error| self.note_failure(topic, error))?;
        for append in &appends {
            known.check_partition(append.partition)?;
        }
        let appended = self.producer.append(&known, appends, turn, deadline).await;
        appended.map_err(|error| self.note_failure(topic, error))
    }

    /// Nothing is left to do: an append returns when the in-sync replicas have it.
    async fn sync(&self, topic: &str) -> Result<()> {
        self.topic(topic).await.map(drop)
    }

    async fn bounds(&self, topic: &str) -> Result<Vec<Bounds>> {
        let known = self.topic(topic).await?;
        let admin = Arc::clone(&self.admin);
        let bounds = blocking(move || {
            let partitions = (0..known.partitions).map(PartitionId);
            partitions.map(|id| admin.bounds(&known.name, id)).collect()
        });
        let bounds: Result<Vec<Bounds>> = bounds.await;
        bounds.map_err(|error| self.note_failure(topic, error))
    }

    async fn progress(&self, topic: &str, consumer: &str) -> Result<Positions> {
        let known = self.topic(topic).await?;
        check_consumer_name(consumer)?;
        let clients = Arc::clone(&self.progress_clients);
        let group = group_of(&known.name, consumer);
        let timeout = self.options.request_timeout();
        blocking(move || {
            let client = clients.of(&group)?;
            let partitions = (0..known.partitions).map(PartitionId);
            assignment::committed(&client, &known.name, partitions, timeout)
        })
        .await
    }

    async fn subscribe(&self, topic: &str, consumer: &str) -> Result<Box<dyn Subscription>> {
        check_consumer_name(consumer)?;
        // Not from memory: another process may have dropped it, and its consumers rely on hearing of that.
        let known = self.look_up(topic).await?;
        let (options, closed) = (Arc::clone(&self.options), Arc::clone(&self.closed));
        let threads = Arc::clone(&self.threads);
        let group = group_of(&known.name, consumer);
        let joined =
            blocking(move || KafkaSubscription::join(&options, known, &group, closed, &threads));
        Ok(Box::new(joined.await?))
    }

    /// The brokers forget by themselves.
    async fn enforce_retention(&self, topic: &str) -> Result<()> {
        self.topic(topic).await.map(drop)
    }

    async fn close(&self) -> Result<()> {
        if self.closed.swap(true, Ordering::SeqCst) {
            return Ok(());
        }
        let (producer, threads) = (Arc::clone(&self.producer), Arc::clone(&self.threads));
        blocking(move || {
            threads.end();
            producer.flush()
        })
        .await
    }
}

/// Kafka counts offsets in signed numbers.
fn offset_from(found: i64) -> Offset {
    Offset(u64::try_from(found).unwrap_or(0))
}

fn offset_to(offset: Offset) -> i64 {
    i64::try_from(offset.0).unwrap_or(i64::MAX)
}

/// Kafka numbers partitions in signed numbers; there are at most [`PARTITIONS_MAX`].
fn partition_from(found: i32) -> PartitionId {
    PartitionId(u32::try_from(found).unwrap_or(u32::MAX))
}

fn partition_to(partition: PartitionId) -> i32 {
    i32::try_from(partition.0).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use rdkafka::mocking::MockCluster;

    use super::*;

    #[tokio::test]
    async fn nothing_is_remembered_of_a_topic_that_is_forgotten() {
        let brokers = MockCluster::new(1).expect("brokers");
        brokers.create_topic("rows", 1, 1).expect("topic");
        let options = KafkaOptions::new(brokers.bootstrap_servers());
        let topics = KafkaTopics::connect(options).await.expect("connected");
        let appended = topics.append("rows", Vec::new()).await;
        assert_eq!(appended.expect("appended"), []);
        assert!(topics.topics().contains_key("rows") && topics.turns().contains_key("rows"));
        TopicStore::forget(&topics, "rows");
        assert!(topics.topics().is_empty() && topics.turns().is_empty());
    }

    #[tokio::test]
    async fn who_waits_for_others_to_append_is_told_in_the_end() {
        let brokers = MockCluster::new(1).expect("brokers");
        brokers.create_topic("rows", 1, 1).expect("topic");
        let mut options = KafkaOptions::new(brokers.bootstrap_servers());
        options.delivery_timeout_ms = 100;
        let topics = KafkaTopics::connect(options).await.expect("connected");
        let turn = topics.turn("rows").await;
        let late = topics.append("rows", Vec::new()).await;
        let late = late.expect_err("it was another's turn");
        assert!(
            late.retry() && late.to_string().contains("`rows`"),
            "{late}"
        );
        drop(turn);
    }
}
