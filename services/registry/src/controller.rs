use std::sync::{MutexGuard, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use twinfold_model::{FeatureGroupId, ResourceState};
use twinfold_store_metadata::{Error as MetadataError, GroupRecord};
use twinfold_store_online::TableConfig;
use twinfold_store_topic::TopicConfig;
use twinfold_wire::record::history_schema;

use crate::reconcile::{Backoff, Failures, Step, steps};
use crate::{Error, Registry, Result};

/// What one pass over the unfinished groups did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pass {
    /// Groups that are now what they should be.
    pub finished: usize,
    /// Groups of which a step failed; they are tried again.
    pub failed: usize,
    /// Groups whose next attempt is not due yet.
    pub waiting: usize,
    /// The shortest wait until a group is due again.
    pub next_due: Option<Duration>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Patience {
    /// Every unfinished group is worked on.
    None,
    /// A group that failed waits for its time.
    Backoff,
}

impl Registry {
    /// Works on every unfinished group now, whatever its backoff says. Idempotent.
    pub async fn reconcile_once(&self) -> Result<Pass> {
        self.pass(Patience::None, &CancellationToken::new()).await
    }

    /// Makes topics and tables what the definitions say until `shutdown`, then finishes the group at
    /// hand. Woken by changes, by backoffs that end, and every `resync_interval`.
    pub async fn run(&self, shutdown: CancellationToken) {
        let config = &self.inner.config;
        let mut failures = 0;
        while !shutdown.is_cancelled() {
            let wait = match self.pass(Patience::Backoff, &shutdown).await {
                Ok(pass) => {
                    failures = 0;
                    pass.next_due.unwrap_or(config.resync_interval)
                }
                // What woke this pass is not done: the metadata may be back in a moment.
                Err(error) => {
                    warn!(%error, "feature groups cannot be reconciled");
                    failures += 1;
                    self.backoff().delay(failures)
                }
            };
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = self.inner.work.notified() => {}
                () = tokio::time::sleep(wait.min(config.resync_interval)) => {}
            }
        }
    }

    /// Why the last attempt to make or remove the group's topic or tables failed, if it did.
    pub fn last_failure(&self, id: &FeatureGroupId) -> Option<String> {
        self.failures().reason(id).map(str::to_owned)
    }

    async fn pass(&self, patience: Patience, shutdown: &CancellationToken) -> Result<Pass> {
        let _one_at_a_time = self.inner.pass.lock().await;
        let mut pass = Pass::default();
        for record in self.metadata().groups(None).await? {
            if record.state == ResourceState::Active {
                continue;
            }
            if shutdown.is_cancelled() {
                break;
            }
            let wait = match patience {
                Patience::None => Duration::ZERO,
                Patience::Backoff => self.failures().wait(&record, self.now()),
            };
            if wait > Duration::ZERO {
                pass.waiting += 1;
            } else if self.reconcile(&record).await {
                pass.finished += 1;
                continue;
            } else {
                pass.failed += 1;
            }
            let wait = self.failures().wait(&record, self.now());
            pass.next_due = Some(pass.next_due.map_or(wait, |due| due.min(wait)));
        }
        self.announce().await;
        Ok(pass)
    }

    /// Takes a group's remaining steps; false when one failed.
    async fn reconcile(&self, record: &GroupRecord) -> bool {
        let id = record.group.id();
        for step in steps(&record.group, &record.state) {
            let timeout = self.inner.config.step_timeout;
            let taken = match tokio::time::timeout(timeout, self.take(step, record)).await {
                Ok(taken) => taken,
                Err(_) => Err(Error::StepTimeout { timeout }),
            };
            if let Err(error) = taken {
                if is_overtaken(&error) {
                    // The definition changed meanwhile; who changed it has woken the loop.
                    return true;
                }
                let reason = format!("{}: {error}", step.describe());
                warn!(feature_group.name = %id, %reason, "feature group is not what it should be");
                self.note_failure(record, reason).await;
                return false;
            }
        }
        self.failures().succeeded(id);
        let was = &record.state;
        info!(feature_group.name = %id, ?was, "feature group is what it should be");
        self.announce().await;
        true
    }

    async fn take(&self, step: Step, record: &GroupRecord) -> Result<()> {
        let (group, id) = (&record.group, record.group.id());
        let stores = &self.inner.stores;
        let name = &record.resource;
        match step {
            Step::CreateHistory => {
                let schema = history_schema(group);
                stores.offline.create_table(name, schema).await?;
            }
            Step::CreateOnlineTable => {
                let config = TableConfig { ttl: group.ttl() };
                stores.online.create_table(name, config).await?;
            }
            Step::CreateTopic => {
                let config = TopicConfig {
                    partitions: group.partitions(),
                    retention: self.inner.config.topic_retention,
                    retention_bytes_max: self.inner.config.topic_retention_bytes_max,
                };
                stores.topics.create(name, &config).await?;
            }
            Step::Activate => {
                let active = ResourceState::Active;
                let metadata = self.metadata();
                metadata
                    .set_group_state(id, &active, record.revision)
                    .await?;
            }
            Step::DropTopic => stores.topics.drop_topic(name).await?,
            Step::DropOnlineTable => stores.online.drop_table(name).await?,
            Step::DropHistory => stores.offline.drop_table(name).await?,
            Step::RemoveDefinition => self.metadata().remove_group(id).await?,
        }
        Ok(())
    }

    /// Remembers a failure for the backoff and shows it in the group's state. A deletion stays
    /// `Deleting`: a state `Failed` would not say any more that the group is to go.
    async fn note_failure(&self, record: &GroupRecord, reason: String) {
        self.failures()
            .failed(record, reason.clone(), self.backoff(), self.now());
        if record.state == ResourceState::Deleting {
            return;
        }
        let (id, failed) = (record.group.id(), ResourceState::Failed { reason });
        match self
            .metadata()
            .set_group_state(id, &failed, record.revision)
            .await
            .map_err(Error::from)
        {
            Ok(()) => self.announce().await,
            Err(error) if is_overtaken(&error) => {}
            Err(error) => {
                warn!(feature_group.name = %id, %error, "state of feature group cannot be stored");
            }
        }
    }

    fn backoff(&self) -> Backoff {
        let config = &self.inner.config;
        Backoff {
            delay_min: config.retry_delay_min,
            delay_max: config.retry_delay_max,
        }
    }

    fn failures(&self) -> MutexGuard<'_, Failures> {
        // The map is whole between any two statements, so a panic elsewhere does not spoil it.
        self.inner
            .failures
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_overtaken(error: &Error) -> bool {
    matches!(
        error,
        Error::NotFound { .. }
            | Error::Metadata(
                MetadataError::StaleRevision { .. } | MetadataError::WrongState { .. }
            )
    )
}
