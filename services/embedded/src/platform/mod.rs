use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tokio::runtime::Handle;
use tracing::info;
use twinfold_client::{Definitions, Error, GroupDefinition, Platform, Result, Writer};
use twinfold_ingest::{SinkFactory, Statuses, Supervisor};
use twinfold_model::{EventTime, FeatureGroupId, ProjectName};
use twinfold_offlinefs::{OfflineSinks, Upkeep};
use twinfold_onlinefs::OnlineSinks;
use twinfold_registry::{Registry, Stores};
use twinfold_service_kit::{BackgroundRuntime, Clock, TaskError, TaskGroup};
use twinfold_store_metadata::MetadataStore;
use twinfold_store_offline::OfflineStore;
use twinfold_store_online::OnlineStore;
use twinfold_store_topic::TopicStore;

use crate::definitions::RegistryDefinitions;
use crate::failure::{
    metadata_failed, offline_failed, online_failed, registry_failed, topic_failed,
};
use crate::folder::Folder;
use crate::{Config, Options};
use maintenance::{HistoryMaintenance, Maintenance};

mod catalog;
mod datasets;
mod ingestion;
mod maintenance;
mod reading;
mod serving;

/// Every part of the platform, running in this process.
#[derive(Debug)]
pub struct EmbeddedPlatform {
    url: String,
    project: ProjectName,
    config: Config,
    clock: Arc<dyn Clock>,
    topics: Arc<dyn TopicStore>,
    online: Arc<dyn OnlineStore>,
    offline: Arc<dyn OfflineStore>,
    metadata: Arc<dyn MetadataStore>,
    registry: Registry,
    definitions: Arc<dyn Definitions>,
    writer: Writer,
    online_statuses: Statuses,
    offline_statuses: Statuses,
    /// Ends in the written order: the materializers first, the registry's loop and maintenance last.
    onlinefs: TaskGroup,
    offlinefs: TaskGroup,
    background: TaskGroup,
    /// History is written here: a fresh vector is what somebody waits for.
    _history_runtime: BackgroundRuntime,
    /// Refuses new work from the moment closing begins.
    closed: AtomicBool,
    /// True when closing has ended; held while it goes on, so that every caller returns after it.
    released: tokio::sync::Mutex<bool>,
    /// One replay at a time, or a record could be appended twice.
    replaying: tokio::sync::Mutex<()>,
    folder: Folder,
}

impl EmbeddedPlatform {
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Opens every store before any work starts, so that a fault shows here and not later.
    pub async fn open(folder: &Path, options: Options) -> Result<Self> {
        let Options { config, clock } = options;
        let project = ProjectName::new(config.platform.project.as_str())?;
        let folder = Folder::open(folder)?;
        let stores = folder.stores(&config.stores);
        let metadata = twinfold_store_metadata::open(&stores.metadata).await;
        let metadata = metadata.map_err(metadata_failed)?;
        let topics = twinfold_store_topic::open(&stores.topic)
            .await
            .map_err(topic_failed)?;
        let online = twinfold_store_online::open(&stores.online)
            .await
            .map_err(online_failed)?;
        let offline = twinfold_store_offline::open(&stores.offline)
            .await
            .map_err(offline_failed)?;
        let stores = Stores {
            metadata: Arc::clone(&metadata),
            topics: Arc::clone(&topics),
            online: Arc::clone(&online),
            offline: Arc::clone(&offline),
        };
        let registry = Registry::open(stores, Arc::clone(&clock), config.registry()).await;
        let registry = registry.map_err(registry_failed)?;
        let definitions: Arc<dyn Definitions> =
            Arc::new(RegistryDefinitions::new(registry.clone()));
        let history_runtime = BackgroundRuntime::new("twinfold-history")
            .map_err(|failure| Error::Internal(format!("no threads for history: {failure}")))?;
        let platform = Self {
            url: format!("file://{}", folder.root().display()),
            project,
            writer: Writer::new(Arc::clone(&topics), Arc::clone(&definitions)),
            config,
            clock,
            topics,
            online,
            offline,
            metadata,
            registry,
            definitions,
            online_statuses: Statuses::new(),
            offline_statuses: Statuses::new(),
            onlinefs: TaskGroup::new(Handle::current()),
            offlinefs: TaskGroup::new(history_runtime.handle().clone()),
            background: TaskGroup::new(Handle::current()),
            _history_runtime: history_runtime,
            closed: AtomicBool::new(false),
            released: tokio::sync::Mutex::new(false),
            replaying: tokio::sync::Mutex::new(()),
            folder,
        };
        platform.sweep_datasets().await;
        platform.start();
        info!(url = platform.url, "platform open");
        Ok(platform)
    }

    fn start(&self) {
        let registry = self.registry.clone();
        self.background.spawn("registry", |token| async move {
            registry.run(token).await;
            Ok::<(), Infallible>(())
        });
        let online = Arc::new(OnlineSinks::new(Arc::clone(&self.online)));
        self.materialize(
            twinfold_onlinefs::CONSUMER,
            online,
            &self.config.onlinefs,
            &self.online_statuses,
            &self.onlinefs,
        );
        let offline = Arc::new(OfflineSinks::new(
            Arc::clone(&self.offline),
            Arc::clone(&self.definitions),
            self.config.offlinefs.batch_bytes_max,
        ));
        self.materialize(
            twinfold_offlinefs::CONSUMER,
            offline,
            &self.config.offlinefs,
            &self.offline_statuses,
            &self.offlinefs,
        );
        let interval = Duration::from_secs(self.config.platform.maintenance_interval_s.get());
        let history = HistoryMaintenance {
            upkeep: Upkeep::new(
                Arc::clone(&self.offline),
                Arc::clone(&self.definitions),
                self.config.history,
            ),
            definitions: Arc::clone(&self.definitions),
            interval,
        };
        self.offlinefs
            .spawn("history maintenance", |token| history.run(token));
        let maintenance = Maintenance {
            topics: Arc::clone(&self.topics),
            online: Arc::clone(&self.online),
            definitions: Arc::clone(&self.definitions),
            clock: Arc::clone(&self.clock),
            interval,
        };
        self.background
            .spawn("maintenance", |token| maintenance.run(token));
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
            topics: Arc::clone(&self.topics),
            definitions: Arc::clone(&self.definitions),
            sinks,
            limits: config.limits(self.config.topic.future_skew_ms_max),
            clock: Arc::clone(&self.clock),
            statuses: statuses.clone(),
            tasks: tasks.clone(),
        };
        tasks.spawn(name, |token| supervisor.run(token));
    }

    fn now(&self) -> EventTime {
        EventTime::from_micros(self.clock.now_us())
    }

    fn check_open(&self) -> Result<()> {
        if self.closed.load(Ordering::SeqCst) {
            return Err(Error::Closed);
        }
        let groups = [&self.onlinefs, &self.offlinefs, &self.background];
        match groups.into_iter().find_map(TaskGroup::failure) {
            None => Ok(()),
            Some(failure) => Err(Error::Internal(failure.to_string())),
        }
    }

    async fn definition(&self, group: &FeatureGroupId) -> Result<Arc<GroupDefinition>> {
        self.definitions.group(group).await
    }
}

#[async_trait]
impl Platform for EmbeddedPlatform {
    fn url(&self) -> &str {
        &self.url
    }

    /// In order: take nothing more in, let the materializers write and commit what they hold, stop the
    /// registry's loop, close the stores that they wrote to.
    async fn close(&self) -> Result<()> {
        self.closed.store(true, Ordering::SeqCst);
        let mut released = self.released.lock().await;
        if *released {
            return Ok(());
        }
        let deadline = Duration::from_millis(self.config.platform.shutdown_ms_max);
        let task_failed = |failure: TaskError| Error::Internal(failure.to_string());
        let (onlinefs, offlinefs) = tokio::join!(
            self.onlinefs.shutdown(deadline),
            self.offlinefs.shutdown(deadline)
        );
        // Whatever fails, the rest is released; the first failure is told.
        let outcomes = [
            onlinefs.map_err(task_failed),
            offlinefs.map_err(task_failed),
            self.background
                .shutdown(deadline)
                .await
                .map_err(task_failed),
            self.topics.close().await.map_err(topic_failed),
            self.online.close().await.map_err(online_failed),
            self.metadata.close().await.map_err(metadata_failed),
        ];
        self.folder.release();
        *released = true;
        info!(url = self.url, "platform closed");
        outcomes.into_iter().collect()
    }
}
