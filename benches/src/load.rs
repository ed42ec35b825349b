use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use tokio::task::JoinSet;
use tokio::time::Instant;
use twinfold_model::{FeatureGroup, PartitionId, SchemaId};
use twinfold_store_topic::{Append, NewRecord, TopicStore};
use twinfold_wire::record::{Encoder, Headers};
use twinfold_wire::row::{KeyEncoder, partition};

/// How often a steady load appends.
const TICK: Duration = Duration::from_millis(10);

/// Records made before, which are appended as often as it takes.
pub struct Load {
    topics: Arc<dyn TopicStore>,
    topic: String,
    records: Vec<(PartitionId, NewRecord)>,
    next: usize,
    /// Records appended so far.
    pub sent: u64,
}

impl Load {
    pub fn new(
        topics: &Arc<dyn TopicStore>,
        topic: &str,
        group: &FeatureGroup,
        schema: SchemaId,
        batches: impl IntoIterator<Item = RecordBatch>,
    ) -> Self {
        let mut encoder = Encoder::new(group, schema).expect("encoder");
        let keys = KeyEncoder::new(group);
        let mut records = Vec::new();
        for batch in batches {
            let rows = encoder.encode(&batch).expect("rows");
            let keys = keys.encode(&batch).expect("keys");
            let record = |place| {
                let (key, value) = (keys.key(place), rows.row(place));
                let partition = partition(&key, group.partitions());
                (partition, NewRecord { key, value })
            };
            records.extend((0..rows.len()).map(record));
        }
        Self {
            topics: Arc::clone(topics),
            topic: topic.to_owned(),
            records,
            next: 0,
            sent: 0,
        }
    }

    /// Appends the next `count` records; returns when the brokers have them.
    pub async fn append(&mut self, count: usize) {
        let appends = self.take(count);
        let appended = self.topics.append(&self.topic, appends).await;
        appended.expect("append");
    }

    /// Appends the next record alone, without waiting for the brokers; gives its key.
    pub fn append_one(&mut self, under_way: &mut JoinSet<()>) -> Bytes {
        let key = self.records[self.next].1.key.clone();
        self.append_behind(1, under_way);
        key
    }

    /// Appends `rate` records a second until `duration` is over, whether or not the brokers keep up.
    pub async fn run(&mut self, rate: f64, duration: Duration) {
        let mut under_way = JoinSet::new();
        let mut ticks = tokio::time::interval(TICK);
        let (started, sent_before) = (Instant::now(), self.sent);
        while started.elapsed() < duration {
            ticks.tick().await;
            let due = (rate * started.elapsed().as_secs_f64()) as u64;
            let count = due.saturating_sub(self.sent - sent_before);
            if count > 0 {
                self.append_behind(count as usize, &mut under_way);
            }
        }
        while let Some(appended) = under_way.join_next().await {
            appended.expect("append");
        }
    }

    fn append_behind(&mut self, count: usize, under_way: &mut JoinSet<()>) {
        let appends = self.take(count);
        let (topics, topic) = (Arc::clone(&self.topics), self.topic.clone());
        under_way.spawn(async move {
            topics.append(&topic, appends).await.expect("append");
        });
    }

    fn take(&mut self, count: usize) -> Vec<Append> {
        let mut by_partition: BTreeMap<PartitionId, Vec<NewRecord>> = BTreeMap::new();
        for _ in 0..count {
            let (partition, record) = self.records[self.next].clone();
            by_partition.entry(partition).or_default().push(record);
            self.next = (self.next + 1) % self.records.len();
        }
        self.sent += count as u64;
        let append = |(partition, records)| Append {
            partition,
            headers: Headers::default(),
            records,
        };
        by_partition.into_iter().map(append).collect()
    }
}
