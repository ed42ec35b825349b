use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use bytes::Bytes;
use tracing::warn;
use twinfold_client::{Definitions, GroupDefinition, WriterSchema};
use twinfold_ingest::{Batch, Row, Sink, SinkError, SinkFactory};
use twinfold_model::{
    FeatureGroup, FeatureGroupId, Offset, Operation, PartitionId, Positions, SchemaId,
};
use twinfold_store_offline::{AppendRequest, Error as StoreError, OfflineStore};
use twinfold_wire::record::{self, Decoder};

use crate::history::history_batch;
use crate::metrics;

/// Rows are decoded in slices of at most this many and about this size: large enough for columns to pay,
/// small enough for memory.
const DECODE_ROWS_MAX: usize = 16_384;
const DECODE_BYTES_MAX: usize = 64 << 20;
/// What an error says that it comes from.
const HISTORY: &str = "history";

/// Makes the sinks that append to the history of a group.
#[derive(Debug)]
pub struct OfflineSinks {
    store: Arc<dyn OfflineStore>,
    definitions: Arc<dyn Definitions>,
    /// A batch that is larger than this when decoded makes several commits.
    commit_bytes_max: usize,
}

impl OfflineSinks {
    /// `batch_bytes_max` is what batches are limited to before they are decoded. A commit may be twice as
    /// large, so that only rows that say much with few bytes make several: nulls of embeddings above all.
    pub fn new(
        store: Arc<dyn OfflineStore>,
        definitions: Arc<dyn Definitions>,
        batch_bytes_max: usize,
    ) -> Self {
        Self {
            store,
            definitions,
            commit_bytes_max: batch_bytes_max.saturating_mul(2).max(1),
        }
    }
}

#[async_trait]
impl SinkFactory for OfflineSinks {
    fn wants(&self, _definition: &GroupDefinition) -> bool {
        true
    }

    async fn open(&self, definition: &GroupDefinition) -> Result<Box<dyn Sink>, SinkError> {
        Ok(Box::new(OfflineSink {
            store: Arc::clone(&self.store),
            definitions: Arc::clone(&self.definitions),
            commit_bytes_max: self.commit_bytes_max,
            group: definition.group.id().clone(),
            table: definition.resource.clone(),
            codec: Arc::new(Mutex::new(Codec::new(&definition.group)?)),
            contained: Positions::new(),
        }))
    }

    fn forget(&self, resource: &str) {
        self.store.forget(resource);
    }
}

struct OfflineSink {
    store: Arc<dyn OfflineStore>,
    definitions: Arc<dyn Definitions>,
    group: FeatureGroupId,
    table: String,
    /// Locked only by the one thread that decodes for this sink.
    codec: Arc<Mutex<Codec>>,
    /// What the table contains already.
    contained: Positions,
    commit_bytes_max: usize,
}

/// What turns rows into columns of the group's current definition.
struct Codec {
    group: FeatureGroup,
    schema: SchemaRef,
    decoder: Decoder,
    known: Vec<SchemaId>,
}

impl Codec {
    fn new(group: &FeatureGroup) -> Result<Self, SinkError> {
        Ok(Self {
            schema: record::history_schema(group),
            decoder: Decoder::new(group).map_err(broken)?,
            group: group.clone(),
            known: Vec::new(),
        })
    }

    fn learn(&mut self, schema: &WriterSchema) -> Result<(), SinkError> {
        let added = self.decoder.add_schema(schema.id, &schema.avro_json);
        added.map_err(broken)?;
        self.known.push(schema.id);
        Ok(())
    }

    /// Decodes the first rows, until they take `bytes_max`.
    fn decode(&mut self, rows: &[Row], bytes_max: usize) -> Result<Part, SinkError> {
        let mut part = Part::default();
        let mut bytes = 0;
        while part.rows < rows.len() && bytes < bytes_max {
            let slice = &rows[part.rows..];
            let slice = &slice[..slice.len().min(DECODE_ROWS_MAX)];
            let values: Vec<&Bytes> = slice.iter().map(|row| &row.value).collect();
            let decoded = self.decoder.decode_up_to(&values, DECODE_BYTES_MAX);
            let decoded = decoded.map_err(broken)?;
            if let Some((index, defect)) = decoded.defects.first() {
                // Admission walked every byte by the same rules: this is our fault, and losing the row
                // silently would be worse than stopping.
                let position = slice[*index].position();
                return Err(broken(format!(
                    "admitted record {position} cannot be decoded: {defect}"
                )));
            }
            let batch = history_batch(&self.group, &self.schema, slice, &decoded);
            let batch = batch.map_err(broken)?;
            part.rows += decoded.taken();
            bytes += batch.get_array_memory_size();
            part.batches.push(batch);
        }
        Ok(part)
    }
}

/// What goes into one commit: so many rows, in columns.
#[derive(Default)]
struct Part {
    rows: usize,
    batches: Vec<RecordBatch>,
}

#[async_trait]
impl Sink for OfflineSink {
    async fn define(&mut self, definition: &GroupDefinition) -> Result<(), SinkError> {
        self.codec = Arc::new(Mutex::new(Codec::new(&definition.group)?));
        // The registry adds columns before it hands out a schema; asking again costs nothing.
        let schema = record::history_schema(&definition.group);
        self.store
            .create_table(&self.table, schema)
            .await
            .map_err(refused)
    }

    async fn positions(&mut self) -> Result<Option<Positions>, SinkError> {
        self.contained = self.store.positions(&self.table).await.map_err(refused)?;
        Ok(Some(self.contained.clone()))
    }

    async fn write(&mut self, batch: &Batch) -> Result<(), SinkError> {
        // After a lost answer, or when two writers overlapped, part of the batch may be in already.
        let rows = batch.rows.iter();
        let rows = rows.filter(|row| row.version.offset >= self.reached(row.partition));
        let rows: Arc<[Row]> = rows.cloned().collect();
        self.learn(&rows).await?;
        let mut first = 0;
        loop {
            let part = self.decode(&rows, first).await?;
            let end = first + part.rows;
            let positions = if end == rows.len() {
                batch.positions.clone()
            } else {
                // Records between rows are quarantined, which happens before any row is written.
                let next = |row: &Row| (row.partition, row.version.offset.plus(1));
                rows[first..end].iter().map(next).collect()
            };
            self.append(&rows[first..end], part.batches, &positions)
                .await?;
            if end == rows.len() {
                return Ok(());
            }
            first = end;
        }
    }

    fn note_waiting(&mut self, waited: Duration) {
        metrics::commit_age(&self.group, waited);
    }

    async fn flush(&mut self) -> Result<(), SinkError> {
        // A commit is durable when `append` returned.
        Ok(())
    }
}

impl OfflineSink {
    fn reached(&self, partition: PartitionId) -> Offset {
        self.contained.get(partition).unwrap_or(Offset::ZERO)
    }

    async fn decode(&self, rows: &Arc<[Row]>, first: usize) -> Result<Part, SinkError> {
        let (codec, rows) = (Arc::clone(&self.codec), Arc::clone(rows));
        let bytes_max = self.commit_bytes_max;
        let decode = move || lock(&codec).decode(&rows[first..], bytes_max);
        let decoding = tokio::task::spawn_blocking(decode);
        decoding.await.map_err(broken)?
    }

    /// Commits rows with the positions up to which they, and all before them, are in.
    async fn append(
        &mut self,
        rows: &[Row],
        batches: Vec<RecordBatch>,
        positions: &Positions,
    ) -> Result<(), SinkError> {
        let moved = positions.iter();
        let moved = moved.filter(|(partition, next)| *next > self.reached(*partition));
        let positions: Positions = moved.collect();
        let follows = positions.iter();
        let follows = follows.map(|(partition, _)| (partition, self.reached(partition)));
        if positions.is_empty() {
            return Ok(());
        }
        let deleted = |row: &&Row| row.version.operation == Operation::Delete;
        let rows_deleted = rows.iter().filter(deleted).count() as u64;
        let request = AppendRequest {
            batches,
            follows: follows.collect(),
            positions,
            rows_upserted: rows.len() as u64 - rows_deleted,
            rows_deleted,
        };
        match self.store.append(&self.table, request).await {
            Ok(commit) => {
                self.contained.merge(&commit.positions);
                Ok(())
            }
            Err(error @ (StoreError::AlreadyCommitted { .. } | StoreError::Conflict { .. })) => {
                warn!(table = self.table, %error, "reading the table's positions again");
                self.positions().await?;
                Err(SinkError::new(HISTORY, true, error))
            }
            Err(error) => Err(refused(error)),
        }
    }

    /// Hands the decoder every schema that these rows name.
    async fn learn(&self, rows: &[Row]) -> Result<(), SinkError> {
        let mut unknown: Vec<SchemaId> = Vec::new();
        {
            let codec = lock(&self.codec);
            for row in rows {
                if !codec.known.contains(&row.schema) && !unknown.contains(&row.schema) {
                    unknown.push(row.schema);
                }
            }
        }
        for id in unknown {
            let schema = self.definitions.schema(id, &self.table).await;
            let schema =
                schema.map_err(|error| SinkError::new("registry", error.retry(), error))?;
            let Some(schema) = schema else {
                return Err(broken(format!(
                    "schema {} of an admitted record is gone",
                    id.0
                )));
            };
            lock(&self.codec).learn(&schema)?;
        }
        Ok(())
    }
}

fn lock(codec: &Mutex<Codec>) -> std::sync::MutexGuard<'_, Codec> {
    codec.lock().unwrap_or_else(PoisonError::into_inner)
}

fn refused(error: StoreError) -> SinkError {
    SinkError::new(HISTORY, error.retry(), error)
}

fn broken(reason: impl std::fmt::Display) -> SinkError {
    SinkError::new(HISTORY, false, reason.to_string())
}

#[cfg(test)]
mod tests;
