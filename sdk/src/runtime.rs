use std::future::Future;
use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use pyo3::prelude::*;
use tokio::runtime::{Builder, Runtime};
use twinfold_client::{self as client, Platform};

use crate::error;

/// How often a blocked call looks for signals and reports progress.
const TICK: Duration = Duration::from_millis(100);

/// A value that belongs to the process that made it.
///
/// After a fork the child holds a copy without the threads behind it; dropping it there could wait
/// for them for ever, or release locks that the parent still holds. So a child never drops it.
#[derive(Debug)]
pub struct ProcessBound<T> {
    value: ManuallyDrop<T>,
    process: u32,
}

impl<T> ProcessBound<T> {
    pub fn new(value: T) -> Self {
        Self {
            value: ManuallyDrop::new(value),
            process: std::process::id(),
        }
    }

    pub fn is_ours(&self) -> bool {
        self.process == std::process::id()
    }
}

impl<T> Deref for ProcessBound<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> Drop for ProcessBound<T> {
    fn drop(&mut self) {
        if self.is_ours() {
            // SAFETY: the value is dropped here and nowhere else.
            unsafe { ManuallyDrop::drop(&mut self.value) }
        }
    }
}

/// The threads that a connection works with.
#[derive(Debug)]
pub struct Executor(ProcessBound<Option<Runtime>>);

impl Executor {
    pub fn new() -> PyResult<Self> {
        let runtime = Builder::new_multi_thread()
            .enable_all()
            .thread_name("twinfold")
            .build()?;
        Ok(Self(ProcessBound::new(Some(runtime))))
    }

    fn runtime(&self) -> PyResult<&Runtime> {
        if !self.0.is_ours() {
            return Err(error::after_fork());
        }
        Ok(self.0.as_ref().expect("taken only when dropped"))
    }

    /// Waits for `future` without the interpreter lock.
    ///
    /// A future that is ready at once costs no more than its poll. Otherwise signals are looked for
    /// and `on_tick` is called every [`TICK`]; an exception from either drops the future.
    pub fn wait<T: Send>(
        &self,
        py: Python<'_>,
        future: impl Future<Output = T> + Send,
        on_tick: impl FnMut(Python<'_>) -> PyResult<()> + Send,
    ) -> PyResult<T> {
        let runtime = self.runtime()?;
        py.detach(|| drive(runtime, future, on_tick))
    }

    /// As [`wait`](Self::wait), but the work goes on the executor's own threads, so that a call that
    /// computes for long between two awaits can still be interrupted.
    pub fn wait_spawned<T: Send + 'static>(
        &self,
        py: Python<'_>,
        future: impl Future<Output = client::Result<T>> + Send + 'static,
        on_tick: impl FnMut(Python<'_>) -> PyResult<()> + Send,
    ) -> PyResult<T> {
        let task = AbortOnDrop(self.runtime()?.spawn(future));
        let joined = self.wait(py, task, on_tick)?;
        let result = joined.unwrap_or_else(|failure| {
            Err(client::Error::Internal(format!(
                "a task ended early: {failure}"
            )))
        });
        result.map_err(error::to_python)
    }
}

impl Drop for Executor {
    fn drop(&mut self) {
        if self.0.is_ours()
            && let Some(runtime) = self.0.value.take()
        {
            // Never waits: the interpreter may hold its lock here.
            runtime.shutdown_background();
        }
    }
}

struct AbortOnDrop<T>(tokio::task::JoinHandle<T>);

impl<T> Future for AbortOnDrop<T> {
    type Output = Result<T, tokio::task::JoinError>;

    fn poll(mut self: std::pin::Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        std::pin::Pin::new(&mut self.0).poll(context)
    }
}

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn drive<T>(
    runtime: &Runtime,
    future: impl Future<Output = T>,
    mut on_tick: impl FnMut(Python<'_>) -> PyResult<()>,
) -> PyResult<T> {
    let mut future = pin!(future);
    {
        let _inside = runtime.enter();
        let mut context = Context::from_waker(Waker::noop());
        if let Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return Ok(value);
        }
    }
    loop {
        let ticked = runtime.block_on(async { tokio::time::timeout(TICK, future.as_mut()).await });
        if let Ok(value) = ticked {
            return Ok(value);
        }
        Python::attach(|py| {
            py.check_signals()?;
            on_tick(py)
        })?;
    }
}

/// An open platform with the threads that drive it.
#[derive(Debug)]
pub struct Connection {
    // Dropped before the executor, inside which its tasks live.
    platform: ProcessBound<Arc<dyn Platform>>,
    executor: Executor,
}

impl Connection {
    pub fn new(executor: Executor, platform: Arc<dyn Platform>) -> Self {
        Self {
            platform: ProcessBound::new(platform),
            executor,
        }
    }

    /// The platform, unless this process is a fork of the one that opened it.
    pub fn platform(&self) -> PyResult<&Arc<dyn Platform>> {
        if !self.platform.is_ours() {
            return Err(error::after_fork());
        }
        Ok(&self.platform)
    }

    pub fn executor(&self) -> &Executor {
        &self.executor
    }

    /// Waits for an operation of the platform; its failure becomes an exception of the package.
    pub fn wait<T: Send>(
        &self,
        py: Python<'_>,
        future: impl Future<Output = client::Result<T>> + Send,
    ) -> PyResult<T> {
        self.executor
            .wait(py, future, |_| Ok(()))?
            .map_err(error::to_python)
    }
}
