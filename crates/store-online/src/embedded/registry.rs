//! Which tables there are, in one small file that is replaced whole.
//!
//! ```text
//! "TFO1" | hash seed u64 | next table u32 | tables u32
//! | (table u32 | ttl µs i64, 0 for none | name length u32 | name) … | crc32c u32
//! ```
//!
//! Integers are little-endian. The number of a table is never used again, so records of a dropped
//! table cannot be taken for those of a later one of the same name.

use std::collections::BTreeMap;
use std::path::Path;

use twinfold_model::Ttl;

use super::disk::{self, Disk};
use crate::{Error, Result, TableConfig};

const MAGIC: &[u8; 4] = b"TFO1";

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Registry {
    /// Where key hashes and checksums of this store begin; drawn once.
    pub seed: u64,
    pub next_table: u32,
    pub tables: BTreeMap<String, (u32, TableConfig)>,
}

impl Registry {
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            next_table: 1,
            tables: BTreeMap::new(),
        }
    }

    pub fn read(path: &Path) -> Result<Option<Self>> {
        let Some(bytes) = disk::read_if_there(path)? else {
            return Ok(None);
        };
        let damaged = || Error::corrupt(path, "the list of tables does not read back");
        Self::decode(&bytes).map(Some).ok_or_else(damaged)
    }

    pub fn write(&self, disk: &Disk, path: &Path) -> Result<()> {
        disk.replace(path, &self.encode())
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        out.extend_from_slice(&self.seed.to_le_bytes());
        out.extend_from_slice(&self.next_table.to_le_bytes());
        out.extend_from_slice(&(self.tables.len() as u32).to_le_bytes());
        for (name, (table, config)) in &self.tables {
            out.extend_from_slice(&table.to_le_bytes());
            out.extend_from_slice(&config.ttl.map_or(0, Ttl::micros).to_le_bytes());
            out.extend_from_slice(&(name.len() as u32).to_le_bytes());
            out.extend_from_slice(name.as_bytes());
        }
        let checksum = crc32c::crc32c(&out);
        out.extend_from_slice(&checksum.to_le_bytes());
        out
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (content, checksum) = bytes.split_last_chunk::<4>()?;
        if crc32c::crc32c(content) != u32::from_le_bytes(*checksum) {
            return None;
        }
        let mut rest = content.strip_prefix(MAGIC)?;
        let seed = u64::from_le_bytes(take(&mut rest)?);
        let next_table = u32::from_le_bytes(take(&mut rest)?);
        let count = u32::from_le_bytes(take(&mut rest)?);
        let mut tables = BTreeMap::new();
        for _ in 0..count {
            let table = u32::from_le_bytes(take(&mut rest)?);
            let ttl = Ttl::from_micros(i64::from_le_bytes(take(&mut rest)?));
            let length = u32::from_le_bytes(take(&mut rest)?) as usize;
            let (name, behind) = rest.split_at_checked(length)?;
            rest = behind;
            let name = String::from_utf8(name.to_vec()).ok()?;
            tables.insert(name, (table, TableConfig { ttl }));
        }
        rest.is_empty().then_some(Self {
            seed,
            next_table,
            tables,
        })
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, behind) = rest.split_first_chunk::<N>()?;
    *rest = behind;
    Some(*taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_reads_back_and_damage_is_noticed() {
        let mut registry = Registry::new(42);
        registry.next_table = 9;
        for (index, name) in ["", "default.weather_1", "ünïcode\n"].iter().enumerate() {
            let config = TableConfig {
                ttl: Ttl::from_micros(index as i64),
            };
            registry
                .tables
                .insert((*name).to_owned(), (index as u32, config));
        }
        let bytes = registry.encode();
        assert_eq!(Registry::decode(&bytes), Some(registry));
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Registry::decode(&damaged), None, "bit {bit}");
        }
    }
}
