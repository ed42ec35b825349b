//! Rows on their way to the brokers.

use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::Message as _;
use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{
    BaseProducer, BaseRecord, DeliveryResult, Producer as _, ProducerContext, ThreadedProducer,
};
use tokio::sync::{OwnedMutexGuard, oneshot};
use tracing::warn;
use twinfold_wire::record::Headers;

use super::failure::{self, failed};
use super::{KafkaOptions, Topic, offset_from, partition_to};
use crate::{Append, Appended, Error, NewRecord, Result, blocking};

/// What errors say that did not work, and with what.
const CONNECT: &str = "a client cannot be made";
const CLIENT: &str = "producer";
/// While the send buffer is full.
const FULL_PAUSE: Duration = Duration::from_millis(1);

type Client = ThreadedProducer<Deliveries>;

pub(super) struct Producer {
    config: ClientConfig,
    /// Made for the first append: its thread takes a hundredth of a processor although nothing comes, which
    /// a process that only reads has no use for.
    client: Mutex<Option<Arc<Client>>>,
    delivery_timeout: Duration,
    request_timeout: Duration,
    record_bytes_max: u32,
}

impl std::fmt::Debug for Producer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Producer").finish_non_exhaustive()
    }
}

impl Producer {
    pub(super) fn new(options: &KafkaOptions) -> Result<Self> {
        let config = options.producer();
        // What is wrong with it is told now.
        let checked: Result<BaseProducer<Deliveries>, _> = config.create_with_context(Deliveries);
        checked.map_err(failed(CONNECT, CLIENT))?;
        Ok(Self {
            client: Mutex::default(),
            config,
            delivery_timeout: options.delivery_timeout(),
            request_timeout: options.request_timeout(),
            record_bytes_max: options.record_bytes_max,
        })
    }

    /// Returns when the in-sync replicas have every record; gives the turn back when the client has. A
    /// client that has no room for them until the deadline gets no more of them.
    pub(super) async fn append(
        self: &Arc<Self>,
        topic: &Arc<Topic>,
        appends: Vec<Append>,
        turn: OwnedMutexGuard<()>,
        deadline: Instant,
    ) -> Result<Vec<Appended>> {
        let appended = self.append_all(topic, appends, turn, deadline).await;
        if appended.is_err() {
            let producer = Arc::clone(self);
            blocking(move || producer.replace_failed()).await?;
        }
        appended
    }

    async fn append_all(
        self: &Arc<Self>,
        topic: &Arc<Topic>,
        appends: Vec<Append>,
        turn: OwnedMutexGuard<()>,
        deadline: Instant,
    ) -> Result<Vec<Appended>> {
        let (producer, known) = (Arc::clone(self), Arc::clone(topic));
        let sent = blocking(move || {
            // Until all is handed over, also when nobody waits for this any more.
            let _turn = turn;
            let sent = appends.iter();
            let sent = sent.map(|append| producer.send(&known, append, deadline));
            sent.collect::<Result<Vec<Sent>>>()
        });
        let mut appended = Vec::new();
        for sent in sent.await? {
            appended.push(self.finished(topic, sent).await?);
        }
        Ok(appended)
    }

    /// A client that has lost count of what the brokers have does nothing any more: the next append gets
    /// another. What others have given to the old one fails with it, now and not at their timeout.
    fn replace_failed(&self) -> Result<()> {
        let mut slot = self.slot();
        let fatal = slot
            .as_ref()
            .and_then(|client| client.client().fatal_error());
        let Some((code, reason)) = fatal else {
            return Ok(());
        };
        let old = slot.replace(connect(&self.config)?);
        drop(slot);
        warn!(%code, reason, "the kafka producer failed for good and was replaced");
        drop(old);
        Ok(())
    }

    fn client(&self) -> Result<Arc<Client>> {
        let mut slot = self.slot();
        if let Some(client) = &*slot {
            return Ok(Arc::clone(client));
        }
        let client = connect(&self.config)?;
        *slot = Some(Arc::clone(&client));
        Ok(client)
    }

    fn slot(&self) -> MutexGuard<'_, Option<Arc<Client>>> {
        self.client.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands the records over to the client, in order; waits while its buffer is full.
    fn send(&self, topic: &Topic, append: &Append, deadline: Instant) -> Result<Sent> {
        let client = self.client()?;
        let (done, confirmed) = oneshot::channel();
        let delivery = Arc::new(Delivery::new(append.records.len(), done));
        let headers = to_kafka(&append.headers);
        for record in &append.records {
            self.check_size(topic, record)?;
            let mut message = BaseRecord::with_opaque_to(&topic.name, Arc::clone(&delivery))
                .partition(partition_to(append.partition))
                .key(&record.key[..])
                .payload(&record.value[..]);
            message.headers.clone_from(&headers);
            while let Err((error, unsent)) = client.send(message) {
                let is_full = error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull);
                if !is_full || Instant::now() > deadline {
                    return Err(append_failed(topic, error));
                }
                std::thread::sleep(FULL_PAUSE);
                message = unsent;
            }
        }
        Ok(Sent {
            partition: append.partition,
            count: append.records.len() as u64,
            delivery,
            confirmed,
        })
    }

    fn check_size(&self, topic: &Topic, record: &NewRecord) -> Result<()> {
        let found_bytes = (record.key.len() + record.value.len()) as u64;
        let bytes_max = u64::from(self.record_bytes_max);
        if found_bytes < bytes_max {
            return Ok(());
        }
        Err(Error::AppendTooLarge {
            topic: topic.name.clone(),
            found_bytes,
            bytes_max,
        })
    }

    async fn finished(self: &Arc<Self>, topic: &Arc<Topic>, sent: Sent) -> Result<Appended> {
        if sent.count == 0 {
            return self.nothing_appended(topic, sent).await;
        }
        // The library reports on every record, at the latest after the delivery timeout.
        sent.confirmed.await.map_err(|_| Error::Closed)?;
        if let Some(error) = sent.delivery.failure() {
            return Err(append_failed(topic, error));
        }
        Ok(Appended {
            partition: sent.partition,
            first: offset_from(sent.delivery.first.load(Ordering::Acquire)),
            next: offset_from(sent.delivery.last.load(Ordering::Acquire)).plus(1),
            count: sent.count,
        })
    }

    /// No records stand at the end of their partition.
    async fn nothing_appended(
        self: &Arc<Self>,
        topic: &Arc<Topic>,
        sent: Sent,
    ) -> Result<Appended> {
        let (producer, topic) = (Arc::clone(self), Arc::clone(topic));
        blocking(move || {
            let id = partition_to(sent.partition);
            let client = producer.client()?;
            let client = client.client();
            let bounds = client.fetch_watermarks(&topic.name, id, producer.request_timeout);
            let (_, next) = bounds.map_err(failed("bounds of a topic", &topic.name))?;
            Ok(Appended {
                partition: sent.partition,
                first: offset_from(next),
                next: offset_from(next),
                count: 0,
            })
        })
        .await
    }

    pub(super) fn flush(&self) -> Result<()> {
        let Some(client) = self.slot().clone() else {
            return Ok(());
        };
        let flushed = client.flush(self.delivery_timeout);
        flushed.map_err(failed("sending what is buffered", CLIENT))
    }
}

fn connect(config: &ClientConfig) -> Result<Arc<Client>> {
    let client = config.create_with_context(Deliveries).map(Arc::new);
    client.map_err(failed(CONNECT, CLIENT))
}

/// A client that failed for good is no lasting failure: the next append has another.
fn append_failed(topic: &Topic, error: KafkaError) -> Error {
    let is_fatal = error.rdkafka_error_code() == Some(RDKafkaErrorCode::Fatal);
    let mut error = failed("append", &topic.name)(error);
    if let Error::Kafka { retry, .. } = &mut error {
        *retry |= is_fatal;
    }
    error
}

/// An append that is under way.
struct Sent {
    partition: twinfold_model::PartitionId,
    count: u64,
    delivery: Arc<Delivery>,
    confirmed: oneshot::Receiver<()>,
}

/// What the brokers have said of the records of one append so far.
struct Delivery {
    left: AtomicUsize,
    first: AtomicI64,
    last: AtomicI64,
    failure: Mutex<Option<KafkaError>>,
    done: Mutex<Option<oneshot::Sender<()>>>,
}

impl Delivery {
    fn new(records: usize, done: oneshot::Sender<()>) -> Self {
        Self {
            left: AtomicUsize::new(records),
            first: AtomicI64::new(i64::MAX),
            last: AtomicI64::new(-1),
            failure: Mutex::default(),
            done: Mutex::new(Some(done)),
        }
    }

    fn note(&self, outcome: Result<i64, &KafkaError>) {
        match outcome {
            Ok(offset) => {
                self.first.fetch_min(offset, Ordering::AcqRel);
                self.last.fetch_max(offset, Ordering::AcqRel);
            }
            Err(error) => {
                let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
                failure.get_or_insert_with(|| error.clone());
            }
        }
        if self.left.fetch_sub(1, Ordering::AcqRel) == 1 {
            let mut done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(done) = done.take() {
                // Whoever waited may have gone.
                let _gone = done.send(());
            }
        }
    }

    fn failure(&self) -> Option<KafkaError> {
        let failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        failure.clone()
    }
}

/// Hears of every record, in the thread that serves the client.
struct Deliveries;

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        failure::log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        failure::note(&error, reason);
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = Arc<Delivery>;

    fn delivery(&self, result: &DeliveryResult<'_>, delivery: Arc<Delivery>) {
        match result {
            Ok(message) => delivery.note(Ok(message.offset())),
            Err((error, _)) => delivery.note(Err(error)),
        }
    }
}

fn to_kafka(headers: &Headers) -> Option<OwnedHeaders> {
    let pairs = headers.to_pairs();
    if pairs.is_empty() {
        return None;
    }
    let mut kafka = OwnedHeaders::new_with_capacity(pairs.len());
    for (key, value) in &pairs {
        kafka = kafka.insert(Header {
            key,
            value: Some(value),
        });
    }
    Some(kafka)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use rdkafka::mocking::MockCluster;
    use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
    use twinfold_model::{Offset, PartitionId};

    use super::*;

    fn one_record() -> Vec<Append> {
        vec![Append {
            partition: PartitionId(0),
            headers: Headers::default(),
            records: vec![NewRecord {
                key: vec![1].into(),
                value: vec![2].into(),
            }],
        }]
    }

    #[tokio::test]
    async fn a_client_that_failed_for_good_is_replaced() {
        let brokers = MockCluster::new(1).expect("brokers");
        brokers.create_topic("rows", 1, 1).expect("topic");
        let options = KafkaOptions::new(brokers.bootstrap_servers());
        let producer = Arc::new(Producer::new(&options).expect("producer"));
        let topic = Arc::new(Topic {
            name: "rows".to_owned(),
            partitions: 1,
            dropped: AtomicBool::new(false),
        });
        let turn = || Arc::<tokio::sync::Mutex<()>>::default().lock_owned();
        let deadline = Instant::now() + options.delivery_timeout();
        // Of the first request in flight this is fatal to the client.
        let lost_count = [RDKafkaRespErr::RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER];
        brokers.request_errors(RDKafkaApiKey::Produce, &lost_count);
        let failed = producer.append(&topic, one_record(), turn().await, deadline);
        let failed = failed.await.expect_err("the brokers refused it");
        assert!(failed.retry(), "{failed}");
        let appended = producer.append(&topic, one_record(), turn().await, deadline);
        let appended = appended.await.expect("by another client");
        assert_eq!((appended[0].first, appended[0].count), (Offset(0), 1));
    }
}
