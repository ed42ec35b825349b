//! The thread of one subscription: it polls the client and hands over what comes.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::Statistics;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedHeaders, BorrowedMessage, Headers as _, Message as _};
use rdkafka::topic_partition_list::TopicPartitionList;
use rdkafka::types::RDKafkaRespErr;
use tokio::sync::Notify;
use tracing::debug;
use twinfold_model::{EventTime, PartitionId};

use super::assignment::Assignment;
use super::batches::{Batches, Fetched};
use super::failure::{self, failed};
use super::{offset_from, partition_from};
use crate::{Error, RecordBatch, Result};

pub(super) type Client = BaseConsumer<Member>;

/// How long one poll waits; also how soon the thread hears that it is no longer wanted.
const POLL_MAX: Duration = Duration::from_millis(100);
/// Rounds that wait to be taken. While they do, the client fetches ahead into its own buffer.
const ROUNDS_MAX: usize = 2;
/// A consumer that takes nothing for this long still polls, so that the group does not drop it.
const SILENCE_MAX: Duration = Duration::from_secs(60);
/// How often partitions that have not come as far as wanted are looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);

/// What the thread hands over.
#[derive(Debug)]
pub(super) enum Handed {
    Assigned(Vec<PartitionId>),
    Revoked(Vec<PartitionId>),
    /// Each with the seek it answers.
    Records(Vec<(u64, RecordBatch)>),
    Failed(Error),
}

/// Between the thread and who takes.
#[derive(Debug)]
pub(super) struct Handover {
    pub(super) assignment: Assignment,
    /// A round ends when it holds this many bytes.
    pub(super) round_bytes_max: AtomicUsize,
    rounds: Mutex<VecDeque<Handed>>,
    pub(super) filled: Notify,
    drained: Condvar,
    ended: AtomicBool,
}

impl Handover {
    pub(super) fn new(assignment: Assignment) -> Self {
        Self {
            assignment,
            round_bytes_max: AtomicUsize::new(1 << 20),
            rounds: Mutex::default(),
            filled: Notify::new(),
            drained: Condvar::new(),
            ended: AtomicBool::new(false),
        }
    }

    fn rounds(&self) -> MutexGuard<'_, VecDeque<Handed>> {
        self.rounds.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn take(&self) -> Option<Handed> {
        let taken = self.rounds().pop_front();
        self.drained.notify_one();
        taken
    }

    /// The next round, if it has records and no more than `bytes_max`.
    pub(super) fn take_records(&self, bytes_max: usize) -> Option<Vec<(u64, RecordBatch)>> {
        let mut rounds = self.rounds();
        let fits = |records: &Vec<(u64, RecordBatch)>| bytes(records) <= bytes_max;
        let taken = match rounds.pop_front()? {
            Handed::Records(records) if fits(&records) => Some(records),
            other => {
                rounds.push_front(other);
                None
            }
        };
        self.drained.notify_one();
        taken
    }

    fn hand(&self, handed: Handed) {
        self.rounds().push_back(handed);
        self.filled.notify_one();
    }

    /// Waits for room; says whether there is some.
    fn wait_for_room(&self, patience: Duration) -> bool {
        let full = |rounds: &mut VecDeque<Handed>| rounds.len() >= ROUNDS_MAX && !self.has_ended();
        let waited = self
            .drained
            .wait_timeout_while(self.rounds(), patience, full);
        let (_rounds, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
        !timeout.timed_out()
    }

    /// Nobody takes any more: the thread leaves the group and ends.
    pub(super) fn end(&self) {
        // Held, so that a thread that has just looked is already waiting and hears of it.
        let _rounds = self.rounds();
        self.ended.store(true, Ordering::SeqCst);
        self.drained.notify_one();
    }

    fn has_ended(&self) -> bool {
        self.ended.load(Ordering::SeqCst)
    }
}

pub(super) fn bytes(records: &[(u64, RecordBatch)]) -> usize {
    let records = records.iter().flat_map(|(_, batch)| &batch.records);
    records
        .map(|record| record.key.len() + record.value.len())
        .sum()
}

/// The client's view of us: it is called back from within a poll.
pub(super) struct Member {
    handover: Arc<Handover>,
    /// Changes of the assignment since the last round.
    changes: Mutex<Vec<Handed>>,
    has_joined: AtomicBool,
}

impl Member {
    pub(super) fn new(handover: Arc<Handover>) -> Self {
        Self {
            handover,
            changes: Mutex::default(),
            has_joined: AtomicBool::new(false),
        }
    }

    fn changes(&self) -> MutexGuard<'_, Vec<Handed>> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientContext for Member {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        failure::log(level, facility, message);
    }

    fn stats(&self, statistics: Statistics) {
        self.handover.assignment.note_ends(&statistics);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        failure::note(&error, reason);
    }
}

impl ConsumerContext for Member {
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        what: RDKafkaRespErr,
        partitions: &mut TopicPartitionList,
    ) {
        // Each rebalance asks all members, and moves nothing of most. That it has joined a member hears
        // all the same.
        let assignment = &self.handover.assignment;
        let change = match what {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => {
                let given = assignment.assign(consumer, partitions);
                let is_first = !self.has_joined.swap(true, Ordering::Relaxed);
                (is_first || !given.is_empty()).then_some(Handed::Assigned(given))
            }
            // Also after an error: then nothing is ours any more.
            _ => {
                let taken = assignment.revoke(consumer, partitions);
                (!taken.is_empty()).then_some(Handed::Revoked(taken))
            }
        };
        self.changes().extend(change);
    }
}

/// Polls until nobody takes any more; dropping the client then leaves the group.
pub(super) fn run(consumer: &Client, topic: &str) {
    let handover = Arc::clone(&consumer.context().handover);
    let mut batches = Batches::default();
    let mut looked_at = Instant::now();
    while !handover.has_ended() {
        match handover.assignment.place_astray(consumer) {
            // The next round tries again.
            Err(error) if error.retry() => debug!(topic, %error, "a partition is not placed yet"),
            Err(error) => handover.hand(Handed::Failed(error)),
            Ok(()) => {}
        }
        if let Err(error) = round(consumer, topic, &handover, &mut batches) {
            handover.hand(Handed::Failed(error));
        }
        if looked_at.elapsed() > LOOK_INTERVAL {
            looked_at = Instant::now();
            if let Err(error) = handover.assignment.place_waiting(consumer) {
                debug!(topic, %error, "bounds cannot be looked at");
            }
        }
        wait_for_room(consumer, &handover);
    }
}

/// One round: what has come, up to the bytes wanted, and the changes of the assignment behind it.
fn round(consumer: &Client, topic: &str, handover: &Handover, batches: &mut Batches) -> Result<()> {
    let placements = handover.assignment.placements();
    let gathered = gather(consumer, topic, handover, batches);
    let records = handover.assignment.admit(batches.take(), &placements);
    if !records.is_empty() {
        handover.hand(Handed::Records(records));
    }
    let changes = std::mem::take(&mut *consumer.context().changes());
    for change in changes {
        handover.hand(change);
    }
    gathered
}

fn gather(
    consumer: &Client,
    topic: &str,
    handover: &Handover,
    batches: &mut Batches,
) -> Result<()> {
    let bytes_max = handover.round_bytes_max.load(Ordering::Relaxed);
    let mut patience = POLL_MAX;
    while let Some(polled) = consumer.poll(patience) {
        match polled {
            Ok(message) => push(batches, &message),
            Err(error) => return note(topic, handover, error),
        }
        if batches.bytes() >= bytes_max {
            break;
        }
        patience = Duration::ZERO;
    }
    Ok(())
}

/// What may pass is left to the client, which tries again; the rest is told.
fn note(topic: &str, handover: &Handover, error: KafkaError) -> Result<()> {
    match error.rdkafka_error_code() {
        Some(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange) => {
            handover.assignment.lose_track();
            Ok(())
        }
        _ if failure::may_pass(&error) => {
            failure::note(&error, topic);
            Ok(())
        }
        _ => Err(failed("reading", topic)(error)),
    }
}

/// Waits until rounds are taken. While nobody does, the client is polled from time to time: a member that
/// does not poll is taken for dead. What it gives and says meanwhile is dropped, and so is what the pause
/// makes it forget; everything is fetched again from where delivery has come.
fn wait_for_room(consumer: &Client, handover: &Handover) {
    while !handover.wait_for_room(SILENCE_MAX) {
        let assigned = consumer.assignment();
        if let Err(error) = assigned.and_then(|assigned| consumer.pause(&assigned)) {
            debug!(%error, "partitions are not paused");
            continue;
        }
        while consumer.poll(Duration::ZERO).is_some() {}
        // After the polls: what a seek brings meanwhile is dropped too.
        handover.assignment.lose_track();
    }
}

fn push(batches: &mut Batches, message: &BorrowedMessage<'_>) {
    let millis = message.timestamp().to_millis().unwrap_or(0);
    batches.push(Fetched {
        partition: partition_from(message.partition()),
        offset: offset_from(message.offset()),
        appended_at: EventTime::from_micros(millis.saturating_mul(1_000)),
        headers: pairs(message.headers()),
        key: message.key().unwrap_or_default(),
        value: message.payload().unwrap_or_default(),
    });
}

fn pairs(headers: Option<&BorrowedHeaders>) -> impl Iterator<Item = (&str, &[u8])> + Clone {
    let count = headers.map_or(0, |headers| headers.count());
    (0..count).filter_map(move |at| {
        let header = headers?.try_get(at)?;
        Some((header.key, header.value.unwrap_or_default()))
    })
}
