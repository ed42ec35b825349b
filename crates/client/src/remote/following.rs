use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use tokio_util::sync::CancellationToken;
use twinfold_service_kit::{Clock, SystemClock, TaskGroup};

use super::{RemoteRegistry, metrics};
use crate::Result;

/// How often it is told how old the definitions are.
const TELL_INTERVAL: Duration = Duration::from_secs(1);

/// The registry at `url`, whose change feed a task of the group follows.
pub fn follow_registry<'a>(
    url: &'a str,
    tasks: &'a TaskGroup,
) -> BoxFuture<'a, Result<Arc<RemoteRegistry>>> {
    // Boxed: compiled here, and not by each service.
    Box::pin(async move {
        let registry = Arc::new(RemoteRegistry::connect(url).await?);
        let followed = Arc::clone(&registry);
        tasks.spawn("definitions", |shutdown| async move {
            follow(&followed, shutdown).await;
            Ok::<(), Infallible>(())
        });
        Ok(registry)
    })
}

/// Follows until told to stop, and tells how long ago the registry last answered.
async fn follow(registry: &RemoteRegistry, shutdown: CancellationToken) {
    let mut answers = registry.answers();
    let telling = async {
        let mut answered_us = SystemClock.now_us();
        loop {
            let since_us = SystemClock.now_us().saturating_sub(answered_us);
            metrics::definitions_staleness(since_us.max(0));
            tokio::select! {
                Ok(()) = answers.changed() => answered_us = SystemClock.now_us(),
                () = tokio::time::sleep(TELL_INTERVAL) => {}
            }
        }
    };
    tokio::select! {
        () = registry.follow(shutdown) => {}
        () = telling => {}
    }
}
