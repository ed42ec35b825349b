//! Threads for work that may wait, so that work that somebody waits for does not.

use std::io;

use tokio::runtime::{Builder, Handle, Runtime};

/// A runtime of its own whose threads give way to the others of the process when processors are short.
#[derive(Debug)]
pub struct BackgroundRuntime(Option<Runtime>);

impl BackgroundRuntime {
    /// # Errors
    ///
    /// The system has no thread to give.
    pub fn new(name: &str) -> io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .enable_all()
            .thread_name(name)
            .on_thread_start(give_way)
            .build()?;
        Ok(Self(Some(runtime)))
    }

    pub fn handle(&self) -> &Handle {
        self.0.as_ref().expect("taken only when dropped").handle()
    }
}

impl Drop for BackgroundRuntime {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            // Never waits: it may be dropped on a thread of another runtime, which must not block.
            runtime.shutdown_background();
        }
    }
}

/// On Linux a thread has a niceness of its own; elsewhere it is the whole process that has one.
#[cfg(target_os = "linux")]
fn give_way() {
    /// About a tenth of a processor that others want whole.
    const NICENESS: i32 = 10;
    if let Err(error) = rustix::process::setpriority_process(None, NICENESS) {
        tracing::warn!(%error, "a background thread keeps the common priority");
    }
}

#[cfg(not(target_os = "linux"))]
fn give_way() {}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use rustix::process::getpriority_process;

    use super::*;

    #[tokio::test]
    async fn its_threads_give_way_and_those_around_it_do_not() {
        let runtime = BackgroundRuntime::new("background").expect("threads");
        let niceness = || getpriority_process(None).expect("niceness");
        let ours = niceness();
        let worker = runtime.handle().spawn(async move { niceness() });
        let blocking = runtime.handle().spawn_blocking(niceness);
        assert!(worker.await.expect("worker") > ours);
        assert!(blocking.await.expect("blocking") > ours);
        assert_eq!(niceness(), ours);
    }
}
