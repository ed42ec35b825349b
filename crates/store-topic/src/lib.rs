//! The port to the ordered log of rows, and its backends.
//!
//! A topic has a fixed number of partitions; each is an append-only sequence of records with
//! offsets counted from 0. What a record's bytes mean is not known here (`wire::record` knows).
//! The entry type is [`TopicStore`], opened from a URL by [`open`].

mod blocking;
pub mod conformance;
mod embedded;
mod error;
mod kafka;
mod names;

use std::fmt::Debug;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::future::BoxFuture;
use twinfold_model::{EventTime, Offset, PartitionId, Positions};
use twinfold_wire::record::{Defect, Headers};

pub(crate) use blocking::blocking;
pub use embedded::{EmbeddedOptions, EmbeddedTopics, SyncPolicy};
pub use error::{Error, Result};
pub use kafka::{Compression as KafkaCompression, KafkaOptions, KafkaTopics};

/// Opens the backend that `url` names: `file:///folder` for the embedded log,
/// `kafka://host:port,host:port?setting=value` for a Kafka cluster (see [`KafkaOptions`]).
pub fn open(url: &str) -> BoxFuture<'_, Result<Arc<dyn TopicStore>>> {
    // Boxed: compiled here, and not by all who open a store.
    Box::pin(open_backend(url))
}

async fn open_backend(url: &str) -> Result<Arc<dyn TopicStore>> {
    match Place::parse(url)? {
        Place::Folder(path) => Ok(Arc::new(EmbeddedTopics::open(path).await?)),
        Place::Cluster(options) => Ok(Arc::new(KafkaTopics::connect(options).await?)),
    }
}

/// Fails where [`open`] would without asking anybody: over a scheme or a setting.
pub fn check(url: &str) -> Result<()> {
    Place::parse(url).map(drop)
}

/// What a url names.
enum Place<'a> {
    Folder(&'a Path),
    Cluster(KafkaOptions),
}

impl<'a> Place<'a> {
    fn parse(url: &'a str) -> Result<Self> {
        match url.split_once("://") {
            Some(("file", path)) => Ok(Self::Folder(path.as_ref())),
            Some(("kafka", rest)) => Ok(Self::Cluster(KafkaOptions::parse(rest)?)),
            // The rest may hold secrets: of another store, for what we know.
            _ => Err(Error::UnsupportedUrl {
                found: url
                    .split_once("://")
                    .map_or_else(String::new, |(scheme, _)| format!("{scheme}://…")),
            }),
        }
    }
}

/// How a topic is kept; fixed at creation except for retention.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicConfig {
    pub partitions: u32,
    /// Records older than this may be forgotten.
    pub retention: Option<Duration>,
    /// The oldest records of a partition may be forgotten when it holds more than this.
    pub retention_bytes_max: Option<u64>,
}

/// Records to append to one partition, with one set of headers.
#[derive(Debug, Clone)]
pub struct Append {
    pub partition: PartitionId,
    pub headers: Headers,
    pub records: Vec<NewRecord>,
}

#[derive(Debug, Clone)]
pub struct NewRecord {
    pub key: Bytes,
    pub value: Bytes,
}

/// Where the records of one [`Append`] went: offsets within `first..next`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    pub partition: PartitionId,
    pub first: Offset,
    /// The first offset after the last record. Records of other writers may stand between.
    pub next: Offset,
    pub count: u64,
}

/// Consecutive records of one partition that share headers.
#[derive(Debug, Clone)]
pub struct RecordBatch {
    pub partition: PartitionId,
    /// The offset of the first record.
    pub first: Offset,
    /// When the log took them in, by the log's clock; never decreases within a partition.
    pub appended_at: EventTime,
    /// A defect when a writer other than ours said what cannot be read.
    pub headers: Result<Headers, Defect>,
    pub records: Vec<Record>,
}

/// A record as it was appended. Both parts are slices of one shared buffer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    pub offset: Offset,
    pub key: Bytes,
    pub value: Bytes,
}

/// What a partition still holds: offsets `earliest..next`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    pub partition: PartitionId,
    pub earliest: Offset,
    pub next: Offset,
}

/// What [`Subscription::next`] brings.
#[derive(Debug)]
pub enum Event {
    /// Records, in order within each partition.
    Records(Vec<RecordBatch>),
    /// These partitions are this member's from now on. Nothing is delivered from one before
    /// [`Subscription::seek`] was called for it. The first event of every subscription; none when
    /// other members hold them all.
    Assigned(Vec<PartitionId>),
    /// These partitions are another member's from now on. What is in hand for them both may write; progress
    /// told for them may not be stored.
    Revoked(Vec<PartitionId>),
    /// Nothing came within the time asked for.
    Idle,
}

/// Bounds of one fetch.
#[derive(Debug, Clone, Copy)]
pub struct FetchLimits {
    /// Stop after about this many bytes of records; one stored block is always returned whole.
    pub bytes_max: usize,
    pub wait_max: Duration,
}

/// A durable, partitioned, ordered log of records.
///
/// Guarantees owed by every backend:
/// - **Order**: records of a partition are delivered in the order of their offsets, which count from 0;
///   those of one [`Append`] stay in order. The embedded log also keeps them together.
/// - **Durability**: when [`append`](Self::append) returns, the records survive the end of the
///   process; when [`sync`](Self::sync) returns, all that was appended before survives the end of the
///   machine.
/// - **Stability**: a record that was delivered stays: it is delivered only when it survives the end
///   of the machine, so no consumer is ever ahead of the log and no offset is given twice.
/// - **Atomicity**: a record is in the log whole or not at all; in the embedded log an `Append` is, also
///   after a crash. On an error part of what was to be appended may be in the log.
/// - **No invention**: what a crash left half-written is cut at open; damage to records that were
///   durable is [`Error::Corrupt`]. A record is never delivered with bytes other than those appended.
/// - **Progress**: what [`Subscription::commit`] stored for a consumer survives a restart and only
///   moves forward. It is advice: a consumer with a better source of positions seeks to that.
/// - **Retention** forgets whole runs of the oldest records; `earliest` says from where a partition
///   still has all.
#[async_trait]
pub trait TopicStore: Debug + Send + Sync {
    /// Makes the topic if it does not exist. Exists with other partitions: [`Error::TopicMismatch`];
    /// with other retention: takes over that of `config`.
    async fn create(&self, topic: &str, config: &TopicConfig) -> Result<()>;

    /// Forgets the topic, its records and all consumers' progress. Not there: nothing happens.
    async fn drop_topic(&self, topic: &str) -> Result<()>;

    /// Lets go of what this process remembers of a topic that another has dropped. One that is there after all
    /// is looked up again. Whoever remembers nothing does nothing here.
    fn forget(&self, _topic: &str) {}

    /// Appends in the order given; answers one [`Appended`] for each, in the same order. Calls need not wait
    /// for each other: their records stand in the order in which they were first polled.
    async fn append(&self, topic: &str, appends: Vec<Append>) -> Result<Vec<Appended>>;

    /// Makes all that was appended before durable. Cheap when it is already: an insert of many
    /// `append` calls calls this once, at its end.
    async fn sync(&self, topic: &str) -> Result<()>;

    /// One entry per partition, in order.
    async fn bounds(&self, topic: &str) -> Result<Vec<Bounds>>;

    /// What `consumer` committed; empty when it never did.
    async fn progress(&self, topic: &str, consumer: &str) -> Result<Positions>;

    /// Joins the consumers named `consumer` on `topic`. Members of one name share the partitions.
    async fn subscribe(&self, topic: &str, consumer: &str) -> Result<Box<dyn Subscription>>;

    /// Forgets now what the topic's retention allows to forget. The embedded log also does it on its
    /// own when a segment is full, and keeps records until every consumer that ever committed
    /// progress on the topic, or is subscribed to it, has passed them, however old they are. A
    /// backend that forgets on its own schedule does nothing here.
    async fn enforce_retention(&self, topic: &str) -> Result<()>;

    /// Refuses further appends, makes everything durable, releases files. Idempotent.
    async fn close(&self) -> Result<()>;
}

/// A member of a consumer group. Dropping it leaves the group without committing.
#[async_trait]
pub trait Subscription: Send {
    /// The next event. Cancel-safe: a dropped call loses nothing. Offsets that retention has already
    /// forgotten are skipped to the partition's earliest record. A partition that cannot be read does
    /// not keep the others waiting: its error comes in place of [`Event::Idle`], when nothing else came.
    async fn next(&mut self, limits: FetchLimits) -> Result<Event>;

    /// Delivers from `offset` on; waits when the partition has not come that far. The partition must
    /// be assigned to this member.
    async fn seek(&mut self, partition: PartitionId, offset: Offset) -> Result<()>;

    /// Per assigned partition, the first offset that it does not have yet, as far as this member knows
    /// without asking: what it knows may be some seconds old, and is never less than what was delivered.
    fn ends(&self) -> Positions;

    /// Stores progress: per partition the first offset not yet processed. Partitions not named keep
    /// theirs, an offset behind the stored one changes nothing, one beyond the end of the partition
    /// is [`Error::UnknownOffset`]. What is told of a partition that another member had since is left out,
    /// also when it is this one's again, until [`Event::Assigned`] has said so. Refused once the topic is
    /// dropped or the store closed. Says whether progress is stored: while partitions change hands it may
    /// not be taken, and is to be told again.
    async fn commit(&mut self, positions: &Positions) -> Result<bool>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_checked_without_asking_anybody() {
        for url in ["file:///log", "kafka://nowhere:1?replication=3"] {
            check(url).expect(url);
        }
        for (url, wanted) in [
            (
                "redis://me:hush@a:1?password=hush",
                "`redis://…` is not supported",
            ),
            ("/log", "wanted file:///folder"),
            ("kafka://me:hush@nowhere", "host:port"),
            ("kafka://nowhere:1?speed=high", "`speed`"),
        ] {
            let error = check(url).expect_err(url).to_string();
            assert!(error.contains(wanted), "{url}: {error}");
            assert!(!error.contains("hush"), "{url}: {error}");
        }
    }
}
