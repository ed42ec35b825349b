use std::path::Path;

use anyhow::{Context, Result};
use fjall::{Database, Keyspace, KeyspaceCreateOptions, KvSeparationOptions, PersistMode};

use super::{Engine, Key, Row};

/// A fifth of the data, as its manual recommends, up to this.
const CACHE_BYTES: u64 = 1 << 30;

struct Fjall {
    database: Database,
    rows: Keyspace,
}

pub fn open(folder: &Path) -> Result<Box<dyn Engine>> {
    open_with(folder, None)
}

pub fn open_separated(folder: &Path) -> Result<Box<dyn Engine>> {
    open_with(folder, Some(KvSeparationOptions::default()))
}

fn open_with(folder: &Path, separation: Option<KvSeparationOptions>) -> Result<Box<dyn Engine>> {
    let database = Database::builder(folder).cache_size(CACHE_BYTES).open()?;
    let options = || {
        KeyspaceCreateOptions::default()
            .expect_point_read_hits(true)
            .with_kv_separation(separation.clone())
    };
    let rows = database.keyspace("rows", options)?;
    Ok(Box::new(Fjall { database, rows }))
}

impl Engine for Fjall {
    fn upsert(&self, rows: &[Row]) -> Result<()> {
        let mut batch = self.database.batch();
        for row in rows {
            if let Some(known) = self.rows.get(row.key)?
                && event_time_of(&known)? >= row.event_time
            {
                continue;
            }
            batch.insert(&self.rows, row.key, value_of(row));
        }
        Ok(batch.commit()?)
    }

    fn read(&self, keys: &[Key]) -> Result<Vec<Option<i64>>> {
        let read = |key: &Key| {
            let value = self.rows.get(key)?;
            value.map(|value| event_time_of(&value)).transpose()
        };
        keys.iter().map(read).collect()
    }

    fn sync(&self) -> Result<()> {
        Ok(self.database.persist(PersistMode::SyncAll)?)
    }
}

pub fn value_of(row: &Row) -> Vec<u8> {
    [row.event_time.to_be_bytes().as_slice(), &row.body].concat()
}

pub fn event_time_of(value: &[u8]) -> Result<i64> {
    let bytes = value.first_chunk().context("a value is too short")?;
    Ok(i64::from_be_bytes(*bytes))
}
