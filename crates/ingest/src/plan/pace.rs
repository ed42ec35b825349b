use std::time::Duration;

/// Progress is told at most once in an interval.
#[derive(Debug)]
pub(crate) struct Pace {
    interval: Duration,
    due_us: i64,
}

impl Pace {
    /// It is time at once.
    pub(crate) fn new(interval: Duration) -> Self {
        Self {
            interval,
            due_us: 0,
        }
    }

    pub(crate) fn is_time(&self, now_us: i64) -> bool {
        // A clock that was set back makes it time at once instead of long after.
        let wait_us = self.due_us.saturating_sub(now_us);
        wait_us <= 0 || Duration::from_micros(wait_us.unsigned_abs()) > self.interval
    }

    /// Until it is time, when there is something to tell; otherwise until it is looked again.
    pub(crate) fn wait(&self, now_us: i64, has_news: bool) -> Duration {
        match u64::try_from(self.due_us.saturating_sub(now_us)) {
            Ok(micros) if has_news => Duration::from_micros(micros),
            _ => self.interval,
        }
    }

    /// Progress is told now.
    pub(crate) fn begin(&mut self, now_us: i64) {
        let interval_us = i64::try_from(self.interval.as_micros()).unwrap_or(i64::MAX);
        self.due_us = now_us.saturating_add(interval_us);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_told_at_once_and_then_once_in_an_interval() {
        let mut pace = Pace::new(Duration::from_millis(2));
        assert!(pace.is_time(10_000));
        pace.begin(10_000);
        assert!(!pace.is_time(11_999));
        assert!(pace.is_time(12_000));
        assert_eq!(pace.wait(11_500, true), Duration::from_micros(500));
        assert_eq!(pace.wait(11_500, false), Duration::from_millis(2));
        assert_eq!(pace.wait(13_000, true), Duration::from_millis(2));
    }

    #[test]
    fn a_clock_that_was_set_back_makes_it_time() {
        let mut pace = Pace::new(Duration::from_millis(2));
        pace.begin(10_000);
        assert!(pace.is_time(9_999));
        assert!(!pace.is_time(10_000));
    }
}
