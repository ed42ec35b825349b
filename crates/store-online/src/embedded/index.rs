//! Where the newest record of each key of one table is.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use hashbrown::HashTable;
use hashbrown::hash_table::Entry as Slot;
use twinfold_model::{EventTime, Operation};

/// A power of two. Small shards keep the pause of a growing one below a millisecond.
const SHARDS: usize = 256;
const DELETE_FLAG: u32 = 1 << 31;

/// The 128-bit hash that stands for a key. Two keys with one hash (about 1 in 10^25 for five million
/// keys) would share an entry; a reader compares the key bytes and never gets another key's row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct KeyHash(pub u128);

impl KeyHash {
    pub fn of(seed: u64, key: &[u8]) -> Self {
        Self(xxhash_rust::xxh3::xxh3_128_with_seed(key, seed))
    }

    /// The top bits: hashes in ascending order visit the shards in ascending order.
    pub fn shard(self) -> usize {
        (self.0 >> (u128::BITS - SHARDS.ilog2())) as usize
    }
}

/// Where a record stands in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Location {
    pub segment: u32,
    pub position: u32,
}

/// What is known of a key without reading the log. Packed: there is one per key, always in memory.
#[derive(Debug, Clone, Copy)]
#[repr(C, packed(4))]
pub(super) struct Entry {
    hash: u128,
    event_time: i64,
    segment: u32,
    position: u32,
    length_and_flag: u32,
}

const _: () = assert!(size_of::<Entry>() == 36);

impl Entry {
    pub fn new(
        hash: KeyHash,
        event_time: EventTime,
        operation: Operation,
        location: Location,
        length: u32,
    ) -> Self {
        debug_assert!(length & DELETE_FLAG == 0);
        let flag = match operation {
            Operation::Upsert => 0,
            Operation::Delete => DELETE_FLAG,
        };
        Self {
            hash: hash.0,
            event_time: event_time.micros(),
            segment: location.segment,
            position: location.position,
            length_and_flag: length | flag,
        }
    }

    pub fn hash(&self) -> KeyHash {
        KeyHash(self.hash)
    }

    pub fn event_time(&self) -> EventTime {
        EventTime::from_micros(self.event_time)
    }

    pub fn operation(&self) -> Operation {
        if self.is_delete() {
            Operation::Delete
        } else {
            Operation::Upsert
        }
    }

    pub fn is_delete(&self) -> bool {
        self.length_and_flag & DELETE_FLAG != 0
    }

    pub fn location(&self) -> Location {
        Location {
            segment: self.segment,
            position: self.position,
        }
    }

    /// Of the whole record.
    pub fn length(&self) -> u32 {
        self.length_and_flag & !DELETE_FLAG
    }

    fn bucket_hash(&self) -> u64 {
        self.hash as u64
    }
}

pub(super) type Shard = HashTable<Entry>;

/// A sharded hash table of [`Entry`]. No lock is held longer than a few table operations, and never
/// while the log is read.
#[derive(Debug)]
pub(super) struct Index {
    shards: Box<[RwLock<Shard>]>,
    deletes: AtomicU64,
}

impl Default for Index {
    fn default() -> Self {
        Self {
            shards: (0..SHARDS).map(|_| RwLock::default()).collect(),
            deletes: AtomicU64::new(0),
        }
    }
}

impl Index {
    pub fn get(&self, hash: KeyHash) -> Option<Entry> {
        find(&self.read(hash.shard()), hash)
    }

    /// The entries of ascending hashes, each shard locked once.
    pub fn get_sorted(&self, hashes: &[KeyHash], found: &mut Vec<Option<Entry>>) {
        debug_assert!(hashes.is_sorted());
        for group in hashes.chunk_by(|a, b| a.shard() == b.shard()) {
            let shard = self.read(group[0].shard());
            found.extend(group.iter().map(|hash| find(&shard, *hash)));
        }
    }

    /// Puts entries of ascending hashes in place of what stood there; each shard is locked once.
    pub fn put_sorted(&self, entries: &[Entry], mut replaced: impl FnMut(Entry)) {
        let shard_of = |entry: &Entry| entry.hash().shard();
        for group in entries.chunk_by(|a, b| shard_of(a) == shard_of(b)) {
            let mut shard = self.write(shard_of(&group[0]));
            for entry in group {
                if let Some(old) = self.put(&mut shard, *entry) {
                    replaced(old);
                }
            }
        }
    }

    /// Moves the entry of `hash` from one place of the log to another, unless it has moved on.
    pub fn relocate(&self, hash: KeyHash, from: Location, to: Location) -> bool {
        let mut shard = self.write(hash.shard());
        let Some(entry) = shard.find_mut(hash.0 as u64, |entry| entry.hash() == hash) else {
            return false;
        };
        let unmoved = entry.location() == from;
        if unmoved {
            entry.segment = to.segment;
            entry.position = to.position;
        }
        unmoved
    }

    /// Drops the entries for which `keep` is false. Writers, who visit the shards in ascending order,
    /// are met in the opposite one: each waits for a shard or two, never behind this all the way.
    pub fn retain(&self, mut keep: impl FnMut(Entry) -> bool) {
        for shard in (0..SHARDS).rev() {
            self.write(shard).retain(|entry| {
                let kept = keep(*entry);
                if !kept && entry.is_delete() {
                    self.deletes.fetch_sub(1, Ordering::Relaxed);
                }
                kept
            });
        }
    }

    /// Up to `count_max` entries of live rows behind `after`, in the order of their hashes.
    pub fn page(&self, after: Option<KeyHash>, count_max: usize) -> Vec<Entry> {
        let is_behind = |entry: &Entry| after.is_none_or(|after| entry.hash() > after);
        let mut page: Vec<Entry> = Vec::new();
        for shard in after.map_or(0, KeyHash::shard)..SHARDS {
            let start = page.len();
            page.extend(
                self.read(shard)
                    .iter()
                    .filter(|entry| !entry.is_delete() && is_behind(entry)),
            );
            page[start..].sort_unstable_by_key(Entry::hash);
            if page.len() >= count_max {
                page.truncate(count_max);
                break;
            }
        }
        page
    }

    pub fn for_each(&self, mut visit: impl FnMut(Entry)) {
        for shard in 0..SHARDS {
            self.read(shard).iter().for_each(|entry| visit(*entry));
        }
    }

    /// Nobody changes the shard as long as the answer lives.
    #[cfg(test)]
    pub fn hold(&self, shard: usize) -> RwLockReadGuard<'_, Shard> {
        self.read(shard)
    }

    /// Keys with a live row, and keys of which a delete is the newest.
    pub fn counts(&self) -> (u64, u64) {
        let entries: u64 = (0..SHARDS).map(|shard| self.read(shard).len() as u64).sum();
        let deletes = self.deletes.load(Ordering::Relaxed);
        (entries.saturating_sub(deletes), deletes)
    }

    fn put(&self, shard: &mut Shard, entry: Entry) -> Option<Entry> {
        let hash = entry.hash();
        let old = match shard.entry(
            entry.bucket_hash(),
            |known| known.hash() == hash,
            Entry::bucket_hash,
        ) {
            Slot::Occupied(mut slot) => Some(std::mem::replace(slot.get_mut(), entry)),
            Slot::Vacant(slot) => {
                slot.insert(entry);
                None
            }
        };
        match (old.is_some_and(|old| old.is_delete()), entry.is_delete()) {
            (false, true) => _ = self.deletes.fetch_add(1, Ordering::Relaxed),
            (true, false) => _ = self.deletes.fetch_sub(1, Ordering::Relaxed),
            _ => {}
        }
        old
    }

    // A panic inside a shard's lock cannot leave the table half changed, so poison is passed over.
    fn read(&self, shard: usize) -> RwLockReadGuard<'_, Shard> {
        self.shards[shard]
            .read()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, shard: usize) -> RwLockWriteGuard<'_, Shard> {
        self.shards[shard]
            .write()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

fn find(shard: &Shard, hash: KeyHash) -> Option<Entry> {
    shard
        .find(hash.0 as u64, |entry| entry.hash() == hash)
        .copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(key: u32, event_time: i64, operation: Operation, segment: u32) -> Entry {
        let location = Location {
            segment,
            position: key,
        };
        let hash = KeyHash::of(1, &key.to_be_bytes());
        Entry::new(
            hash,
            EventTime::from_micros(event_time),
            operation,
            location,
            30,
        )
    }

    fn sorted(mut entries: Vec<Entry>) -> Vec<Entry> {
        entries.sort_unstable_by_key(Entry::hash);
        entries
    }

    #[test]
    fn entries_are_replaced_counted_and_moved() {
        let index = Index::default();
        let rows: Vec<Entry> = (0..1_000)
            .map(|key| entry(key, 1, Operation::Upsert, 0))
            .collect();
        index.put_sorted(&sorted(rows.clone()), |_| panic!("nothing to replace"));
        let deletes = (0..10).map(|key| entry(key, 2, Operation::Delete, 1));
        let mut replaced = 0;
        index.put_sorted(&sorted(deletes.collect()), |old| {
            assert_eq!(old.location().segment, 0);
            replaced += 1;
        });
        assert_eq!((replaced, index.counts()), (10, (990, 10)));

        let hash = rows[0].hash();
        let to = Location {
            segment: 7,
            position: 7,
        };
        assert!(!index.relocate(hash, rows[0].location(), to));
        let from = index.get(hash).expect("there").location();
        assert!(index.relocate(hash, from, to));
        let moved = index.get(hash).expect("there");
        assert_eq!(moved.location(), to);
        assert!(moved.is_delete());
        assert_eq!(moved.event_time(), EventTime::from_micros(2));
    }

    #[test]
    fn pages_hold_every_live_key_once() {
        let index = Index::default();
        let rows = (0..1_000).map(|key| entry(key, 1, Operation::Upsert, 0));
        index.put_sorted(&sorted(rows.collect()), |_| {});
        index.put_sorted(&[entry(5, 2, Operation::Delete, 0)], |_| {});
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let page = index.page(after, 7);
            let Some(last) = page.last() else { break };
            after = Some(last.hash());
            seen.extend(page.iter().map(Entry::hash));
        }
        assert_eq!(seen.len(), 999);
        assert!(seen.is_sorted_by(|a, b| a < b));
    }
}
