//! Time as an argument: production reads the system's clock, tests move one by hand.

use std::fmt::Debug;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Tells the time. Who needs "now" takes a clock instead of asking the system.
pub trait Clock: Debug + Send + Sync {
    /// Microseconds since 1970-01-01T00:00:00Z.
    fn now_us(&self) -> i64;
}

/// The clock of the machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now_us(&self) -> i64 {
        let micros = |duration: Duration| i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
        match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => micros(since),
            Err(before) => -micros(before.duration()),
        }
    }
}

/// A clock that stands still until it is moved.
#[derive(Debug, Default)]
pub struct ManualClock {
    now_us: AtomicI64,
}

impl ManualClock {
    pub fn at(now_us: i64) -> Self {
        Self {
            now_us: AtomicI64::new(now_us),
        }
    }

    pub fn set(&self, now_us: i64) {
        self.now_us.store(now_us, Ordering::SeqCst);
    }

    pub fn advance(&self, by: Duration) {
        let by_us = i64::try_from(by.as_micros()).unwrap_or(i64::MAX);
        self.now_us.fetch_add(by_us, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now_us(&self) -> i64 {
        self.now_us.load(Ordering::SeqCst)
    }
}

/// Time that several steps share: each has what those before it have left.
#[derive(Debug, Clone, Copy)]
pub struct Deadline {
    begun: Instant,
    wait_max: Duration,
}

impl Deadline {
    pub fn after(wait_max: Duration) -> Self {
        Self {
            begun: Instant::now(),
            wait_max,
        }
    }

    pub fn left(&self) -> Duration {
        self.wait_max.saturating_sub(self.begun.elapsed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_clock_counts_microseconds_of_this_era() {
        const START_OF_2024_US: i64 = 1_704_067_200_000_000;
        const START_OF_2124_US: i64 = 4_859_740_800_000_000;
        let now_us = SystemClock.now_us();
        assert!(
            (START_OF_2024_US..START_OF_2124_US).contains(&now_us),
            "{now_us}"
        );
    }

    #[test]
    fn a_manual_clock_moves_only_when_told() {
        let clock = ManualClock::at(5);
        assert_eq!(clock.now_us(), 5);
        clock.advance(Duration::from_millis(2));
        assert_eq!(clock.now_us(), 2_005);
        clock.set(1);
        assert_eq!(clock.now_us(), 1);
    }

    #[test]
    fn a_deadline_is_never_overdrawn() {
        assert_eq!(Deadline::after(Duration::ZERO).left(), Duration::ZERO);
        assert!(Deadline::after(Duration::MAX).left() > Duration::ZERO);
    }
}
