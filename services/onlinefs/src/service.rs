//! onlinefs as a process.

use std::process::ExitCode;
use std::sync::Arc;

use serde::Deserialize;
use twinfold_client::Definitions;
use twinfold_client::remote::follow_registry;
use twinfold_ingest::{MaintenanceConfig, Statuses, Supervisor, TopicConfig};
use twinfold_service_kit::process::{self, Failure, ProcessConfig, Service};
use twinfold_service_kit::{SystemClock, TaskGroup, UrlConfig};
use twinfold_store_online::OnlineStore;
use twinfold_store_topic::TopicStore;

use crate::{CONSUMER, Expiry, OnlineSinks};

/// Runs it. The library's, so that the program has nothing left to compile.
pub fn main() -> ExitCode {
    process::main::<OnlinefsService>()
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct OnlinefsConfig {
    process: ProcessConfig,
    registry: UrlConfig,
    topic: TopicConfig,
    online: UrlConfig,
    batches: twinfold_ingest::Config,
    maintenance: MaintenanceConfig,
}

/// Brings the rows of every topic into the online store.
#[derive(Debug)]
struct OnlinefsService {
    topics: Arc<dyn TopicStore>,
    online: Arc<dyn OnlineStore>,
}

impl Service for OnlinefsService {
    const NAME: &'static str = "twinfold-onlinefs";
    const DEFAULT_TOML: &'static str = include_str!("../default.toml");
    type Config = OnlinefsConfig;

    fn process(config: &OnlinefsConfig) -> &ProcessConfig {
        &config.process
    }

    async fn start(config: OnlinefsConfig, tasks: TaskGroup) -> Result<Self, Failure> {
        let topics = twinfold_store_topic::open(&config.topic.url).await?;
        let online = twinfold_store_online::open(&config.online.url).await?;
        let definitions: Arc<dyn Definitions> =
            follow_registry(&config.registry.url, &tasks).await?;
        let supervisor = Supervisor {
            name: CONSUMER,
            topics: Arc::clone(&topics),
            sinks: Arc::new(OnlineSinks::new(Arc::clone(&online))),
            definitions,
            limits: config.batches.limits(config.topic.future_skew_ms_max),
            budget: config.batches.budget(),
            clock: Arc::new(SystemClock),
            statuses: Statuses::new(),
            tasks: tasks.clone(),
        };
        tasks.spawn(CONSUMER, |shutdown| supervisor.run(shutdown));
        if let Some(interval) = config.maintenance.interval() {
            let expiry = Expiry {
                online: Arc::clone(&online),
                clock: Arc::new(SystemClock),
                interval,
            };
            tasks.spawn("expiry", |shutdown| expiry.run(shutdown));
        }
        Ok(Self { topics, online })
    }

    /// Nothing is stored that has a format of its own.
    async fn migrate(_config: OnlinefsConfig) -> Result<(), Failure> {
        Ok(())
    }

    async fn close(self) -> Result<(), Failure> {
        // Whatever fails, the rest is closed; the first failure is told.
        let (topics, online) = (self.topics.close().await, self.online.close().await);
        topics?;
        Ok(online?)
    }
}
