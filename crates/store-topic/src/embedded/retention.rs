//! What may be forgotten of a partition. Pure.

use std::time::Duration;

use twinfold_model::{EventTime, Offset};

/// By age, by size, or both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Retention {
    pub(super) age_max: Option<Duration>,
    pub(super) bytes_max: Option<u64>,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct SegmentAge {
    /// The offset after its last record.
    pub(super) end: Offset,
    pub(super) newest: EventTime,
    pub(super) bytes: u64,
}

impl Retention {
    /// How many of the oldest segments go. The last one is active and stays.
    pub(super) fn forgettable(
        &self,
        segments: &[SegmentAge],
        hold: Offset,
        now: EventTime,
    ) -> usize {
        let mut kept_bytes: u64 = segments.iter().map(|segment| segment.bytes).sum();
        let sealed = &segments[..segments.len().saturating_sub(1)];
        sealed
            .iter()
            .take_while(|segment| {
                let is_old = self
                    .age_max
                    .is_some_and(|age| now.is_ahead_of(segment.newest, age));
                let is_too_much = self.bytes_max.is_some_and(|bytes| kept_bytes > bytes);
                kept_bytes -= segment.bytes;
                segment.end <= hold && (is_old || is_too_much)
            })
            .count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retention_takes_old_or_surplus_segments_that_all_consumers_passed() {
        let age = |end, newest, bytes| SegmentAge {
            end: Offset(end),
            newest: EventTime::from_micros(newest),
            bytes,
        };
        let segments = [
            age(10, 100, 50),
            age(20, 200, 50),
            age(30, 300, 50),
            age(31, i64::MAX, 9),
        ];
        let count = |age_us: Option<u64>, bytes_max, hold, now| {
            let age_max = age_us.map(Duration::from_micros);
            Retention { age_max, bytes_max }.forgettable(
                &segments,
                Offset(hold),
                EventTime::from_micros(now),
            )
        };
        assert_eq!(count(None, None, 31, 1_000_000), 0);
        assert_eq!(count(Some(100), None, 31, 200), 0);
        assert_eq!(count(Some(100), None, 31, 201), 1);
        assert_eq!(count(Some(0), None, 31, 1_000), 3);
        assert_eq!(count(Some(0), None, 19, 1_000), 1);
        assert_eq!(count(Some(0), None, 0, 1_000), 0);
        assert_eq!(count(None, Some(110), 31, 0), 1);
        assert_eq!(count(None, Some(0), 31, 0), 3);
    }
}
