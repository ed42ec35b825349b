use std::sync::Arc;

use tokio::sync::Semaphore;
use twinfold_client::Error;
use twinfold_http_kit::Failure;

use super::HttpLimits;

/// What the rows of all requests under way may take together, in bytes as they came. Rows that find no
/// room are refused and not waited with: those that wait hold memory too.
#[derive(Debug)]
pub(super) struct RowsBudget {
    bytes: Arc<Semaphore>,
    bytes_max: usize,
}

/// The room that the rows of one request take, until it is dropped.
#[derive(Debug)]
pub(super) struct Room {
    budget: Arc<Semaphore>,
    bytes_max: usize,
    taken: usize,
}

impl RowsBudget {
    /// Has room for one request at least: what is never taken in must not be asked for again.
    pub(super) fn new(limits: &HttpLimits) -> Self {
        let bytes_max = limits.rows_in_flight_bytes_max.max(limits.rows_bytes_max);
        let bytes_max = usize::try_from(bytes_max.get()).unwrap_or(usize::MAX);
        let bytes_max = bytes_max.min(Semaphore::MAX_PERMITS);
        Self {
            bytes: Arc::new(Semaphore::new(bytes_max)),
            bytes_max,
        }
    }

    pub(super) fn room(&self) -> Room {
        Room {
            budget: Arc::clone(&self.bytes),
            bytes_max: self.bytes_max,
            taken: 0,
        }
    }
}

impl Room {
    /// Makes room for so many bytes more.
    pub(super) fn grow(&mut self, bytes: usize) -> Result<(), Failure> {
        let more = u32::try_from(bytes).ok();
        let more = more.and_then(|more| self.budget.try_acquire_many(more).ok());
        // Counted here: a permit has room for 4 GiB.
        more.ok_or_else(|| self.refused())?.forget();
        self.taken += bytes;
        Ok(())
    }

    fn refused(&self) -> Failure {
        Failure::from(Error::Busy {
            reason: format!(
                "other requests hold as many rows as http.rows_in_flight_bytes_max allows, {} bytes",
                self.bytes_max
            ),
        })
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.budget.add_permits(self.taken);
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU64;

    use super::*;

    fn limits(rows_bytes_max: u64, rows_in_flight_bytes_max: u64) -> HttpLimits {
        let bytes = |bytes| NonZeroU64::new(bytes).expect("not zero");
        HttpLimits {
            rows_bytes_max: bytes(rows_bytes_max),
            rows_in_flight_bytes_max: bytes(rows_in_flight_bytes_max),
            ..HttpLimits::default()
        }
    }

    #[test]
    fn rows_that_find_no_room_are_refused_until_others_have_left() {
        let budget = RowsBudget::new(&limits(10, 25));
        let mut first = budget.room();
        first.grow(10).expect("room");
        first.grow(10).expect("room");
        let mut second = budget.room();
        second.grow(5).expect("room");
        let refused = second.grow(1).expect_err("there is no room");
        assert!(
            matches!(refused, Failure::Platform(Error::Busy { .. })),
            "{refused:?}"
        );
        drop(first);
        second.grow(20).expect("room");
    }

    #[test]
    fn one_request_always_fits() {
        let budget = RowsBudget::new(&limits(10, 1));
        budget.room().grow(10).expect("room");
    }
}
