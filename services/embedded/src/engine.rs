//! What runs behind an embedded platform: the registry's loop, both materializers, maintenance.

use std::convert::Infallible;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use tokio::runtime::Handle;
use tracing::info;
use twinfold_api::platform::Engine;
use twinfold_client::{Definitions, Error, Result, topic_failed};
use twinfold_ingest::{SinkFactory, Statuses, Supervisor};
use twinfold_offlinefs::{HistoryMaintenance, OfflineSinks, Upkeep};
use twinfold_onlinefs::{Expiry, OnlineSinks};
use twinfold_registry::{Registry, Stores};
use twinfold_service_kit::{BackgroundRuntime, Clock, Deadline, TaskError, TaskGroup};

use crate::Config;
use crate::failure::{metadata_failed, online_failed};
use crate::folder::Folder;
use crate::retention::Retention;

/// Every part, running in this process.
#[derive(Debug)]
pub struct EmbeddedEngine {
    config: Config,
    clock: Arc<dyn Clock>,
    stores: Stores,
    definitions: Arc<dyn Definitions>,
    pub online_statuses: Statuses,
    pub offline_statuses: Statuses,
    /// Ends in the written order: the materializers first, the registry's loop and maintenance last.
    onlinefs: TaskGroup,
    offlinefs: TaskGroup,
    pub background: TaskGroup,
    /// History is written here: a fresh vector is what somebody waits for.
    _history_runtime: BackgroundRuntime,
    /// Begins with who is first to end something.
    ending: OnceLock<Deadline>,
    /// True when closing has ended; held while it goes on, so that every caller returns after it.
    released: tokio::sync::Mutex<bool>,
    folder: Folder,
}

impl EmbeddedEngine {
    /// Nothing runs before [`start`](Self::start).
    pub fn new(
        config: Config,
        clock: Arc<dyn Clock>,
        stores: Stores,
        definitions: Arc<dyn Definitions>,
        folder: Folder,
    ) -> Result<Self> {
        let history_runtime = BackgroundRuntime::new("twinfold-history")
            .map_err(|failure| Error::Internal(format!("no threads for history: {failure}")))?;
        Ok(Self {
            config,
            clock,
            stores,
            definitions,
            online_statuses: Statuses::new(),
            offline_statuses: Statuses::new(),
            onlinefs: TaskGroup::new(Handle::current()),
            offlinefs: TaskGroup::new(history_runtime.handle().clone()),
            background: TaskGroup::new(Handle::current()),
            _history_runtime: history_runtime,
            ending: OnceLock::new(),
            released: tokio::sync::Mutex::new(false),
            folder,
        })
    }

    /// The time that all has to end in. It begins when this is asked for the first time.
    pub fn ending(&self) -> Deadline {
        let shutdown_max = Duration::from_millis(self.config.platform.shutdown_ms_max);
        *self.ending.get_or_init(|| Deadline::after(shutdown_max))
    }

    pub fn start(&self, registry: Registry) {
        self.background.spawn("registry", |token| async move {
            registry.run(token).await;
            Ok::<(), Infallible>(())
        });
        let online = Arc::new(OnlineSinks::new(Arc::clone(&self.stores.online)));
        self.materialize(
            twinfold_onlinefs::CONSUMER,
            online,
            &self.config.onlinefs,
            &self.online_statuses,
            &self.onlinefs,
        );
        let offline = Arc::new(OfflineSinks::new(
            Arc::clone(&self.stores.offline),
            Arc::clone(&self.definitions),
            self.config.offlinefs.batch_bytes_max.get(),
        ));
        self.materialize(
            twinfold_offlinefs::CONSUMER,
            offline,
            &self.config.offlinefs,
            &self.offline_statuses,
            &self.offlinefs,
        );
        self.maintain();
    }

    fn materialize(
        &self,
        name: &'static str,
        sinks: Arc<dyn SinkFactory>,
        config: &twinfold_ingest::Config,
        statuses: &Statuses,
        tasks: &TaskGroup,
    ) {
        let supervisor = Supervisor {
            name,
            topics: Arc::clone(&self.stores.topics),
            definitions: Arc::clone(&self.definitions),
            sinks,
            limits: config.limits(self.config.topic.future_skew_ms_max),
            budget: config.budget(),
            clock: Arc::clone(&self.clock),
            statuses: statuses.clone(),
            tasks: tasks.clone(),
        };
        tasks.spawn(name, |token| supervisor.run(token));
    }

    fn maintain(&self) {
        let interval = Duration::from_secs(self.config.platform.maintenance_interval_s.get());
        let history = HistoryMaintenance {
            upkeep: Upkeep::new(Arc::clone(&self.stores.offline), self.config.history),
            definitions: Arc::clone(&self.definitions),
            interval,
        };
        self.offlinefs
            .spawn("history maintenance", |token| history.run(token));
        let expiry = Expiry {
            online: Arc::clone(&self.stores.online),
            clock: Arc::clone(&self.clock),
            interval,
        };
        self.background.spawn("expiry", |token| expiry.run(token));
        let retention = Retention {
            topics: Arc::clone(&self.stores.topics),
            definitions: Arc::clone(&self.definitions),
            interval,
        };
        self.background
            .spawn("retention", |token| retention.run(token));
    }
}

#[async_trait]
impl Engine for EmbeddedEngine {
    fn check(&self) -> Result<()> {
        let groups = [&self.onlinefs, &self.offlinefs, &self.background];
        match groups.into_iter().find_map(TaskGroup::failure) {
            None => Ok(()),
            Some(failure) => Err(Error::Internal(failure.to_string())),
        }
    }

    /// In order: let the materializers write and commit what they hold, stop the registry's loop, close
    /// the stores that they wrote to.
    async fn stop(&self) -> Result<()> {
        let mut released = self.released.lock().await;
        if *released {
            return Ok(());
        }
        let deadline = self.ending();
        let task_failed = |failure: TaskError| Error::Internal(failure.to_string());
        let (onlinefs, offlinefs) = tokio::join!(
            self.onlinefs.shutdown(deadline.left()),
            self.offlinefs.shutdown(deadline.left())
        );
        // Whatever fails, the rest is released; the first failure is told.
        let outcomes = [
            onlinefs.map_err(task_failed),
            offlinefs.map_err(task_failed),
            self.background
                .shutdown(deadline.left())
                .await
                .map_err(task_failed),
            self.stores.topics.close().await.map_err(topic_failed),
            self.stores.online.close().await.map_err(online_failed),
            self.stores.metadata.close().await.map_err(metadata_failed),
        ];
        self.folder.release();
        *released = true;
        info!(folder = %self.folder.root().display(), "platform closed");
        outcomes.into_iter().collect()
    }
}
