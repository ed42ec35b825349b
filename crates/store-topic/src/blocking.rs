//! Work that may block, away from the threads that wait for I/O.

use tokio::task::{JoinError, JoinHandle};

use crate::{Error, Result};

/// Runs `work` where it may block.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    finished(blocking_task(work).await)
}

/// Starts `work` where it may block; [`finished`] takes what awaiting it gives.
pub(crate) fn blocking_task<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> JoinHandle<Result<T>> {
    tokio::task::spawn_blocking(work)
}

pub(crate) fn finished<T>(result: Result<Result<T>, JoinError>) -> Result<T> {
    match result {
        Ok(result) => result,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime is shutting down.
            Err(_) => Err(Error::Closed),
        },
    }
}
