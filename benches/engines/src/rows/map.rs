use std::path::Path;
use std::sync::RwLock;

use anyhow::Result;
use hashbrown::HashMap;

use super::{Engine, Key, Row};

const SHARDS: usize = 64;

struct Value {
    event_time: i64,
    body: Vec<u8>,
}

/// Values stand in memory and are overwritten where they are.
struct Map(Vec<RwLock<HashMap<Key, Value>>>);

pub fn open(_: &Path) -> Result<Box<dyn Engine>> {
    Ok(Box::new(Map((0..SHARDS)
        .map(|_| RwLock::default())
        .collect())))
}

impl Map {
    fn shard(&self, key: &Key) -> &RwLock<HashMap<Key, Value>> {
        &self.0[key[0] as usize % SHARDS]
    }
}

impl Engine for Map {
    fn upsert(&self, rows: &[Row]) -> Result<()> {
        for row in rows {
            let mut shard = self.shard(&row.key).write().expect("no panic");
            let value = shard.entry(row.key).or_insert_with(|| Value {
                event_time: i64::MIN,
                body: Vec::new(),
            });
            if row.event_time > value.event_time {
                value.event_time = row.event_time;
                value.body.clear();
                value.body.extend_from_slice(&row.body);
            }
        }
        Ok(())
    }

    fn read(&self, keys: &[Key]) -> Result<Vec<Option<i64>>> {
        let read = |key: &Key| {
            let shard = self.shard(key).read().expect("no panic");
            shard.get(key).map(|value| {
                std::hint::black_box(value.body.clone());
                value.event_time
            })
        };
        Ok(keys.iter().map(read).collect())
    }

    fn sync(&self) -> Result<()> {
        Ok(())
    }
}
