//! A user's program: it writes small batches, tries each again until it is acknowledged, and remembers all.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime};

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;
use twinfold_client::Writer;
use twinfold_model::{EventTime, FeatureGroup, Value};
use twinfold_testkit::{SplitMix, batch, eventually, group};

use crate::stage::RECOVERY_MAX;

/// What was sent of one key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Sent {
    pub id: i64,
    pub at_us: i64,
    /// Different for each row; `None` for a delete.
    pub sequence: Option<i64>,
}

/// Everything that was acknowledged.
#[derive(Debug)]
pub struct Ledger {
    pub group: FeatureGroup,
    pub acknowledged: Vec<Sent>,
    /// The same of what was written with the clock ahead: it is to be quarantined.
    pub ahead: Vec<Sent>,
    writer: Writer,
    random: SplitMix,
    /// By which the producer's clock is wrong.
    skew_us: Arc<AtomicI64>,
    sequence: i64,
}

/// Few enough that most rows are updates.
const KEYS: u64 = 200;
const ROWS_MAX: u64 = 20;
/// One batch of so many is deletes.
const DELETES_EVERY: u64 = 6;
/// Event times lie within this much before the producer's clock, in no order.
const DISORDER_US: u64 = 60_000_000;
/// Coarse, so that rows of one key have equal event times now and then.
const TICK_US: i64 = 100_000;
/// More than that and rows are quarantined.
const FUTURE_SKEW_US: i64 = 300_000_000;
/// Fast enough that something is always under way.
const PAUSE: Duration = Duration::from_millis(20);
const TEXT_BYTES: usize = 200;

pub fn fault_group(name: &str) -> FeatureGroup {
    let features = [
        ("id", "bigint"),
        ("at", "timestamp"),
        ("sequence", "bigint"),
        ("text", "string"),
    ];
    group(name, &features, &["id"], Some("at"))
}

/// What a row says besides its numbers.
pub fn text(sequence: i64) -> String {
    let word = format!("{sequence} ");
    word.repeat(TEXT_BYTES.div_ceil(word.len()))
}

impl Ledger {
    pub fn new(
        group: FeatureGroup,
        writer: Writer,
        random: SplitMix,
        skew_us: Arc<AtomicI64>,
    ) -> Self {
        Self {
            group,
            acknowledged: Vec::new(),
            ahead: Vec::new(),
            writer,
            random,
            skew_us,
            sequence: 0,
        }
    }

    /// Writes one batch; returns when the topic has it.
    pub async fn write(&mut self) {
        let skew_us = self.skew_us.load(Ordering::Relaxed);
        let count = 1 + self.random.below(ROWS_MAX);
        if self.random.below(DELETES_EVERY) == 0 {
            let at_us = self.event_time(skew_us);
            let sent = (0..count).map(|_| Sent {
                id: self.random.below(KEYS) as i64,
                at_us,
                sequence: None,
            });
            let sent: Vec<Sent> = sent.collect();
            self.delete(&sent, at_us).await;
            self.note(sent, skew_us);
            return;
        }
        let mut sent = Vec::new();
        for _ in 0..count {
            self.sequence += 1;
            sent.push(Sent {
                id: self.random.below(KEYS) as i64,
                at_us: self.event_time(skew_us),
                sequence: Some(self.sequence),
            });
        }
        self.insert(&sent).await;
        self.note(sent, skew_us);
    }

    fn note(&mut self, sent: Vec<Sent>, skew_us: i64) {
        match skew_us > FUTURE_SKEW_US {
            true => self.ahead.extend(sent),
            false => self.acknowledged.extend(sent),
        }
    }

    fn event_time(&mut self, skew_us: i64) -> i64 {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let now_us = now.expect("after 1970").as_micros() as i64;
        let before_us = self.random.below(DISORDER_US) as i64;
        (now_us + skew_us - before_us) / TICK_US * TICK_US
    }

    async fn insert(&self, sent: &[Sent]) {
        let row = |sent: &Sent| {
            let sequence = sent.sequence.expect("a row");
            vec![
                Value::BigInt(sent.id),
                Value::Timestamp(sent.at_us),
                Value::BigInt(sequence),
                Value::String(text(sequence)),
            ]
        };
        let rows: Vec<_> = sent.iter().map(row).collect();
        let rows = batch(&self.group, &rows);
        let now = EventTime::from_micros(0);
        let (writer, id) = (&self.writer, self.group.id());
        eventually(RECOVERY_MAX, || async {
            let inserted = writer.insert(id, vec![rows.clone()], now, &|_| ()).await;
            inserted.is_ok()
        })
        .await;
    }

    async fn delete(&self, sent: &[Sent], at_us: i64) {
        let row = |sent: &Sent| {
            let at = Value::Timestamp(at_us);
            vec![Value::BigInt(sent.id), at, Value::Null, Value::Null]
        };
        let rows: Vec<_> = sent.iter().map(row).collect();
        let keys = batch(&self.group, &rows).project(&[0]).expect("the key");
        let at = EventTime::from_micros(at_us);
        let (writer, id) = (&self.writer, self.group.id());
        eventually(RECOVERY_MAX, || async {
            let deleted = writer.delete(id, vec![keys.clone()], at).await;
            deleted.is_ok()
        })
        .await;
    }
}

/// A ledger that is being written in the background.
pub struct Writing {
    stop: watch::Sender<bool>,
    acknowledged: Acknowledged,
    /// One; it ends with this.
    task: JoinSet<Ledger>,
}

/// How many batches were acknowledged.
#[derive(Debug, Clone)]
pub struct Acknowledged(watch::Receiver<u64>);

impl Acknowledged {
    /// None, and there will be no more.
    pub fn never() -> Self {
        Self(watch::Sender::new(0).subscribe())
    }

    /// Returns when so many more are.
    pub async fn goes_on(&mut self, batches: u64) {
        let wanted = *self.0.borrow() + batches;
        let reached = self.0.wait_for(|batches| *batches >= wanted);
        let reached = tokio::time::timeout(RECOVERY_MAX, reached).await;
        drop(reached.expect("inserts go on").expect("the writer lives"));
    }
}

impl Writing {
    pub fn begin(mut ledger: Ledger) -> Self {
        let (stop, stopped) = watch::channel(false);
        let (acknowledging, acknowledged) = watch::channel(0);
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut pace = tokio::time::interval(PAUSE);
            pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
            while !*stopped.borrow() {
                ledger.write().await;
                acknowledging.send_modify(|batches| *batches += 1);
                pace.tick().await;
            }
            ledger
        });
        Self {
            stop,
            acknowledged: Acknowledged(acknowledged),
            task,
        }
    }

    pub fn acknowledged(&self) -> Acknowledged {
        self.acknowledged.clone()
    }

    pub async fn end(mut self) -> Ledger {
        self.stop.send_replace(true);
        let ended = self.task.join_next().await.expect("a writer");
        ended.expect("the writer lives")
    }
}
