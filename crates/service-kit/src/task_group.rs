//! The only place that spawns. Every task has a name, and no task fails unseen.

use std::collections::BTreeMap;
use std::error::Error as StdError;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinError};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, warn};

use crate::with_causes;

type BoxError = Box<dyn StdError + Send + Sync>;
type Body = Pin<Box<dyn Future<Output = Result<(), BoxError>> + Send>>;

/// Why a group ended other than by all its tasks returning.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TaskError {
    #[error("task `{task}` failed: {reason}")]
    Failed { task: String, reason: String },
    #[error("task `{task}` panicked: {reason}")]
    Panicked { task: String, reason: String },
    #[error("aborted after {deadline_ms} ms, still running: {}", tasks.join(", "))]
    StillRunning {
        tasks: Vec<String>,
        deadline_ms: u128,
    },
}

/// Named tasks that live and stop together.
///
/// The first error or panic cancels all of them and is kept for whoever asks with
/// [`failed`](Self::failed) or [`shutdown`](Self::shutdown). Clones are handles to the same group.
#[derive(Debug, Clone)]
pub struct TaskGroup {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    runtime: Handle,
    token: CancellationToken,
    running: Mutex<Running>,
    failure: watch::Sender<Option<TaskError>>,
    /// How many tasks run; changes wake `shutdown`.
    count: watch::Sender<usize>,
}

#[derive(Debug, Default)]
struct Running {
    next_id: u64,
    tasks: BTreeMap<u64, (String, AbortHandle)>,
}

/// One task of a group, to stop it or to wait for its end without ending the others.
#[derive(Debug, Clone)]
pub struct Task {
    token: CancellationToken,
    ended: CancellationToken,
}

impl Task {
    /// Asks this task to stop; it decides when.
    pub fn cancel(&self) {
        self.token.cancel();
    }

    pub fn has_ended(&self) -> bool {
        self.ended.is_cancelled()
    }

    /// Returns when the task has ended, however it did.
    pub async fn ended(&self) {
        self.ended.cancelled().await;
    }
}

impl TaskGroup {
    pub fn new(runtime: Handle) -> Self {
        Self {
            inner: Arc::new(Inner {
                runtime,
                token: CancellationToken::new(),
                running: Mutex::default(),
                failure: watch::Sender::new(None),
                count: watch::Sender::new(0),
            }),
        }
    }

    /// Cancelled when the group stops. Cancelling it does not stop the group.
    pub fn token(&self) -> CancellationToken {
        self.inner.token.child_token()
    }

    /// Starts a task. It gets a token that says when to stop and is expected to return soon after.
    ///
    /// A group that is stopping still runs the task, whose token is cancelled from the start.
    pub fn spawn<F, E>(
        &self,
        name: impl Into<String>,
        task: impl FnOnce(CancellationToken) -> F,
    ) -> Task
    where
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<BoxError> + Send + 'static,
    {
        let handle = Task {
            token: self.inner.token.child_token(),
            ended: CancellationToken::new(),
        };
        let body = task(handle.token.clone());
        // Boxed: what follows is compiled once, and not for every task.
        let body = Box::pin(async move { body.await.map_err(Into::<BoxError>::into) });
        self.watch(name.into(), body, &handle);
        handle
    }

    fn watch(&self, name: String, body: Body, handle: &Task) {
        let inner = Arc::clone(&self.inner);
        let running = self.inner.runtime.spawn(body);
        let id = inner.enter(&name, running.abort_handle());
        let ended = handle.ended.clone().drop_guard();
        // A second task watches the first, because a panic is only seen from outside.
        self.inner.runtime.spawn(async move {
            let outcome = running.await;
            inner.leave(id, &name, outcome);
            drop(ended);
        });
    }

    /// Names of the tasks that run now, oldest first.
    pub fn running(&self) -> Vec<String> {
        self.inner.names()
    }

    /// The first error or panic of a task, if there was one.
    pub fn failure(&self) -> Option<TaskError> {
        self.inner.failure.borrow().clone()
    }

    /// Returns when a task has failed; never, when none does.
    pub async fn failed(&self) -> TaskError {
        let mut failure = self.inner.failure.subscribe();
        let seen = failure.wait_for(Option::is_some).await;
        match seen.map(|failure| failure.clone()) {
            Ok(Some(failure)) => failure,
            // The sender lives in this group, which we hold.
            _ => std::future::pending().await,
        }
    }

    /// Asks every task to stop and waits until all have ended.
    ///
    /// What still runs after `deadline` is logged by name, aborted and reported. A failure of a
    /// task, earlier or while stopping, is reported first.
    pub async fn shutdown(&self, deadline: Duration) -> Result<(), TaskError> {
        self.inner.token.cancel();
        let mut count = self.inner.count.subscribe();
        let all_ended = count.wait_for(|running| *running == 0);
        let in_time = tokio::time::timeout(deadline, all_ended).await.is_ok();
        let late = if in_time {
            Vec::new()
        } else {
            self.inner.abort_all(deadline)
        };
        match self.failure() {
            Some(failure) => Err(failure),
            None if late.is_empty() => Ok(()),
            None => Err(TaskError::StillRunning {
                tasks: late,
                deadline_ms: deadline.as_millis(),
            }),
        }
    }
}

impl Inner {
    /// A panic elsewhere cannot leave the map half changed, so a poisoned lock is still good.
    fn lock(&self) -> MutexGuard<'_, Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn names(&self) -> Vec<String> {
        let running = self.lock();
        running
            .tasks
            .values()
            .map(|(name, _)| name.clone())
            .collect()
    }

    fn enter(&self, name: &str, abort: AbortHandle) -> u64 {
        let mut running = self.lock();
        let id = running.next_id;
        running.next_id += 1;
        running.tasks.insert(id, (name.to_owned(), abort));
        self.count.send_replace(running.tasks.len());
        id
    }

    fn leave(&self, id: u64, name: &str, outcome: Result<Result<(), BoxError>, JoinError>) {
        let failure = match outcome {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(TaskError::Failed {
                task: name.to_owned(),
                reason: with_causes(error.as_ref()),
            }),
            // Aborted by `shutdown` (which reports it) or by the end of the runtime.
            Err(aborted) if aborted.is_cancelled() => None,
            Err(panicked) => Some(TaskError::Panicked {
                task: name.to_owned(),
                reason: panic_message(panicked),
            }),
        };
        match failure {
            None => debug!(task = name, "task ended"),
            Some(failure) => self.fail(name, failure),
        }
        // Last, so that whoever sees the task gone also sees its failure.
        let mut running = self.lock();
        running.tasks.remove(&id);
        self.count.send_replace(running.tasks.len());
    }

    fn fail(&self, name: &str, failure: TaskError) {
        error!(task = name, error = %failure, "task failed, stopping the others");
        self.failure.send_if_modified(|first| {
            let is_first = first.is_none();
            first.get_or_insert(failure);
            is_first
        });
        self.token.cancel();
    }

    fn abort_all(&self, deadline: Duration) -> Vec<String> {
        let running = self.lock();
        let deadline_ms = deadline.as_millis();
        for (name, abort) in running.tasks.values() {
            warn!(
                task = name,
                deadline_ms, "task still runs at the deadline, aborting it"
            );
            abort.abort();
        }
        running
            .tasks
            .values()
            .map(|(name, _)| name.clone())
            .collect()
    }
}

fn panic_message(error: JoinError) -> String {
    let payload = match error.try_into_panic() {
        Ok(payload) => payload,
        Err(error) => return error.to_string(),
    };
    if let Some(text) = payload.downcast_ref::<&str>() {
        (*text).to_owned()
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text.clone()
    } else {
        "a panic without a message".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    const DEADLINE: Duration = Duration::from_secs(5);

    fn group() -> TaskGroup {
        TaskGroup::new(Handle::current())
    }

    async fn until_told(token: CancellationToken) -> Result<(), Infallible> {
        token.cancelled().await;
        Ok(())
    }

    #[tokio::test]
    async fn tasks_that_listen_end_in_time() {
        let group = group();
        group.spawn("first", until_told);
        group.spawn("second", until_told);
        assert_eq!(group.running(), ["first", "second"]);
        assert_eq!(group.shutdown(DEADLINE).await, Ok(()));
        assert!(group.running().is_empty());
    }

    #[tokio::test]
    async fn an_error_stops_the_others_and_carries_the_name() {
        let group = group();
        let listener = group.spawn("listener", until_told);
        group.spawn("reader", |_| async {
            Err(std::io::Error::other("no disk"))
        });
        let expected = TaskError::Failed {
            task: "reader".to_owned(),
            reason: "no disk".to_owned(),
        };
        assert_eq!(group.failed().await, expected);
        listener.ended().await;
        assert_eq!(group.shutdown(DEADLINE).await, Err(expected));
    }

    #[tokio::test]
    async fn a_panic_is_an_error_with_a_name() {
        let group = group();
        group.spawn("writer", |_| async {
            if true {
                panic!("row {} is odd", 7);
            }
            Ok::<_, Infallible>(())
        });
        let error = group.failed().await.to_string();
        assert_eq!(error, "task `writer` panicked: row 7 is odd");
    }

    #[tokio::test]
    async fn who_does_not_stop_is_aborted_and_named() {
        let group = group();
        group.spawn("polite", until_told);
        let deaf = group.spawn("deaf", |_| std::future::pending::<Result<(), Infallible>>());
        let result = group.shutdown(Duration::from_millis(20)).await;
        assert_eq!(
            result,
            Err(TaskError::StillRunning {
                tasks: vec!["deaf".to_owned()],
                deadline_ms: 20
            })
        );
        deaf.ended().await;
        assert!(group.running().is_empty());
    }

    #[tokio::test]
    async fn one_task_can_be_stopped_alone() {
        let group = group();
        let one = group.spawn("one", until_told);
        group.spawn("other", until_told);
        one.cancel();
        one.ended().await;
        assert_eq!(group.running(), ["other"]);
        assert_eq!(group.failure(), None);
        assert_eq!(group.shutdown(DEADLINE).await, Ok(()));
    }

    #[tokio::test]
    async fn a_task_started_while_stopping_ends_at_once() {
        let group = group();
        assert_eq!(group.shutdown(DEADLINE).await, Ok(()));
        group.spawn("late", until_told).ended().await;
    }
}
