//! offlinefs as a process.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use twinfold_client::Definitions;
use twinfold_client::remote::RemoteRegistry;
use twinfold_ingest::{Statuses, Supervisor, follow_definitions};
use twinfold_service_kit::process::{Failure, ProcessConfig, Service};
use twinfold_service_kit::{SystemClock, TaskGroup};
use twinfold_store_topic::TopicStore;

use crate::{CONSUMER, HistoryMaintenance, OfflineSinks, Upkeep, UpkeepConfig};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OfflinefsConfig {
    process: ProcessConfig,
    registry: UrlConfig,
    topic: TopicConfig,
    offline: UrlConfig,
    batches: twinfold_ingest::Config,
    history: UpkeepConfig,
    maintenance: MaintenanceConfig,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct MaintenanceConfig {
    interval_s: u64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct UrlConfig {
    url: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TopicConfig {
    url: String,
    future_skew_ms_max: u64,
}

/// Appends the rows of every topic to its history.
#[derive(Debug)]
pub struct OfflinefsService {
    topics: Arc<dyn TopicStore>,
}

impl Service for OfflinefsService {
    const NAME: &'static str = "twinfold-offlinefs";
    const DEFAULT_TOML: &'static str = include_str!("../default.toml");
    type Config = OfflinefsConfig;

    fn process(config: &OfflinefsConfig) -> &ProcessConfig {
        &config.process
    }

    async fn start(config: OfflinefsConfig, tasks: TaskGroup) -> Result<Self, Failure> {
        let topics = twinfold_store_topic::open(&config.topic.url).await?;
        let offline = twinfold_store_offline::open(&config.offline.url).await?;
        let definitions = Arc::new(RemoteRegistry::connect(&config.registry.url).await?);
        let followed = Arc::clone(&definitions);
        tasks.spawn("definitions", |shutdown| async move {
            follow_definitions(&followed, &SystemClock, shutdown).await;
            Ok::<(), Infallible>(())
        });
        let definitions: Arc<dyn Definitions> = definitions;
        let upkeep = Upkeep::new(
            Arc::clone(&offline),
            Arc::clone(&definitions),
            config.history,
        );
        let maintenance = HistoryMaintenance {
            upkeep,
            definitions: Arc::clone(&definitions),
            interval: Duration::from_secs(config.maintenance.interval_s),
        };
        if config.maintenance.interval_s > 0 {
            tasks.spawn("history maintenance", |shutdown| maintenance.run(shutdown));
        }
        let supervisor = Supervisor {
            name: CONSUMER,
            topics: Arc::clone(&topics),
            sinks: Arc::new(OfflineSinks::new(
                offline,
                Arc::clone(&definitions),
                config.batches.batch_bytes_max,
            )),
            definitions,
            limits: config.batches.limits(config.topic.future_skew_ms_max),
            budget: config.batches.budget(),
            clock: Arc::new(SystemClock),
            statuses: Statuses::new(),
            tasks: tasks.clone(),
        };
        tasks.spawn(CONSUMER, |shutdown| supervisor.run(shutdown));
        Ok(Self { topics })
    }

    /// Nothing is stored that has a format of its own.
    async fn migrate(_config: OfflinefsConfig) -> Result<(), Failure> {
        Ok(())
    }

    async fn close(self) -> Result<(), Failure> {
        self.topics.close().await?;
        Ok(())
    }
}
