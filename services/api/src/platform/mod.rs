//! The platform over the stores and the registry's control plane.
//!
//! What brings the rows from the topic into the stores runs elsewhere: in other processes, or beside it
//! in an embedded platform, which says so with an [`Engine`].

mod catalog;
mod datasets;
mod failure;
mod ingestion;
mod progress;
mod queries;
mod reading;
mod replay;
mod serving;

use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::OwnedSemaphorePermit;
use twinfold_client::{
    ControlPlane, Definitions, Error, GroupDefinition, Platform, Result, Writer,
};
use twinfold_model::{EventTime, FeatureGroupId, ProjectName};
use twinfold_service_kit::{Clock, TaskGroup};
use twinfold_store_offline::{Files, OfflineStore};
use twinfold_store_online::OnlineStore;
use twinfold_store_topic::TopicStore;

pub use datasets::Leftovers;
pub use progress::{CommittedProgress, Reached, StoreProgress};
use queries::Queries;

/// What runs behind a platform and ends with it.
#[async_trait]
pub trait Engine: Debug + Send + Sync {
    /// Fails when it does not run any more.
    fn check(&self) -> Result<()>;

    /// Finishes what is under way and releases everything. Idempotent.
    async fn stop(&self) -> Result<()>;
}

/// What a platform stands on.
#[derive(Debug)]
pub struct Parts {
    /// What was connected to, as given.
    pub url: String,
    pub project: ProjectName,
    /// Of a new feature group that does not say it.
    pub partitions_default: u32,
    /// How long topic and tables of a group may take to come or to go.
    pub reconcile_timeout: Duration,
    /// For one query over histories.
    pub memory_bytes_max: usize,
    /// Queries over histories at the same time.
    pub queries_max: usize,
    /// How long another waits for one of them to end.
    pub queries_wait_max: Duration,
    pub clock: Arc<dyn Clock>,
    pub topics: Arc<dyn TopicStore>,
    pub online: Arc<dyn OnlineStore>,
    pub offline: Arc<dyn OfflineStore>,
    /// Where training datasets are kept.
    pub files: Files,
    pub control_plane: Arc<dyn ControlPlane>,
    pub online_progress: Arc<dyn StoreProgress>,
    pub offline_progress: Arc<dyn StoreProgress>,
    /// For what goes on when nobody waits for it any longer.
    pub tasks: TaskGroup,
    /// `None` when what fills the stores runs in other processes.
    pub engine: Option<Arc<dyn Engine>>,
}

/// A platform over stores; see [`Parts`].
#[derive(Debug)]
pub struct StorePlatform {
    parts: Parts,
    writer: Writer,
    /// Refuses new work from the moment closing begins.
    closed: AtomicBool,
    queries: Queries,
}

impl StorePlatform {
    pub fn new(parts: Parts) -> Self {
        let topics = Arc::clone(&parts.topics);
        Self {
            writer: Writer::new(topics, Arc::clone(&parts.control_plane) as _),
            queries: Queries::new(parts.queries_max, parts.queries_wait_max),
            parts,
            closed: AtomicBool::new(false),
        }
    }

    /// What it stands on.
    pub fn parts(&self) -> &Parts {
        &self.parts
    }

    fn control_plane(&self) -> &dyn ControlPlane {
        self.parts.control_plane.as_ref()
    }

    /// The control plane for readers, which outlive a call.
    fn definitions(&self) -> Arc<dyn Definitions> {
        Arc::clone(&self.parts.control_plane) as _
    }

    fn now(&self) -> EventTime {
        EventTime::from_micros(self.parts.clock.now_us())
    }

    /// A query runs until what this gives is dropped. Closing may begin while it waits for others.
    async fn begin_query(&self) -> Result<OwnedSemaphorePermit> {
        self.check_open()?;
        let running = self.queries.begin().await?;
        self.check_open()?;
        Ok(running)
    }

    fn check_open(&self) -> Result<()> {
        if self.closed.load(Ordering::SeqCst) {
            return Err(Error::Closed);
        }
        self.parts
            .engine
            .as_ref()
            .map_or(Ok(()), |engine| engine.check())
    }

    async fn definition(&self, group: &FeatureGroupId) -> Result<Arc<GroupDefinition>> {
        self.control_plane().group(group).await
    }
}

#[async_trait]
impl Platform for StorePlatform {
    fn url(&self) -> &str {
        &self.parts.url
    }

    async fn close(&self) -> Result<()> {
        self.closed.store(true, Ordering::SeqCst);
        match &self.parts.engine {
            Some(engine) => engine.stop().await,
            None => Ok(()),
        }
    }
}
