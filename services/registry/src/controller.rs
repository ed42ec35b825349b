use std::sync::{MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use twinfold_model::{FeatureGroupId, ResourceState};
use twinfold_store_metadata::{Error as MetadataError, GroupRecord, Lease};
use twinfold_store_online::TableConfig;
use twinfold_store_topic::TopicConfig;
use twinfold_wire::record::history_schema;

use crate::reconcile::{Backoff, Failures, Step, steps};
use crate::{Error, Registry, Result, metrics};

/// How often the reconciler's lease is renewed; it is lost after three times as long.
const LEASE_RENEWAL: Duration = Duration::from_secs(3);
/// How often a process looks whether the lease is free, besides whenever something changes.
const LEASE_LOOK: Duration = Duration::from_secs(1);

/// What one pass over the unfinished groups did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pass {
    /// Groups that are now what they should be.
    pub finished: usize,
    /// Groups of which a step failed; they are tried again.
    pub failed: usize,
    /// Groups whose next attempt is not due yet, or which another process works on.
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
    /// hand. Woken by changes, also those of other processes, by backoffs that end, and every
    /// `resync_interval`.
    pub fn run(&self, shutdown: CancellationToken) -> BoxFuture<'_, ()> {
        // Boxed: compiled here, and not by all who run a registry.
        Box::pin(async move {
            tokio::join!(self.reconcile_until(&shutdown), self.follow_feed(&shutdown));
        })
    }

    async fn reconcile_until(&self, shutdown: &CancellationToken) {
        let config = &self.inner.config;
        let mut failures = 0;
        while !shutdown.is_cancelled() {
            let wait = match self.pass(Patience::Backoff, shutdown).await {
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
        let waiting = self.unfinished().await?.len();
        let mut pass = Pass::default();
        if waiting > 0 {
            pass = match self.metadata().reconciler().await? {
                Some(lease) => self.pass_with(lease, patience, shutdown).await?,
                None => Pass {
                    waiting,
                    next_due: Some(LEASE_LOOK),
                    ..Pass::default()
                },
            };
        }
        self.announce().await;
        Ok(pass)
    }

    async fn unfinished(&self) -> Result<Vec<GroupRecord>> {
        let mut records = self.metadata().groups(None).await?;
        records.retain(|record| record.state != ResourceState::Active);
        Ok(records)
    }

    async fn pass_with(
        &self,
        mut lease: Box<dyn Lease>,
        patience: Patience,
        shutdown: &CancellationToken,
    ) -> Result<Pass> {
        let mut pass = Pass::default();
        // Read again: whoever had the lease before may have finished some.
        for record in self.unfinished().await? {
            if shutdown.is_cancelled() {
                break;
            }
            let wait = match patience {
                Patience::None => Duration::ZERO,
                Patience::Backoff => self.failures().wait(&record, self.now()),
            };
            if wait > Duration::ZERO {
                pass.waiting += 1;
            } else if self.reconcile(&record, lease.as_mut()).await? {
                pass.finished += 1;
                continue;
            } else {
                pass.failed += 1;
            }
            let wait = self.failures().wait(&record, self.now());
            pass.next_due = Some(pass.next_due.map_or(wait, |due| due.min(wait)));
        }
        if let Err(error) = lease.release().await {
            warn!(%error, "the reconciler's lease cannot be given back and will end");
        }
        Ok(pass)
    }

    async fn reconcile(&self, record: &GroupRecord, lease: &mut dyn Lease) -> Result<bool> {
        let began_us = self.now().micros();
        let is_done = self.take_steps(record, lease).await;
        let took_us = self.now().micros().saturating_sub(began_us);
        metrics::reconciled(Duration::from_micros(u64::try_from(took_us).unwrap_or(0)));
        if !matches!(is_done, Ok(true)) {
            metrics::reconcile_failed(record.group.id());
        }
        is_done
    }

    /// Takes a group's remaining steps; false when one failed. Without the lease no step goes on.
    async fn take_steps(&self, record: &GroupRecord, lease: &mut dyn Lease) -> Result<bool> {
        let id = record.group.id();
        for step in steps(&record.group, &record.state) {
            let timeout = self.inner.config.step_timeout;
            let taking = tokio::time::timeout(timeout, self.take(step, record));
            let taken = tokio::select! {
                taken = taking => taken.unwrap_or(Err(Error::StepTimeout { timeout })),
                lost = keep(lease) => return Err(lost),
            };
            if let Err(error) = taken {
                if is_overtaken(&error) {
                    // The definition changed meanwhile; who changed it has woken the loop.
                    return Ok(true);
                }
                let reason = format!("{}: {error}", step.describe());
                warn!(feature_group = %id, %reason, "feature group is not what it should be");
                self.note_failure(record, reason).await;
                return Ok(false);
            }
        }
        self.failures().succeeded(id);
        let was = &record.state;
        info!(feature_group = %id, ?was, "feature group is what it should be");
        self.announce().await;
        Ok(true)
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
                warn!(feature_group = %id, %error, "state of feature group cannot be stored");
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

/// Renews the lease for as long as it can be; returns why it cannot.
async fn keep(lease: &mut dyn Lease) -> Error {
    loop {
        match tokio::time::timeout(LEASE_RENEWAL, lease.renew()).await {
            Ok(Ok(())) => tokio::time::sleep(LEASE_RENEWAL).await,
            Ok(Err(error)) => return error.into(),
            Err(_) => {
                return Error::StepTimeout {
                    timeout: LEASE_RENEWAL,
                };
            }
        }
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
