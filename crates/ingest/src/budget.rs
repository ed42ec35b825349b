//! Memory for rows that were fetched and are not written, shared by all groups of a materializer.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What the budget is counted in: small enough to be fair, large enough for budgets beyond 4 GiB.
const BLOCK_BYTES: usize = 1024;
/// A group buffers at most this part of the budget, so that several have rows in hand at once.
const GROUPS_MIN: usize = 4;

/// Bytes that the groups of one materializer may hold together. Clones share them.
///
/// Who asks first is served first, however much others ask for; and who waits holds nothing itself
/// (see `Run::hold`), so a wait ends when any other group has written its batch.
#[derive(Debug, Clone)]
pub struct Budget {
    free: Arc<Semaphore>,
    blocks_max: u32,
}

impl Budget {
    pub fn new(bytes_max: usize) -> Self {
        let blocks_max = u32::try_from(bytes_max / BLOCK_BYTES).unwrap_or(u32::MAX);
        let blocks_max = blocks_max.max(1);
        Self {
            free: Arc::new(Semaphore::new(blocks_max as usize)),
            blocks_max,
        }
    }

    /// What one group may buffer of a budget.
    pub(crate) fn share(bytes_max: usize) -> usize {
        (bytes_max / GROUPS_MIN).max(1)
    }

    /// More than there is would wait for ever: a fetch of one huge record takes all.
    fn blocks(&self, bytes: usize) -> u32 {
        let blocks = u32::try_from(bytes.div_ceil(BLOCK_BYTES)).unwrap_or(u32::MAX);
        blocks.clamp(1, self.blocks_max)
    }
}

/// What one group holds of the budget; given back when dropped.
#[derive(Debug)]
pub(crate) struct Held {
    budget: Budget,
    permit: Option<OwnedSemaphorePermit>,
}

impl Held {
    pub(crate) fn nothing_of(budget: &Budget) -> Self {
        Self {
            budget: budget.clone(),
            permit: None,
        }
    }

    /// Takes more if it is there and nobody waits for it.
    pub(crate) fn try_grow(&mut self, bytes: usize) -> bool {
        let free = Arc::clone(&self.budget.free);
        let taken = free.try_acquire_many_owned(self.budget.blocks(bytes));
        taken.map(|permit| self.add(permit)).is_ok()
    }

    /// Waits for its turn, then takes more. Cancel-safe: a dropped call takes nothing.
    pub(crate) async fn grow(&mut self, bytes: usize) {
        let free = Arc::clone(&self.budget.free);
        let taken = free.acquire_many_owned(self.budget.blocks(bytes)).await;
        self.add(taken.expect("nobody closes the semaphore"));
    }

    pub(crate) fn release(&mut self) {
        self.permit = None;
    }

    fn add(&mut self, permit: OwnedSemaphorePermit) {
        match &mut self.permit {
            Some(held) => held.merge(permit),
            none => *none = Some(permit),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures::poll;

    use super::*;

    #[tokio::test]
    async fn who_asks_first_is_served_first() {
        let budget = Budget::new(4 * BLOCK_BYTES);
        let [mut hot, mut patient, mut late] = [(); 3].map(|()| Held::nothing_of(&budget));
        assert!(hot.try_grow(3 * BLOCK_BYTES));
        let mut waiting = pin!(patient.grow(2 * BLOCK_BYTES));
        assert!(poll!(&mut waiting).is_pending());
        // One block is free, but somebody was here before.
        assert!(!late.try_grow(1));
        assert!(!hot.try_grow(1));
        hot.release();
        assert!(poll!(&mut waiting).is_ready());
        assert!(late.try_grow(2 * BLOCK_BYTES));
        assert!(!hot.try_grow(1));
    }

    #[tokio::test]
    async fn more_than_there_is_takes_all() {
        let budget = Budget::new(1);
        let mut one = Held::nothing_of(&budget);
        assert!(one.try_grow(usize::MAX));
        assert!(!Held::nothing_of(&budget).try_grow(0));
        drop(one);
        assert!(Held::nothing_of(&budget).try_grow(1));
    }

    #[test]
    fn several_groups_fit_into_a_budget() {
        assert_eq!(Budget::share(64 << 20), 16 << 20);
        assert_eq!(Budget::share(0), 1);
    }
}
