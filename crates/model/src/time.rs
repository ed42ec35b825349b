use std::time::Duration;

/// When a row became true: microseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventTime(i64);

const DAY_US: i64 = 86_400_000_000;

impl EventTime {
    pub const MIN: Self = Self(i64::MIN);
    pub const MAX: Self = Self(i64::MAX);

    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Midnight UTC of a day counted from 1970-01-01; saturates at the ends of the range.
    pub const fn from_days(days: i32) -> Self {
        Self((days as i64).saturating_mul(DAY_US))
    }

    pub const fn micros(self) -> i64 {
        self.0
    }

    /// True when this time lies more than `skew` after `clock`.
    pub fn is_ahead_of(self, clock: EventTime, skew: Duration) -> bool {
        let skew_us = i64::try_from(skew.as_micros()).unwrap_or(i64::MAX);
        self.0 > clock.0.saturating_add(skew_us)
    }
}

/// How long a row stays readable after its event time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ttl(i64);

impl Ttl {
    /// `None` unless the time to live is positive.
    pub fn from_micros(micros: i64) -> Option<Self> {
        (micros > 0).then_some(Self(micros))
    }

    pub const fn micros(self) -> i64 {
        self.0
    }

    /// A row is expired at `now` when `now - event_time > ttl`; exactly at the edge it is still there.
    pub fn is_expired(self, event_time: EventTime, now: EventTime) -> bool {
        now.0.saturating_sub(event_time.0) > self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_expires_strictly_after_its_ttl() {
        let ttl = Ttl::from_micros(10).expect("positive");
        let written = EventTime::from_micros(100);
        assert!(!ttl.is_expired(written, EventTime::from_micros(110)));
        assert!(ttl.is_expired(written, EventTime::from_micros(111)));
        assert_eq!(Ttl::from_micros(0), None);
    }

    #[test]
    fn extreme_times_do_not_overflow() {
        let ttl = Ttl::from_micros(1).expect("positive");
        assert!(ttl.is_expired(EventTime::MIN, EventTime::MAX));
        assert!(EventTime::MAX.is_ahead_of(EventTime::from_micros(0), Duration::from_secs(300)));
        assert!(!EventTime::MAX.is_ahead_of(EventTime::MAX, Duration::MAX));
    }
}
