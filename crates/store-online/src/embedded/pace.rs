//! Calls compaction to work, and keeps writers from leaving it behind.

use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use super::engine::lock;

/// A writer looks again after this time even when nobody calls.
const LOOK_EVERY: Duration = Duration::from_millis(100);

#[derive(Debug, Default)]
pub(super) struct Pace {
    pokes: Mutex<Option<SyncSender<()>>>,
    /// Compaction was called or is at work.
    is_busy: Mutex<bool>,
    changed: Condvar,
}

/// Compaction is at work until this is dropped, also by a panic.
pub(super) struct Busy<'a>(&'a Pace);

impl Pace {
    /// Where pokes arrive from now on, until [`silence`](Self::silence).
    pub fn listen(&self) -> Receiver<()> {
        // One waiting poke stands for any number.
        let (pokes, poked) = sync_channel(1);
        *lock(&self.pokes) = Some(pokes);
        poked
    }

    pub fn silence(&self) {
        lock(&self.pokes).take();
    }

    /// There is something to tidy.
    pub fn poke(&self) {
        if let Some(pokes) = &*lock(&self.pokes) {
            self.set_busy(true);
            if let Err(TrySendError::Disconnected(())) = pokes.try_send(()) {
                self.set_busy(false);
            }
        }
    }

    /// Compaction has begun.
    pub fn begin(&self) -> Busy<'_> {
        self.set_busy(true);
        Busy(self)
    }

    /// One run is done.
    pub fn progress(&self) {
        self.changed.notify_all();
    }

    /// Waits while compaction is at work and `is_behind` holds. When compaction ends, also with an
    /// error, nobody waits any longer: it has done what it could.
    pub fn wait_while(&self, is_behind: impl Fn() -> bool) {
        let mut is_busy = lock(&self.is_busy);
        while *is_busy && is_behind() {
            let waited = self.changed.wait_timeout(is_busy, LOOK_EVERY);
            is_busy = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn set_busy(&self, is_busy: bool) {
        *lock(&self.is_busy) = is_busy;
        self.changed.notify_all();
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.set_busy(false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[test]
    fn a_writer_waits_for_progress_and_for_no_one_who_is_idle() {
        let pace = Pace::default();
        pace.wait_while(|| true);
        let runs_left = AtomicU32::new(3);
        let busy = pace.begin();
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| {
                pace.wait_while(|| runs_left.load(Ordering::SeqCst) > 0);
                runs_left.load(Ordering::SeqCst)
            });
            for _ in 0..3 {
                runs_left.fetch_sub(1, Ordering::SeqCst);
                pace.progress();
            }
            assert_eq!(waiter.join().expect("waiter"), 0);
            let waiter = scope.spawn(|| pace.wait_while(|| true));
            drop(busy);
            waiter.join().expect("waiter");
        });
    }
}
