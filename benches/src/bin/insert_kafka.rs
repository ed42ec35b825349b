//! Inserting Arrow rows into Kafka until the brokers have them, as `insert` of the Python package does it
//! below its surface, beside a librdkafka producer with the same settings that sends the same bytes,
//! prepared before. The last line has both rates, for `benches/peers/insert_kafka.py`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer, ProducerContext, ThreadedProducer};
use twinfold_benches::{Deployment, Outcome, RowPool, Stopwatch, settle, wide_group};
use twinfold_client::{GroupDefinition, new_ingestion_id};
use twinfold_model::EventTime;
use twinfold_testkit::servers;
use twinfold_wire::record::{Encoder, Headers};
use twinfold_wire::row::{KeyEncoder, partition};

const FLUSH_MAX: Duration = Duration::from_secs(120);
/// While the send buffer is full.
const FULL_PAUSE: Duration = Duration::from_millis(1);

/// What a record has on its way.
struct Prepared {
    partition: i32,
    key: Bytes,
    value: Bytes,
}

#[tokio::main(flavor = "multi_thread")]
async fn main() {
    let rows = std::env::args().nth(1).expect("how many rows");
    let rows: usize = rows.parse().expect("a number of rows");
    let deployment = Deployment::start().await;
    let definition = deployment.create(&wide_group("insert", 11)).await;
    let batches: Vec<RecordBatch> = RowPool::new().batches(rows).collect();
    let prepared = prepare(&definition, &batches);
    let bare = Bare::new(deployment.broker_topic(&definition.resource));

    // One batch each for warming up; then each side comes early once and late once.
    ours(&deployment, &definition, &batches[..1]).await;
    bare.send(&prepared[..batches[0].num_rows()]);
    let (mut of_ours, mut of_bare) = (Vec::new(), Vec::new());
    for is_ours in [true, false, false, true] {
        settle().await;
        if is_ours {
            of_ours.push(ours(&deployment, &definition, &batches).await);
        } else {
            of_bare.push(bare.send(&prepared));
        }
    }
    let (ours, bare) = (Outcome::mean(&of_ours), Outcome::mean(&of_bare));
    println!("Arrow rows, encoded and sent: {ours}");
    println!("bare producer:                {bare}");
    println!("{} {}", ours.rate, bare.rate);
}

async fn ours(
    deployment: &Deployment,
    definition: &GroupDefinition,
    batches: &[RecordBatch],
) -> Outcome {
    let rows = batches.iter().map(RecordBatch::num_rows).sum();
    let (id, now) = (definition.group.id(), EventTime::from_micros(0));
    let watch = Stopwatch::start();
    let inserted = deployment.writer.insert(id, batches.to_vec(), now, &|_| ());
    inserted.await.expect("insert");
    watch.stop(rows)
}

fn prepare(definition: &GroupDefinition, batches: &[RecordBatch]) -> Vec<Prepared> {
    let group = &definition.group;
    let mut encoder = Encoder::new(group, definition.schema).expect("encoder");
    let keys = KeyEncoder::new(group);
    let mut prepared = Vec::new();
    for batch in batches {
        let rows = encoder.encode(batch).expect("rows");
        let keys = keys.encode(batch).expect("keys");
        prepared.extend((0..rows.len()).map(|place| {
            let (key, value) = (keys.key(place), rows.row(place));
            let partition = partition(&key, group.partitions()).0 as i32;
            Prepared {
                partition,
                key,
                value,
            }
        }));
    }
    prepared
}

struct Bare {
    producer: ThreadedProducer<Reports>,
    delivered: Arc<AtomicU64>,
    topic: String,
    headers: OwnedHeaders,
}

impl Bare {
    fn new(topic: String) -> Self {
        let mut config = ClientConfig::new();
        // Those of our producer.
        config
            .set("bootstrap.servers", &servers().kafka_bootstrap_servers)
            .set("socket.keepalive.enable", "true")
            .set("message.max.bytes", (8 << 20).to_string())
            .set("enable.idempotence", "true")
            .set("compression.type", "lz4")
            .set("linger.ms", "2")
            .set("batch.size", "1000000")
            .set("batch.num.messages", "100000")
            .set("queue.buffering.max.messages", "1000000")
            .set("queue.buffering.max.kbytes", (64 << 10).to_string());
        let delivered = Arc::new(AtomicU64::new(0));
        let reports = Reports(Arc::clone(&delivered));
        let producer = config.create_with_context(reports);
        Self {
            producer: producer.expect("a producer"),
            delivered,
            topic,
            headers: headers(),
        }
    }

    /// Returns when the brokers have all.
    fn send(&self, prepared: &[Prepared]) -> Outcome {
        let before = self.delivered.load(Ordering::SeqCst);
        let watch = Stopwatch::start();
        for row in prepared {
            let mut record = BaseRecord::to(&self.topic)
                .partition(row.partition)
                .key(&row.key[..])
                .payload(&row.value[..])
                .headers(self.headers.clone());
            while let Err((error, unsent)) = self.producer.send(record) {
                let code = error.rdkafka_error_code();
                assert_eq!(code, Some(RDKafkaErrorCode::QueueFull), "{error}");
                std::thread::sleep(FULL_PAUSE);
                record = unsent;
            }
        }
        self.producer.flush(FLUSH_MAX).expect("flush");
        let outcome = watch.stop(prepared.len());
        let delivered = self.delivered.load(Ordering::SeqCst) - before;
        assert_eq!(delivered, prepared.len() as u64, "rows the brokers have");
        outcome
    }
}

/// Those of every row of an insert.
fn headers() -> OwnedHeaders {
    let headers = Headers {
        ingestion_id: Some(new_ingestion_id()),
        ..Headers::default()
    };
    let mut kafka = OwnedHeaders::new();
    for (key, value) in &headers.to_pairs() {
        kafka = kafka.insert(Header {
            key,
            value: Some(value),
        });
    }
    kafka
}

/// Counts what the brokers have confirmed.
struct Reports(Arc<AtomicU64>);

impl ClientContext for Reports {}

impl ProducerContext for Reports {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if result.is_ok() {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
}
