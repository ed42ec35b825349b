use std::num::NonZeroU64;
use std::sync::Arc;

use tokio::sync::Semaphore;
use twinfold_client::Error;

use crate::Failure;

/// What bodies of all requests under way may hold together, in bytes as they came. A body that finds no room is
/// refused and not waited with: those that wait hold memory too.
#[derive(Debug, Clone)]
pub struct Budget {
    setting: &'static str,
    bytes: Arc<Semaphore>,
    bytes_max: usize,
}

/// The room that one body takes, until it is dropped.
#[derive(Debug)]
pub struct Room {
    budget: Budget,
    taken: usize,
}

impl Budget {
    /// `setting` is the name of `bytes_max`. There is room for one body of `body_bytes_max` at least: what is
    /// never taken in must not be asked for again.
    pub fn new(setting: &'static str, bytes_max: NonZeroU64, body_bytes_max: NonZeroU64) -> Self {
        let bytes_max = bytes_max.max(body_bytes_max);
        let bytes_max = usize::try_from(bytes_max.get()).unwrap_or(usize::MAX);
        let bytes_max = bytes_max.min(Semaphore::MAX_PERMITS);
        Self {
            setting,
            bytes: Arc::new(Semaphore::new(bytes_max)),
            bytes_max,
        }
    }

    pub fn room(&self) -> Room {
        Room {
            budget: self.clone(),
            taken: 0,
        }
    }
}

impl Room {
    /// Makes room for so many bytes more.
    pub fn grow(&mut self, bytes: usize) -> Result<(), Failure> {
        let more = u32::try_from(bytes).ok();
        let more = more.and_then(|more| self.budget.bytes.try_acquire_many(more).ok());
        // Counted here: a permit has room for 4 GiB.
        more.ok_or_else(|| self.refused())?.forget();
        self.taken += bytes;
        Ok(())
    }

    fn refused(&self) -> Failure {
        let Budget {
            setting, bytes_max, ..
        } = &self.budget;
        Failure::from(Error::Busy {
            reason: format!("other requests hold as much as {setting} allows, {bytes_max} bytes"),
        })
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.budget.bytes.add_permits(self.taken);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget(bytes_max: u64, body_bytes_max: u64) -> Budget {
        let bytes = |bytes| NonZeroU64::new(bytes).expect("not zero");
        Budget::new("bytes_max", bytes(bytes_max), bytes(body_bytes_max))
    }

    #[test]
    fn bodies_that_find_no_room_are_refused_until_others_have_left() {
        let budget = budget(25, 10);
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
    fn one_body_always_fits() {
        budget(1, 10).room().grow(10).expect("room");
    }
}
