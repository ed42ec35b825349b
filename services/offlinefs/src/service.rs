//! offlinefs as a process.

use std::process::ExitCode;
use std::sync::Arc;

use serde::Deserialize;
use twinfold_client::Definitions;
use twinfold_client::remote::follow_registry;
use twinfold_ingest::{MaintenanceConfig, Statuses, Supervisor, TopicConfig};
use twinfold_service_kit::process::{self, Failure, ProcessConfig, Service};
use twinfold_service_kit::{Fault, SystemClock, TaskGroup, UrlConfig, fault};
use twinfold_store_topic::TopicStore;

use crate::{CONSUMER, HistoryMaintenance, OfflineSinks, Upkeep, UpkeepConfig};

/// Runs it. The library's, so that the program has nothing left to compile.
pub fn main() -> ExitCode {
    process::main::<OfflinefsService>()
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct OfflinefsConfig {
    process: ProcessConfig,
    registry: UrlConfig,
    topic: TopicConfig,
    offline: UrlConfig,
    batches: twinfold_ingest::Config,
    history: UpkeepConfig,
    maintenance: MaintenanceConfig,
}

/// Appends the rows of every topic to its history.
#[derive(Debug)]
struct OfflinefsService {
    topics: Arc<dyn TopicStore>,
}

impl Service for OfflinefsService {
    const NAME: &'static str = "twinfold-offlinefs";
    const DEFAULT_TOML: &'static str = include_str!("../default.toml");
    type Config = OfflinefsConfig;

    fn process(config: &OfflinefsConfig) -> &ProcessConfig {
        &config.process
    }

    fn faults(config: &OfflinefsConfig) -> Vec<Fault> {
        let checked = [
            fault("registry.url", config.registry.url.check_http()),
            fault("topic.url", twinfold_store_topic::check(&config.topic.url)),
            fault(
                "offline.url",
                twinfold_store_offline::check(&config.offline.url),
            ),
        ];
        checked.into_iter().flatten().collect()
    }

    async fn start(config: OfflinefsConfig, tasks: TaskGroup) -> Result<Self, Failure> {
        let topics = twinfold_store_topic::open(&config.topic.url).await?;
        let offline = twinfold_store_offline::open(&config.offline.url).await?;
        let definitions: Arc<dyn Definitions> =
            follow_registry(&config.registry.url, &tasks).await?;
        let upkeep = Upkeep::new(Arc::clone(&offline), config.history);
        if let Some(interval) = config.maintenance.interval() {
            let maintenance = HistoryMaintenance {
                upkeep,
                definitions: Arc::clone(&definitions),
                interval,
            };
            tasks.spawn("history maintenance", |shutdown| maintenance.run(shutdown));
        }
        let supervisor = Supervisor {
            name: CONSUMER,
            topics: Arc::clone(&topics),
            sinks: Arc::new(OfflineSinks::new(
                offline,
                Arc::clone(&definitions),
                config.batches.batch_bytes_max.get(),
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

    fn close(self, closing: &TaskGroup) {
        closing.spawn(
            "closing the topic",
            |_| async move { self.topics.close().await },
        );
    }
}
