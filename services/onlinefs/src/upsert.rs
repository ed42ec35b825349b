use std::collections::HashMap;
use std::collections::hash_map::Entry;
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
        let upserts = newest_per_key(&batch.rows);
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
    SinkError {
        store: "online store",
        retry: error.retry(),
        source: Box::new(error),
    }
}

/// Of the rows of each key only the newest: the others would lose anyway.
fn newest_per_key(rows: &[Row]) -> Vec<Upsert> {
    let mut place_of: HashMap<&Bytes, usize> = HashMap::with_capacity(rows.len());
    let mut newest: Vec<&Row> = Vec::with_capacity(rows.len());
    for row in rows {
        match place_of.entry(&row.key) {
            Entry::Vacant(entry) => {
                entry.insert(newest.len());
                newest.push(row);
            }
            Entry::Occupied(entry) => {
                let best = &mut newest[*entry.get()];
                if row.version > best.version {
                    *best = row;
                }
            }
        }
    }
    newest.into_iter().map(upsert).collect()
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

#[cfg(test)]
mod tests {
    use twinfold_model::{EventTime, Offset, PartitionId, RowVersion, SchemaId};

    use super::*;

    fn row(key: &'static str, event_time: i64, operation: Operation, offset: u64) -> Row {
        Row {
            partition: PartitionId(0),
            key: Bytes::from_static(key.as_bytes()),
            version: RowVersion {
                event_time: EventTime::from_micros(event_time),
                operation,
                offset: Offset(offset),
            },
            schema: SchemaId(1),
            value: Bytes::from_static(b"\0\0\0\0\x01body"),
        }
    }

    #[test]
    fn one_upsert_per_key_and_it_is_the_newest() {
        use Operation::{Delete, Upsert};
        let rows = [
            row("a", 2, Upsert, 0),
            row("b", 1, Upsert, 1),
            row("a", 1, Upsert, 2),
            row("b", 1, Delete, 3),
            row("c", 5, Upsert, 4),
            row("c", 5, Upsert, 5),
        ];
        let upserts = newest_per_key(&rows);
        let kept: Vec<_> = upserts
            .iter()
            .map(|u| (&u.key[..], u.version.offset.0, u.body.len()))
            .collect();
        assert_eq!(
            kept,
            [(&b"a"[..], 0, 4), (&b"b"[..], 3, 0), (&b"c"[..], 5, 4)]
        );
    }
}
