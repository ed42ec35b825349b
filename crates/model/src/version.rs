use crate::{EventTime, Offset};

/// What a record does to its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operation {
    /// The row becomes true at its event time.
    Upsert,
    /// Every row of the key with an event time not after this one is hidden.
    Delete,
}

/// The total order that decides which record of a key is the newest.
///
/// Greatest event time first. At equal event time a delete beats a row, because it hides every row
/// with event time ≤ its own; between equals of the same operation the later offset wins. Producers
/// choose the partition by the key, so offsets of its records are comparable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RowVersion {
    // The order of the fields is the order of comparison.
    pub event_time: EventTime,
    pub operation: Operation,
    pub offset: Offset,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(event_time: i64, operation: Operation, offset: u64) -> RowVersion {
        RowVersion {
            event_time: EventTime::from_micros(event_time),
            operation,
            offset: Offset(offset),
        }
    }

    #[test]
    fn event_time_decides_then_delete_then_offset() {
        use Operation::{Delete, Upsert};
        assert!(version(2, Upsert, 0) > version(1, Upsert, 9));
        assert!(version(1, Upsert, 9) > version(1, Upsert, 8));
        assert!(version(1, Delete, 3) > version(1, Upsert, 9));
        assert!(version(2, Upsert, 0) > version(1, Delete, 9));
    }
}
