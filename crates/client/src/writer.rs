mod check;

use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use futures::StreamExt;
use futures::stream::FuturesOrdered;
use twinfold_model::{EventTime, FeatureGroupId, Operation, PartitionId, ResourceState};
use twinfold_store_topic::{Append, Appended, NewRecord, TopicStore};
use twinfold_wire::record::{self, Encoder, Headers};
use twinfold_wire::row::{self, KeyEncoder};

use self::check::{Checked, Slice, check};
use crate::definitions::not_ready;
use crate::progress::append_failed;
use crate::{Definitions, Error, GroupDefinition, Receipt, Result, new_ingestion_id};

/// Hears how many rows of an insert are in the topic so far.
pub type OnProgress<'a> = &'a (dyn Fn(u64) + Send + Sync);

/// Rows are encoded and appended in slices of at most this many, so that memory stays bounded and
/// consumers can start before the last row is encoded.
const SLICE_ROWS_MAX: usize = 8_192;
/// Slices that wait for the log while the next is encoded. With one alone the log would have nothing to do
/// from its answer until the next comes.
const APPENDS_UNDER_WAY_MAX: usize = 2;
/// A block of one partition is closed when it holds this many bytes of values.
const BLOCK_BYTES_MAX: usize = 4 << 20;

/// Encodes rows and appends them to their group's topic, partitioned by key.
#[derive(Debug, Clone)]
pub struct Writer {
    topic: TopicWriter,
    definitions: Arc<dyn Definitions>,
}

impl Writer {
    pub fn new(topics: Arc<dyn TopicStore>, definitions: Arc<dyn Definitions>) -> Self {
        Self {
            topic: TopicWriter { topics },
            definitions,
        }
    }

    /// Checks every row, then appends all. See [`Ingestion::insert`](crate::Ingestion::insert).
    pub async fn insert(
        &self,
        id: &FeatureGroupId,
        batches: Vec<RecordBatch>,
        now: EventTime,
        on_progress: OnProgress<'_>,
    ) -> Result<Receipt> {
        let definition = self.definitions.known_group(id).await?;
        self.topic
            .insert(&definition, batches, now, on_progress)
            .await
    }

    /// Appends a delete for each key. See [`Ingestion::delete`](crate::Ingestion::delete).
    pub async fn delete(
        &self,
        id: &FeatureGroupId,
        keys: Vec<RecordBatch>,
        at: EventTime,
    ) -> Result<Receipt> {
        let definition = self.definitions.known_group(id).await?;
        self.topic.delete(&definition, keys, at).await
    }
}

/// The same for a group that is known already.
#[derive(Debug, Clone)]
pub(crate) struct TopicWriter {
    pub(crate) topics: Arc<dyn TopicStore>,
}

impl TopicWriter {
    pub(crate) async fn insert(
        &self,
        definition: &Arc<GroupDefinition>,
        batches: Vec<RecordBatch>,
        now: EventTime,
        on_progress: OnProgress<'_>,
    ) -> Result<Receipt> {
        check_writable(definition)?;
        let rows = check(definition, batches, record::coerce).await?;
        let headers = Headers {
            operation: Operation::Upsert,
            ingestion_id: Some(new_ingestion_id()),
            // Groups with an event-time feature carry the time in the row itself.
            event_time: definition.group.event_time().is_none().then_some(now),
        };
        self.append(definition, rows, headers, on_progress).await
    }

    pub(crate) async fn delete(
        &self,
        definition: &Arc<GroupDefinition>,
        keys: Vec<RecordBatch>,
        at: EventTime,
    ) -> Result<Receipt> {
        check_writable(definition)?;
        let rows = check(definition, keys, record::coerce_keys).await?;
        let headers = Headers {
            operation: Operation::Delete,
            ingestion_id: Some(new_ingestion_id()),
            event_time: Some(at),
        };
        self.append(definition, rows, headers, &|_| ()).await
    }

    async fn append(
        &self,
        definition: &Arc<GroupDefinition>,
        checked: Vec<Checked>,
        headers: Headers,
        on_progress: OnProgress<'_>,
    ) -> Result<Receipt> {
        let group = &definition.group;
        let topic = &definition.resource;
        let mut encoder = SliceEncoder::new(definition, headers.clone())?;
        let ingestion_id = headers.ingestion_id.unwrap_or_default();
        let mut receipt = Receipt::new(group.id().clone(), topic.clone(), ingestion_id);
        let failed = |error| append_failed(definition, error);
        let mut note = |appended: twinfold_store_topic::Result<Vec<Appended>>| {
            for block in &appended.map_err(failed)? {
                receipt.note(block);
            }
            on_progress(receipt.rows);
            Ok::<(), Error>(())
        };
        let mut appending = FuturesOrdered::new();
        for slice in checked.iter().flat_map(Checked::slices) {
            let encoding = tokio::task::spawn_blocking(move || {
                let appends = encoder.encode(slice);
                (encoder, appends)
            });
            tokio::pin!(encoding);
            let (encoder_back, appends) = loop {
                tokio::select! {
                    encoded = &mut encoding => break encoded.map_err(thread_failed)?,
                    Some(appended) = appending.next() => note(appended)?,
                }
            };
            encoder = encoder_back;
            while appending.len() >= APPENDS_UNDER_WAY_MAX
                && let Some(appended) = appending.next().await
            {
                note(appended)?;
            }
            appending.push_back(self.topics.append(topic, appends?));
        }
        while let Some(appended) = appending.next().await {
            note(appended)?;
        }
        self.topics.sync(topic).await.map_err(failed)?;
        Ok(receipt)
    }
}

fn check_writable(definition: &GroupDefinition) -> Result<()> {
    if definition.state == ResourceState::Deleting {
        return Err(not_ready(definition.group.id(), &definition.state));
    }
    // One that is being made is told from one that evolves by its topic, which is not there yet.
    Ok(())
}

fn thread_failed(error: tokio::task::JoinError) -> Error {
    Error::Internal(format!("a thread of an insert ended early: {error}"))
}

/// Turns slices of rows into blocks per partition.
struct SliceEncoder {
    keys: KeyEncoder,
    encoder: Encoder,
    headers: Headers,
    definition: Arc<GroupDefinition>,
}

impl SliceEncoder {
    fn new(definition: &Arc<GroupDefinition>, headers: Headers) -> Result<Self> {
        let group = &definition.group;
        Ok(Self {
            keys: KeyEncoder::new(group),
            encoder: Encoder::new(group, definition.schema).map_err(encoding_failed)?,
            headers,
            definition: Arc::clone(definition),
        })
    }

    fn encode(&mut self, slice: Slice) -> Result<Vec<Append>> {
        let group = &self.definition.group;
        let slice = slice.canonical(group).map_err(encoding_failed)?;
        let keys = self.keys.encode(&slice).map_err(encoding_failed)?;
        let rows = self.encoder.encode(&slice).map_err(encoding_failed)?;
        let partitions = group.partitions();
        let mut blocks = Blocks::new(partitions, slice.num_rows(), &self.headers);
        for index in 0..rows.len() {
            let key = keys.key(index);
            let partition = row::partition(&key, partitions);
            let value = rows.row(index);
            blocks.push(partition, NewRecord { key, value });
        }
        Ok(blocks.finish())
    }
}

fn encoding_failed(error: impl std::fmt::Display) -> Error {
    Error::Internal(format!(
        "rows that passed the check could not be encoded: {error}"
    ))
}

/// One open block per partition; full ones are set aside in order.
struct Blocks<'a> {
    open: Vec<(Vec<NewRecord>, usize)>,
    full: Vec<Append>,
    headers: &'a Headers,
    rows_expected: usize,
}

impl<'a> Blocks<'a> {
    fn new(partitions: u32, rows: usize, headers: &'a Headers) -> Self {
        let rows_expected = rows / partitions as usize + 1;
        let open = (0..partitions).map(|_| (Vec::with_capacity(rows_expected), 0));
        Self {
            open: open.collect(),
            full: Vec::new(),
            headers,
            rows_expected,
        }
    }

    fn push(&mut self, partition: PartitionId, record: NewRecord) {
        let (records, bytes) = &mut self.open[partition.0 as usize];
        *bytes += record.value.len();
        records.push(record);
        if *bytes >= BLOCK_BYTES_MAX {
            let records = std::mem::replace(records, Vec::with_capacity(self.rows_expected));
            *bytes = 0;
            self.full.push(self.block(partition, records));
        }
    }

    fn block(&self, partition: PartitionId, records: Vec<NewRecord>) -> Append {
        Append {
            partition,
            headers: self.headers.clone(),
            records,
        }
    }

    fn finish(mut self) -> Vec<Append> {
        let open = std::mem::take(&mut self.open);
        let mut appends = std::mem::take(&mut self.full);
        for (partition, (records, _)) in (0..).map(PartitionId).zip(open) {
            if !records.is_empty() {
                appends.push(self.block(partition, records));
            }
        }
        appends
    }
}

#[cfg(test)]
mod tests {
    use twinfold_model::SchemaId;
    use twinfold_testkit::{rows, temp_dir, weather_group};

    use super::*;

    #[tokio::test]
    async fn rows_of_a_group_without_a_topic_are_told_why() {
        let folder = temp_dir();
        let url = format!("file://{}", folder.path().display());
        let topics = twinfold_store_topic::open(&url).await.expect("a log");
        let writer = TopicWriter { topics };
        let failed = ResourceState::Failed {
            reason: "the disk is full".to_owned(),
        };
        for (state, retry, said) in [
            (ResourceState::Creating, true, "it is being created"),
            (failed, true, "the disk is full"),
            (ResourceState::Active, false, "it was deleted meanwhile"),
        ] {
            let group = weather_group();
            let batches = vec![rows(&group, 1, 3)];
            let definition = Arc::new(GroupDefinition {
                resource: group.id().resource_name(1),
                group,
                state,
                schema: SchemaId(1),
            });
            let now = EventTime::from_micros(0);
            let inserted = writer.insert(&definition, batches, now, &|_| ()).await;
            let error = inserted.expect_err("there is no topic");
            assert_eq!(error.retry(), retry, "{error}");
            assert_eq!(matches!(error, Error::NotReady { .. }), retry, "{error:?}");
            assert!(error.to_string().ends_with(said), "{error}");
        }
    }
}
