//! B-trees: with whole values, or as an index over a value log, which is what an index in memory is
//! compared with.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result};
use heed::types::Bytes;
use heed::{CommitOrAbort, EnvFlags, EnvOpenOptions};
use redb::{Durability, ReadableDatabase, TableDefinition};

use super::fjall_rows::{event_time_of, value_of};
use super::{Engine, Key, Row};

/// Address space only; the file grows as it is filled.
const MAP_BYTES: usize = 64 << 30;
const RECORDS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("rows");

pub fn open_heed_whole(folder: &Path) -> Result<Box<dyn Engine>> {
    Ok(Box::new(Whole(Heed::open(folder)?)))
}

pub fn open_heed(folder: &Path) -> Result<Box<dyn Engine>> {
    Ok(Box::new(OverLog::open(folder, Heed::open(folder)?)?))
}

pub fn open_redb(folder: &Path) -> Result<Box<dyn Engine>> {
    Ok(Box::new(OverLog::open(folder, Redb::open(folder)?)?))
}

/// A tree of small records.
trait Tree: Send + Sync {
    /// Asks `decide` for each key, in order, what to put in place of what is there.
    fn change(
        &self,
        keys: &[Key],
        decide: &mut dyn FnMut(usize, Option<&[u8]>) -> Result<Option<Vec<u8>>>,
    ) -> Result<()>;
    fn read(&self, keys: &[Key], visit: &mut dyn FnMut(Option<&[u8]>) -> Result<()>) -> Result<()>;
    fn sync(&self) -> Result<()>;
}

struct Heed {
    environment: heed::Env,
    rows: heed::Database<'static, Bytes, Bytes>,
}

impl Heed {
    fn open(folder: &Path) -> Result<Self> {
        let mut options = EnvOpenOptions::new();
        options.map_size(MAP_BYTES);
        // SAFETY: no other process opens the folder, and a torn tree after a power loss is not
        // what this measures.
        let environment = unsafe {
            options.flags(EnvFlags::NO_SYNC | EnvFlags::WRITE_MAP);
            options.open(folder)?
        };
        let rows = environment
            .create_databases_and_commit(environment.write_txn()?, |opener, transaction| {
                let rows = opener.create_database::<Bytes, Bytes>(transaction, None)?;
                Ok::<_, heed::Error>(CommitOrAbort::<_, ()>::Commit(rows))
            })?
            .unwrap_commit();
        Ok(Self { environment, rows })
    }
}

impl Tree for Heed {
    fn change(
        &self,
        keys: &[Key],
        decide: &mut dyn FnMut(usize, Option<&[u8]>) -> Result<Option<Vec<u8>>>,
    ) -> Result<()> {
        let mut transaction = self.environment.write_txn()?;
        for (index, key) in keys.iter().enumerate() {
            let known = self.rows.get(&transaction, key)?;
            if let Some(value) = decide(index, known)? {
                self.rows.put(&mut transaction, key, &value)?;
            }
        }
        Ok(transaction.commit()?)
    }

    fn read(&self, keys: &[Key], visit: &mut dyn FnMut(Option<&[u8]>) -> Result<()>) -> Result<()> {
        let transaction = self.environment.read_txn()?;
        keys.iter()
            .try_for_each(|key| visit(self.rows.get(&transaction, key)?))
    }

    fn sync(&self) -> Result<()> {
        Ok(self.environment.force_sync()?)
    }
}

struct Redb(redb::Database);

impl Redb {
    fn open(folder: &Path) -> Result<Self> {
        let database = redb::Database::create(folder.join("index.redb"))?;
        let transaction = database.begin_write()?;
        transaction.open_table(RECORDS)?;
        transaction.commit()?;
        Ok(Self(database))
    }
}

impl Tree for Redb {
    fn change(
        &self,
        keys: &[Key],
        decide: &mut dyn FnMut(usize, Option<&[u8]>) -> Result<Option<Vec<u8>>>,
    ) -> Result<()> {
        let mut transaction = self.0.begin_write()?;
        transaction.set_durability(Durability::None)?;
        {
            let mut rows = transaction.open_table(RECORDS)?;
            for (index, key) in keys.iter().enumerate() {
                let known = redb::ReadableTable::get(&rows, key.as_slice())?;
                let value = decide(index, known.as_ref().map(|known| known.value()))?;
                drop(known);
                if let Some(value) = value {
                    rows.insert(key.as_slice(), value.as_slice())?;
                }
            }
        }
        Ok(transaction.commit()?)
    }

    fn read(&self, keys: &[Key], visit: &mut dyn FnMut(Option<&[u8]>) -> Result<()>) -> Result<()> {
        let rows = self.0.begin_read()?.open_table(RECORDS)?;
        keys.iter().try_for_each(|key| {
            let value = redb::ReadableTable::get(&rows, key.as_slice())?;
            visit(value.as_ref().map(|value| value.value()))
        })
    }

    fn sync(&self) -> Result<()> {
        // An empty durable commit makes the ones before it durable.
        Ok(self.0.begin_write()?.commit()?)
    }
}

/// Values in the tree itself.
struct Whole<T>(T);

impl<T: Tree> Engine for Whole<T> {
    fn upsert(&self, rows: &[Row]) -> Result<()> {
        let rows = sorted(rows);
        let keys: Vec<Key> = rows.iter().map(|row| row.key).collect();
        self.0.change(&keys, &mut |index, known| {
            let row = rows[index];
            let is_newer = match known {
                Some(known) => row.event_time > event_time_of(known)?,
                None => true,
            };
            Ok(is_newer.then(|| value_of(row)))
        })
    }

    fn read(&self, keys: &[Key]) -> Result<Vec<Option<i64>>> {
        let mut found = Vec::with_capacity(keys.len());
        self.0.read(keys, &mut |value| {
            let value = value.map(<[u8]>::to_vec);
            found.push(value.map(|value| event_time_of(&value)).transpose()?);
            Ok(())
        })?;
        Ok(found)
    }

    fn sync(&self) -> Result<()> {
        self.0.sync()
    }
}

/// A tree of (event time, place) over values that are appended to one file. It has no compaction and
/// is for speed only; its space is not what a finished engine would need.
struct OverLog<T> {
    tree: T,
    values: File,
    end: AtomicU64,
}

impl<T: Tree> OverLog<T> {
    fn open(folder: &Path, tree: T) -> Result<Self> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let values = options.open(folder.join("values"))?;
        let end = AtomicU64::new(values.metadata()?.len());
        Ok(Self { tree, values, end })
    }

    fn value_at(&self, place: &[u8]) -> Result<Vec<u8>> {
        let start = u64::from_be_bytes(*place[8..].first_chunk().context("a place is too short")?);
        let length =
            u32::from_be_bytes(*place[16..].first_chunk().context("a place is too short")?);
        let mut value = vec![0; length as usize];
        self.values.read_exact_at(&mut value, start)?;
        Ok(value)
    }
}

impl<T: Tree> Engine for OverLog<T> {
    fn upsert(&self, rows: &[Row]) -> Result<()> {
        let rows = sorted(rows);
        let keys: Vec<Key> = rows.iter().map(|row| row.key).collect();
        let start = self.end.load(Ordering::Relaxed);
        let values: Vec<Vec<u8>> = rows.iter().map(|row| value_of(row)).collect();
        let values_bytes = values.concat();
        self.values.write_all_at(&values_bytes, start)?;
        self.end
            .fetch_add(values_bytes.len() as u64, Ordering::Relaxed);
        let mut place = start;
        self.tree.change(&keys, &mut |index, known| {
            let row = rows[index];
            let length = values[index].len();
            let entry = [
                row.event_time.to_be_bytes().as_slice(),
                &place.to_be_bytes(),
                &(length as u32).to_be_bytes(),
            ]
            .concat();
            place += length as u64;
            let is_newer = match known {
                Some(known) => row.event_time > event_time_of(known)?,
                None => true,
            };
            Ok(is_newer.then_some(entry))
        })
    }

    fn read(&self, keys: &[Key]) -> Result<Vec<Option<i64>>> {
        let mut places = Vec::with_capacity(keys.len());
        self.tree.read(keys, &mut |place| {
            places.push(place.map(<[u8]>::to_vec));
            Ok(())
        })?;
        let read = |place: Option<Vec<u8>>| {
            let value = place.map(|place| self.value_at(&place)).transpose()?;
            value.map(|value| event_time_of(&value)).transpose()
        };
        places.into_iter().map(read).collect()
    }

    fn sync(&self) -> Result<()> {
        self.values.sync_data()?;
        self.tree.sync()
    }
}

/// B-trees like keys in order.
fn sorted(rows: &[Row]) -> Vec<&Row> {
    let mut rows: Vec<&Row> = rows.iter().collect();
    rows.sort_unstable_by_key(|row| (row.key, row.event_time));
    rows
}
