use std::sync::Arc;

use axum::http::StatusCode;
use tokio::sync::Semaphore;

use crate::Failure;

/// What bodies of all requests under way may hold together, in bytes. A body that finds no room is refused and
/// not waited with: those that wait hold memory too.
#[derive(Debug, Clone)]
pub struct Budget {
    what: &'static str,
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
    /// `what` it is that takes room, in the plural.
    pub fn new(what: &'static str, bytes_max: u64) -> Self {
        let bytes_max = usize::try_from(bytes_max).unwrap_or(usize::MAX);
        let bytes_max = bytes_max.min(Semaphore::MAX_PERMITS);
        Self {
            what,
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
            what, bytes_max, ..
        } = &self.budget;
        Failure::Refused {
            status: StatusCode::SERVICE_UNAVAILABLE,
            code: "not_ready",
            message: format!(
                "{what} of other requests hold as much as is allowed, {bytes_max} bytes: try again later"
            ),
        }
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.budget.bytes.add_permits(self.taken);
    }
}
