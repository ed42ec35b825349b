use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::runtime::Runtime;
use twinfold_model::{Offset, PartitionId};
use twinfold_store_topic::{
    Append, EmbeddedTopics, Event, FetchLimits, NewRecord, TopicConfig, TopicStore,
};
use twinfold_wire::record::Headers;

use super::{Engine, Record};

const TOPIC: &str = "default.bench_1";
const PARTITION: PartitionId = PartitionId(0);
const LIMITS: FetchLimits = FetchLimits {
    bytes_max: 4 << 20,
    wait_max: Duration::from_millis(100),
};

struct Twinfold {
    runtime: Runtime,
    store: Arc<EmbeddedTopics>,
}

pub fn open(folder: &Path) -> Result<Box<dyn Engine>> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_time()
        .build()?;
    let store = runtime.block_on(EmbeddedTopics::open(folder))?;
    let config = TopicConfig {
        partitions: 1,
        retention: None,
        retention_bytes_max: None,
    };
    runtime.block_on(store.create(TOPIC, &config))?;
    let store = Arc::new(store);
    Ok(Box::new(Twinfold { runtime, store }))
}

impl Engine for Twinfold {
    fn append(&self, records: &[Record]) -> Result<()> {
        let new_record = |record: &Record| NewRecord {
            key: record.key.clone(),
            value: record.value.clone(),
        };
        let append = Append {
            partition: PARTITION,
            headers: Headers::default(),
            records: records.iter().map(new_record).collect(),
        };
        self.runtime
            .block_on(self.store.append(TOPIC, vec![append]))?;
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        Ok(self.runtime.block_on(self.store.sync(TOPIC))?)
    }

    fn next_offset(&self) -> Result<u64> {
        let bounds = self.runtime.block_on(self.store.bounds(TOPIC))?;
        Ok(bounds.first().context("no partition")?.next.0)
    }

    fn read_all(&self, visit: &mut dyn FnMut(&[u8])) -> Result<()> {
        let end = self.next_offset()?;
        self.runtime.block_on(async {
            let mut subscription = self.store.subscribe(TOPIC, "bench").await?;
            let mut next = 0;
            while next < end {
                match subscription.next(LIMITS).await? {
                    Event::Assigned(_) => subscription.seek(PARTITION, Offset::ZERO).await?,
                    Event::Records(batches) => {
                        for record in batches.iter().flat_map(|batch| &batch.records) {
                            visit(&record.value);
                            next = record.offset.0 + 1;
                        }
                    }
                    Event::Revoked(_) => bail!("the partition was taken away"),
                    Event::Idle => {}
                }
            }
            Ok(())
        })
    }
}
