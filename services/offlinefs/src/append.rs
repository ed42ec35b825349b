use std::sync::{Arc, Mutex, PoisonError};

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use bytes::Bytes;
use tracing::warn;
use twinfold_client::{Definitions, GroupDefinition, WriterSchema};
use twinfold_ingest::{Batch, Row, Sink, SinkError, SinkFactory};
use twinfold_model::{FeatureGroup, Offset, Operation, Positions, SchemaId};
use twinfold_store_offline::{AppendRequest, Error as StoreError, OfflineStore};
use twinfold_wire::record::{self, Decoder};

use crate::history::history_batch;

/// Rows are decoded in slices of this many: large enough for columns to pay, small enough for memory.
const DECODE_ROWS_MAX: usize = 16_384;

/// Makes the sinks that append to the history of a group.
#[derive(Debug)]
pub struct OfflineSinks {
    store: Arc<dyn OfflineStore>,
    definitions: Arc<dyn Definitions>,
}

impl OfflineSinks {
    pub fn new(store: Arc<dyn OfflineStore>, definitions: Arc<dyn Definitions>) -> Self {
        Self { store, definitions }
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
            table: definition.group.id().resource_name(),
            codec: Arc::new(Mutex::new(Codec::new(&definition.group)?)),
            contained: Positions::new(),
        }))
    }
}

struct OfflineSink {
    store: Arc<dyn OfflineStore>,
    definitions: Arc<dyn Definitions>,
    table: String,
    /// Locked only by the one thread that decodes for this sink.
    codec: Arc<Mutex<Codec>>,
    /// What the table contains already.
    contained: Positions,
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

    fn decode(&mut self, rows: &[Row]) -> Result<Vec<arrow::record_batch::RecordBatch>, SinkError> {
        let mut batches = Vec::with_capacity(rows.len() / DECODE_ROWS_MAX + 1);
        for slice in rows.chunks(DECODE_ROWS_MAX) {
            let values: Vec<&Bytes> = slice.iter().map(|row| &row.value).collect();
            let decoded = self.decoder.decode(&values).map_err(broken)?;
            if let Some((index, defect)) = decoded.defects.first() {
                // Admission walked every byte by the same rules: this is our fault, and losing the row
                // silently would be worse than stopping.
                let position = slice[*index].position();
                return Err(broken(format!(
                    "admitted record {position} cannot be decoded: {defect}"
                )));
            }
            batches
                .push(history_batch(&self.group, &self.schema, slice, &decoded).map_err(broken)?);
        }
        Ok(batches)
    }
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
        let reached = |partition| self.contained.get(partition).unwrap_or(Offset::ZERO);
        let moved = batch.positions.iter();
        let moved = moved.filter(|(partition, next)| *next > reached(*partition));
        let positions: Positions = moved.collect();
        if positions.is_empty() {
            return Ok(());
        }
        let rows = batch.rows.iter();
        let rows = rows.filter(|row| row.version.offset >= reached(row.partition));
        let request = self.request(rows.cloned().collect(), positions).await?;
        match self.store.append(&self.table, request).await {
            Ok(commit) => {
                self.contained.merge(&commit.positions);
                Ok(())
            }
            Err(error @ (StoreError::AlreadyCommitted { .. } | StoreError::Conflict { .. })) => {
                warn!(table = self.table, %error, "reading the table's positions again");
                self.positions().await?;
                Err(refused(error))
            }
            Err(error) => Err(refused(error)),
        }
    }

    async fn flush(&mut self) -> Result<(), SinkError> {
        // A commit is durable when `append` returns.
        Ok(())
    }
}

impl OfflineSink {
    async fn request(
        &mut self,
        rows: Vec<Row>,
        positions: Positions,
    ) -> Result<AppendRequest, SinkError> {
        self.learn(&rows).await?;
        let rows_deleted = rows
            .iter()
            .filter(|row| row.version.operation == Operation::Delete)
            .count() as u64;
        let rows_upserted = rows.len() as u64 - rows_deleted;
        let codec = Arc::clone(&self.codec);
        let decoding = tokio::task::spawn_blocking(move || lock(&codec).decode(&rows));
        let batches = decoding.await.map_err(broken)??;
        Ok(AppendRequest {
            batches,
            positions,
            rows_upserted,
            rows_deleted,
        })
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
            let schema = self.definitions.schema(id).await;
            let schema = schema.map_err(|error| SinkError {
                store: "registry",
                retry: error.retry(),
                source: Box::new(error),
            })?;
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
    SinkError {
        store: "history",
        retry: !matches!(
            error,
            StoreError::SchemaMismatch { .. } | StoreError::UnknownTable { .. }
        ),
        source: Box::new(error),
    }
}

fn broken(reason: impl std::fmt::Display) -> SinkError {
    SinkError {
        store: "history",
        retry: false,
        source: reason.to_string().into(),
    }
}
