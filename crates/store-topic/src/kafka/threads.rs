//! The threads of subscriptions. Each leaves its consumer group when it ends; a process that ends before
//! them keeps the other members waiting for as long as the session timeout.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::fetcher::Handover;

/// How long groups may take to be left; it hangs on brokers that may not answer.
const LEAVE_MAX: Duration = Duration::from_secs(5);
const LEAVE_PAUSE: Duration = Duration::from_millis(5);

#[derive(Debug, Default)]
pub(super) struct Threads(Mutex<Vec<Running>>);

#[derive(Debug)]
struct Running {
    handover: Weak<Handover>,
    thread: JoinHandle<()>,
}

impl Threads {
    pub(super) fn add(&self, handover: &Arc<Handover>, thread: JoinHandle<()>) {
        let mut running = self.running();
        running.retain(|one| !one.thread.is_finished());
        running.push(Running {
            handover: Arc::downgrade(handover),
            thread,
        });
    }

    /// Asks all threads to end, and waits until they have or their time is over.
    pub(super) fn end(&self) {
        let deadline = Instant::now() + LEAVE_MAX;
        let has_ended = |one: &Running| one.thread.is_finished();
        for one in self.running().iter() {
            if let Some(handover) = one.handover.upgrade() {
                handover.end();
            }
        }
        while !self.running().iter().all(has_ended) && Instant::now() < deadline {
            std::thread::sleep(LEAVE_PAUSE);
        }
    }

    fn running(&self) -> MutexGuard<'_, Vec<Running>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
