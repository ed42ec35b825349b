//! Reading a topic with librdkafka alone, with the settings that our consumers have.

use std::time::Duration;

use bytes::{Buf, Bytes};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::topic_partition_list::{Offset as At, TopicPartitionList};
use twinfold_model::{EventTime, Offset, Operation, RowVersion};
use twinfold_store_online::Upsert;
use twinfold_testkit::BENCH_START_US;
use twinfold_wire::record::parse_frame;

use crate::{Outcome, Stopwatch};

const PATIENCE: Duration = Duration::from_secs(30);
const POLL_MAX: Duration = Duration::from_millis(100);
/// As many polls as patience has room for.
const POLLS_MAX: u32 = 300;

/// Where reading begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    Earliest,
    /// Behind all that is there.
    End,
}

/// A reader of all partitions of a topic.
pub struct Source {
    consumer: BaseConsumer,
    /// How many there are to read.
    pub rows: usize,
}

impl Source {
    pub fn open(servers: &str, topic: &str, start: Start) -> Self {
        let consumer = client(servers, "bare");
        let metadata = consumer.fetch_metadata(Some(topic), PATIENCE);
        let metadata = metadata.expect("metadata");
        let partitions = metadata.topics()[0].partitions().len() as i32;
        let mut from = TopicPartitionList::new();
        let mut rows = 0;
        for partition in 0..partitions {
            let bounds = consumer.fetch_watermarks(topic, partition, PATIENCE);
            let (earliest, end) = bounds.expect("bounds");
            let first = match start {
                Start::Earliest => earliest,
                Start::End => end,
            };
            let added = from.add_partition_offset(topic, partition, At::Offset(first));
            added.expect("a partition");
            rows += (end - first) as usize;
        }
        consumer.assign(&from).expect("assign");
        Self { consumer, rows }
    }

    /// The next message, if one comes in time.
    pub fn poll(&self, wait_max: Duration) -> Option<BorrowedMessage<'_>> {
        let polled = self.consumer.poll(wait_max)?;
        Some(polled.expect("a message"))
    }

    /// The next message, which is known to be there.
    fn next_message(&self) -> BorrowedMessage<'_> {
        let polled = (0..POLLS_MAX).find_map(|_| self.poll(POLL_MAX));
        polled.expect("a message within half a minute")
    }
}

/// Reads a topic to its end and does nothing with it.
pub fn consume(servers: &str, topic: &str) -> Outcome {
    let source = Source::open(servers, topic, Start::Earliest);
    let first = bytes_of(&source.next_message());
    // What is before the first message is connecting.
    let watch = Stopwatch::start();
    let bytes: usize = (1..source.rows)
        .map(|_| bytes_of(&source.next_message()))
        .sum();
    let outcome = watch.stop(source.rows);
    println!("{} bytes per row", (first + bytes) / source.rows);
    outcome
}

fn bytes_of(message: &BorrowedMessage<'_>) -> usize {
    let (key, value) = (message.key(), message.payload());
    key.map_or(0, <[u8]>::len) + value.map_or(0, <[u8]>::len)
}

/// All rows of a topic, ready for a store.
pub fn read_all(servers: &str, topic: &str) -> Vec<Upsert> {
    let source = Source::open(servers, topic, Start::Earliest);
    (0..source.rows)
        .map(|_| upsert(&source.next_message()))
        .collect()
}

/// The row of a message. Its event time follows from its place, so that it need not be looked for.
pub fn upsert(message: &BorrowedMessage<'_>) -> Upsert {
    let value = message.payload().expect("a value");
    let (schema, body) = parse_frame(value).expect("a frame");
    Upsert {
        key: Bytes::copy_from_slice(message.key().expect("a key")),
        version: RowVersion {
            event_time: EventTime::from_micros(BENCH_START_US + message.offset()),
            operation: Operation::Upsert,
            offset: Offset(message.offset() as u64),
        },
        schema,
        body: Bytes::copy_from_slice(body),
    }
}

/// How many partitions each member of a consumer group has.
pub fn shares(servers: &str, group: &str) -> Vec<usize> {
    let groups = client(servers, "bare").fetch_group_list(Some(group), PATIENCE);
    let groups = groups.expect("groups");
    let members = groups.groups().iter().flat_map(|group| group.members());
    members
        .map(|member| partitions(member.assignment().unwrap_or_default()))
        .collect()
}

/// Counts the partitions of an assignment as the clients of a group write it: a version, and for each
/// topic its name and the numbers of its partitions.
fn partitions(mut assignment: &[u8]) -> usize {
    if assignment.is_empty() {
        return 0;
    }
    assignment.advance(size_of::<i16>());
    let topics = assignment.get_i32();
    let of_topic = |_| {
        let name_bytes = assignment.get_i16() as usize;
        assignment.advance(name_bytes);
        let partitions = assignment.get_i32() as usize;
        assignment.advance(partitions * size_of::<i32>());
        partitions
    };
    (0..topics).map(of_topic).sum()
}

fn client(servers: &str, group: &str) -> BaseConsumer {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", servers)
        // Without a name of a group the library hands out no messages; nobody joins it.
        .set("group.id", group)
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "error")
        .set("isolation.level", "read_committed")
        .set("check.crcs", "true")
        .set("fetch.wait.max.ms", "100")
        .set("fetch.max.bytes", (8 << 20).to_string())
        .set("max.partition.fetch.bytes", (4 << 20).to_string())
        .set("queued.min.messages", "100000")
        .set("queued.max.messages.kbytes", (8 << 10).to_string())
        .set("fetch.queue.backoff.ms", "5");
    config.create().expect("a client")
}
