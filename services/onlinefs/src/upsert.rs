use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use twinfold_client::GroupDefinition;
use twinfold_ingest::{Batch, Row, Sink, SinkError, SinkFactory};
use twinfold_model::{Operation, Positions};
use twinfold_store_online::{OnlineStore, Upsert};

/// Makes the sinks that upsert into an online store.
#[derive(Debug)]
pub struct OnlineSinks {
    store: Arc<dyn OnlineStore>,
}

impl OnlineSinks {
    pub fn new(store: Arc<dyn OnlineStore>) -> Self {
        Self { store }
    }
}

#[async_trait]
impl SinkFactory for OnlineSinks {
    fn wants(&self, definition: &GroupDefinition) -> bool {
        definition.group.online_enabled()
    }

    async fn open(&self, definition: &GroupDefinition) -> Result<Box<dyn Sink>, SinkError> {
        Ok(Box::new(OnlineSink {
            store: Arc::clone(&self.store),
            table: definition.resource.clone(),
        }))
    }

    fn forget(&self, resource: &str) {
        self.store.forget(resource);
    }
}

struct OnlineSink {
    store: Arc<dyn OnlineStore>,
    table: String,
}

#[async_trait]
impl Sink for OnlineSink {
    async fn define(&mut self, _definition: &GroupDefinition) -> Result<(), SinkError> {
        // Values are stored as they came and carry their schema id: an evolved group changes nothing.
        Ok(())
    }

    async fn positions(&mut self) -> Result<Option<Positions>, SinkError> {
        // Upserts are idempotent, so going back to committed progress is safe and needs no state here.
        Ok(None)
    }

    async fn write(&mut self, batch: &Batch) -> Result<(), SinkError> {
        // The store finds out itself which of several rows of a key is the newest.
        let upserts: Vec<_> = batch.rows.iter().map(upsert).collect();
        self.store
            .upsert(&self.table, &upserts)
            .await
            .map_err(refused)?;
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), SinkError> {
        self.store.flush().await.map_err(refused)
    }
}

fn refused(error: twinfold_store_online::Error) -> SinkError {
    SinkError::new("online store", error.retry(), error)
}

fn upsert(row: &Row) -> Upsert {
    Upsert {
        key: row.key.clone(),
        version: row.version,
        schema: row.schema,
        body: match row.version.operation {
            Operation::Upsert => row.body(),
            Operation::Delete => Bytes::new(),
        },
    }
}
