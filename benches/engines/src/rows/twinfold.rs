use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use bytes::Bytes;
use tokio::runtime::Runtime;
use twinfold_model::{EventTime, Offset, Operation, RowVersion, SchemaId};
use twinfold_store_online::{EmbeddedOnline, OnlineStore, TableConfig, Upsert};

use super::{Engine, Key, Row};

const TABLE: &str = "default.bench_1";

struct Twinfold {
    runtime: Runtime,
    store: Arc<EmbeddedOnline>,
}

pub fn open(folder: &Path) -> Result<Box<dyn Engine>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().build()?;
    let store = runtime.block_on(EmbeddedOnline::open(folder))?;
    runtime.block_on(store.create_table(TABLE, TableConfig::default()))?;
    let store = Arc::new(store);
    Ok(Box::new(Twinfold { runtime, store }))
}

impl Engine for Twinfold {
    fn upsert(&self, rows: &[Row]) -> Result<()> {
        let rows: Vec<Upsert> = rows.iter().map(upsert_of).collect();
        self.runtime.block_on(self.store.upsert(TABLE, &rows))?;
        Ok(())
    }

    fn read(&self, keys: &[Key]) -> Result<Vec<Option<i64>>> {
        let keys: Vec<&[u8]> = keys.iter().map(Key::as_slice).collect();
        let rows = self.runtime.block_on(self.store.read(TABLE, &keys))?;
        let event_time = |row: twinfold_store_online::StoredRow| row.event_time.micros();
        Ok(rows.into_iter().map(|row| row.map(event_time)).collect())
    }

    fn sync(&self) -> Result<()> {
        Ok(self.runtime.block_on(self.store.flush())?)
    }
}

fn upsert_of(row: &Row) -> Upsert {
    Upsert {
        key: Bytes::copy_from_slice(&row.key),
        version: RowVersion {
            event_time: EventTime::from_micros(row.event_time),
            operation: Operation::Upsert,
            offset: Offset(0),
        },
        schema: SchemaId(1),
        body: row.body.clone(),
    }
}
