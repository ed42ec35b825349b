//! Topics as such: made, dropped, looked at.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::admin::{
    AdminClient, AdminOptions, AlterConfig, ConfigSource, NewTopic, ResourceSpecifier,
    TopicReplication, TopicResult,
};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use twinfold_model::PartitionId;

use super::failure::{Logged, failed};
use super::{KafkaOptions, offset_from, partition_to};
use crate::{Bounds, Error, Result, TopicConfig, blocking};

/// How long to wait for the first broker to answer.
const CONNECT_MAX: Duration = Duration::from_secs(10);
/// How long brokers may take to let go of a topic that was dropped, or to tell each other of a new one.
const SETTLE_MAX: Duration = Duration::from_secs(30);
const SETTLE_PAUSE: Duration = Duration::from_millis(50);
/// What is done, for errors.
const SETTINGS: &str = "settings of a topic";

pub(super) struct Admin {
    options: Arc<KafkaOptions>,
    client: AdminClient<Logged>,
    /// Belongs to no consumer group; only asks.
    asking: BaseConsumer,
}

impl std::fmt::Debug for Admin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Admin").finish_non_exhaustive()
    }
}

impl Admin {
    pub(super) fn connect(options: Arc<KafkaOptions>) -> Result<Self> {
        let no_client = failed("a client cannot be made", "admin");
        let config = options.client();
        let admin = Self {
            client: config.create_with_context(Logged).map_err(no_client)?,
            asking: config.create().map_err(no_client)?,
            options,
        };
        let answer = admin
            .asking
            .fetch_metadata(None, CONNECT_MAX.min(admin.timeout()));
        match answer {
            Ok(_) => Ok(admin),
            Err(source) => Err(Error::Connect {
                servers: admin.options.bootstrap_servers.clone(),
                source: Box::new(source),
            }),
        }
    }

    fn timeout(&self) -> Duration {
        self.options.request_timeout()
    }

    /// The number of partitions; `None` when there is no such topic.
    pub(super) fn partitions(&self, topic: &str) -> Result<Option<u32>> {
        let metadata = self.asking.fetch_metadata(Some(topic), self.timeout());
        let metadata = metadata.map_err(failed("metadata of a topic", topic))?;
        let found = metadata.topics().iter().find(|found| found.name() == topic);
        let Some(found) = found else { return Ok(None) };
        match found.error() {
            None => Ok(u32::try_from(found.partitions().len()).ok()),
            Some(error) => match RDKafkaErrorCode::from(error) {
                RDKafkaErrorCode::UnknownTopicOrPartition => Ok(None),
                code => Err(failed("metadata of a topic", topic)(
                    KafkaError::MetadataFetch(code),
                )),
            },
        }
    }

    pub(super) fn bounds(&self, topic: &str, partition: PartitionId) -> Result<Bounds> {
        let id = partition_to(partition);
        let bounds = self.asking.fetch_watermarks(topic, id, self.timeout());
        let (earliest, next) = bounds.map_err(failed("bounds of a topic", topic))?;
        Ok(Bounds {
            partition,
            earliest: offset_from(earliest),
            next: offset_from(next),
        })
    }

    /// Makes the topic, or gives it another retention; says how many partitions it has.
    pub(super) async fn create(self: &Arc<Self>, topic: &str, config: &TopicConfig) -> Result<u32> {
        let deadline = Instant::now() + SETTLE_MAX;
        loop {
            if let Some(found) = self.look(topic).await? {
                self.keep_as(topic, config).await?;
                return Ok(found);
            }
            match self.make(topic, config).await {
                Ok(()) => {}
                // Made by another meanwhile, or dropped and not yet gone.
                Err(RDKafkaErrorCode::TopicAlreadyExists) if Instant::now() < deadline => {}
                Err(code) => {
                    return Err(failed("making a topic", topic)(KafkaError::AdminOp(code)));
                }
            }
            // Not every broker has heard of it yet.
            tokio::time::sleep(SETTLE_PAUSE).await;
        }
    }

    async fn look(self: &Arc<Self>, topic: &str) -> Result<Option<u32>> {
        let (admin, topic) = (Arc::clone(self), topic.to_owned());
        blocking(move || admin.partitions(&topic)).await
    }

    async fn make(&self, topic: &str, config: &TopicConfig) -> Result<(), RDKafkaErrorCode> {
        // -1 is the cluster's default.
        let replication = self.options.replication.map_or(-1, i32::from);
        let partitions = i32::try_from(config.partitions).unwrap_or(i32::MAX);
        let settings = self.settings(config);
        let mut new = NewTopic::new(topic, partitions, TopicReplication::Fixed(replication));
        for (name, value) in &settings {
            new = new.set(name, value);
        }
        let answers = self.client.create_topics([&new], &self.admin_options());
        first(answers.await)
    }

    /// Gives a topic that is there the settings that it would be made with. The brokers forget what is not
    /// named with them, so what an operator has set for the topic is named too.
    async fn keep_as(&self, topic: &str, config: &TopicConfig) -> Result<()> {
        let (wanted, found) = (self.settings(config), self.settings_of(topic).await?);
        let mut ours = wanted.iter();
        if ours.all(|(name, value)| found.get(*name) == Some(value)) {
            return Ok(());
        }
        let mut altered = AlterConfig::new(ResourceSpecifier::Topic(topic));
        for (name, value) in &found {
            altered = altered.set(name, value);
        }
        for (name, value) in &wanted {
            altered = altered.set(name, value);
        }
        let answers = self.client.alter_configs([&altered], &self.admin_options());
        let code = match answers.await {
            Err(error) => return Err(failed(SETTINGS, topic)(error)),
            Ok(answers) => answers.into_iter().find_map(Result::err),
        };
        match code {
            None => Ok(()),
            Some((_, code)) => Err(failed(SETTINGS, topic)(KafkaError::AdminOp(code))),
        }
    }

    /// What is set for the topic itself, by us or by an operator.
    async fn settings_of(&self, topic: &str) -> Result<BTreeMap<String, String>> {
        let specifier = ResourceSpecifier::Topic(topic);
        let answers = self
            .client
            .describe_configs([&specifier], &self.admin_options());
        let answers = answers.await.map_err(failed(SETTINGS, topic))?;
        let mut settings = BTreeMap::new();
        for answer in answers {
            let found =
                answer.map_err(|code| failed(SETTINGS, topic)(KafkaError::AdminOp(code)))?;
            let set = found.entries.into_iter();
            let set = set.filter(|entry| entry.source == ConfigSource::DynamicTopic);
            settings.extend(set.filter_map(|entry| Some((entry.name, entry.value?))));
        }
        Ok(settings)
    }

    fn settings(&self, config: &TopicConfig) -> [(&'static str, String); 5] {
        let millis = |time: Duration| i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
        let bytes = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
        [
            ("cleanup.policy", "delete".to_owned()),
            // Rows without a time of their own get the log's.
            ("message.timestamp.type", "LogAppendTime".to_owned()),
            (
                "max.message.bytes",
                self.options.record_bytes_max.to_string(),
            ),
            (
                "retention.ms",
                config.retention.map_or(-1, millis).to_string(),
            ),
            (
                "retention.bytes",
                config.retention_bytes_max.map_or(-1, bytes).to_string(),
            ),
        ]
    }

    /// Drops the topic and the progress of its consumers; returns when it is gone.
    pub(super) async fn drop_topic(self: &Arc<Self>, topic: &str) -> Result<()> {
        let answers = self.client.delete_topics(&[topic], &self.admin_options());
        match first(answers.await) {
            Ok(()) | Err(RDKafkaErrorCode::UnknownTopicOrPartition) => {}
            Err(code) => {
                return Err(failed("dropping a topic", topic)(KafkaError::AdminOp(code)));
            }
        }
        let deadline = Instant::now() + SETTLE_MAX;
        while self.look(topic).await?.is_some() {
            if Instant::now() > deadline {
                let late = KafkaError::AdminOp(RDKafkaErrorCode::OperationTimedOut);
                return Err(failed("dropping a topic", topic)(late));
            }
            tokio::time::sleep(SETTLE_PAUSE).await;
        }
        Ok(())
    }

    fn admin_options(&self) -> AdminOptions {
        AdminOptions::new()
            .request_timeout(Some(self.timeout()))
            .operation_timeout(Some(self.timeout()))
    }
}

/// The answer about the one topic that was asked for.
fn first(answers: KafkaResult<Vec<TopicResult>>) -> Result<(), RDKafkaErrorCode> {
    match answers {
        Err(error) => Err(error
            .rdkafka_error_code()
            .unwrap_or(RDKafkaErrorCode::Unknown)),
        Ok(answers) => match answers.into_iter().find_map(Result::err) {
            None => Ok(()),
            Some((_, code)) => Err(code),
        },
    }
}
