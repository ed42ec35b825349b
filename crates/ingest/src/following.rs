use std::time::Duration;

use tokio_util::sync::CancellationToken;
use twinfold_client::remote::RemoteRegistry;
use twinfold_service_kit::Clock;

use crate::metrics;

/// How often it is told how old the definitions are.
const TELL_INTERVAL: Duration = Duration::from_secs(1);

/// Follows the registry's change feed until told to stop, and tells how long ago it last answered.
pub async fn follow_definitions(
    registry: &RemoteRegistry,
    clock: &dyn Clock,
    shutdown: CancellationToken,
) {
    let mut answers = registry.answers();
    let telling = async {
        let mut answered_us = clock.now_us();
        loop {
            metrics::definitions_staleness(answered_us, clock.now_us());
            tokio::select! {
                Ok(()) = answers.changed() => answered_us = clock.now_us(),
                () = tokio::time::sleep(TELL_INTERVAL) => {}
            }
        }
    };
    tokio::select! {
        () = registry.follow(shutdown) => {}
        () = telling => {}
    }
}
