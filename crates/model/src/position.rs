use std::collections::BTreeMap;
use std::fmt;

/// A partition of a topic, counted from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartitionId(pub u32);

/// The place of a record in its partition, counted from 0 without reuse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Offset(pub u64);

impl Offset {
    pub const ZERO: Self = Self(0);

    pub const fn plus(self, records: u64) -> Self {
        Self(self.0 + records)
    }
}

/// The identity of a writer schema, unique across the registry and never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SchemaId(pub u32);

/// The place of a record in its topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    pub partition: PartitionId,
    pub offset: Offset,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.partition.0, self.offset.0)
    }
}

/// Progress through a topic: per partition, the first offset that is not yet included.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Positions(BTreeMap<PartitionId, Offset>);

impl Positions {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn get(&self, partition: PartitionId) -> Option<Offset> {
        self.0.get(&partition).copied()
    }

    /// Moves a partition forward to `next`; never backward.
    pub fn advance(&mut self, partition: PartitionId, next: Offset) {
        let entry = self.0.entry(partition).or_insert(next);
        *entry = (*entry).max(next);
    }

    /// Moves every partition of `other` forward.
    pub fn merge(&mut self, other: &Positions) {
        for (partition, next) in other.iter() {
            self.advance(partition, next);
        }
    }

    /// Knows nothing of these partitions any more.
    pub fn forget(&mut self, partitions: &[PartitionId]) {
        for partition in partitions {
            self.0.remove(partition);
        }
    }

    /// True when every partition of `target` has been passed; a partition at offset 0 needs nothing.
    pub fn covers(&self, target: &Positions) -> bool {
        target
            .iter()
            .all(|(partition, next)| next == Offset::ZERO || self.get(partition) >= Some(next))
    }

    pub fn iter(&self) -> impl Iterator<Item = (PartitionId, Offset)> + '_ {
        self.0.iter().map(|(partition, next)| (*partition, *next))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<(PartitionId, Offset)> for Positions {
    fn from_iter<I: IntoIterator<Item = (PartitionId, Offset)>>(items: I) -> Self {
        let mut positions = Self::new();
        for (partition, next) in items {
            positions.advance(partition, next);
        }
        positions
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_only_moves_forward_and_covers_what_it_passed() {
        let (p0, p1) = (PartitionId(0), PartitionId(1));
        let mut done = Positions::from_iter([(p0, Offset(5))]);
        done.advance(p0, Offset(3));
        assert_eq!(done.get(p0), Some(Offset(5)));
        let target = Positions::from_iter([(p0, Offset(5)), (p1, Offset(1))]);
        assert!(!done.covers(&target));
        done.merge(&Positions::from_iter([(p1, Offset(2))]));
        assert!(done.covers(&target));
        assert!(Positions::new().covers(&Positions::from_iter([(p0, Offset::ZERO)])));
    }
}
