use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result};
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use super::{Engine, Record};

const PARTITION: [u8; 4] = [0; 4];

/// Keys are partition and offset in big-endian; a value is the length of the key, the key, the value.
struct Fjall {
    database: Database,
    records: Keyspace,
    next: AtomicU64,
}

pub fn open(folder: &Path) -> Result<Box<dyn Engine>> {
    let database = Database::builder(folder).open()?;
    let records = database.keyspace("records", KeyspaceCreateOptions::default)?;
    let last = records
        .last_key_value()
        .map(|last| last.key())
        .transpose()?;
    let next = last
        .map(|key| offset_of(&key))
        .transpose()?
        .map_or(0, |last| last + 1);
    Ok(Box::new(Fjall {
        database,
        records,
        next: AtomicU64::new(next),
    }))
}

impl Engine for Fjall {
    fn append(&self, records: &[Record]) -> Result<()> {
        let first = self.next.load(Ordering::Relaxed);
        let mut batch = self.database.batch();
        for (offset, record) in (first..).zip(records) {
            let key = [PARTITION.as_slice(), &offset.to_be_bytes()].concat();
            let length = (record.key.len() as u32).to_be_bytes();
            let value = [length.as_slice(), &record.key, &record.value].concat();
            batch.insert(&self.records, key, value);
        }
        batch.commit()?;
        self.next
            .store(first + records.len() as u64, Ordering::Relaxed);
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        Ok(self.database.persist(PersistMode::SyncAll)?)
    }

    fn next_offset(&self) -> Result<u64> {
        Ok(self.next.load(Ordering::Relaxed))
    }

    fn read_all(&self, visit: &mut dyn FnMut(&[u8])) -> Result<()> {
        for record in self.records.prefix(PARTITION) {
            let value = record.value()?;
            let length = value.first_chunk().context("a value is too short")?;
            visit(&value[4 + u32::from_be_bytes(*length) as usize..]);
        }
        Ok(())
    }
}

fn offset_of(key: &[u8]) -> Result<u64> {
    let offset = key.last_chunk().context("a key is too short")?;
    Ok(u64::from_be_bytes(*offset))
}
