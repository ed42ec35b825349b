//! onlinefs as a process.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use twinfold_client::Definitions;
use twinfold_client::remote::RemoteRegistry;
use twinfold_ingest::{Statuses, Supervisor, follow_definitions};
use twinfold_service_kit::process::{Failure, ProcessConfig, Service};
use twinfold_service_kit::{SystemClock, TaskGroup};
use twinfold_store_online::OnlineStore;
use twinfold_store_topic::TopicStore;

use crate::{CONSUMER, Expiry, OnlineSinks};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OnlinefsConfig {
    process: ProcessConfig,
    registry: UrlConfig,
    topic: TopicConfig,
    online: UrlConfig,
    batches: twinfold_ingest::Config,
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

/// Brings the rows of every topic into the online store.
#[derive(Debug)]
pub struct OnlinefsService {
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
        let definitions = Arc::new(RemoteRegistry::connect(&config.registry.url).await?);
        let followed = Arc::clone(&definitions);
        tasks.spawn("definitions", |shutdown| async move {
            follow_definitions(&followed, &SystemClock, shutdown).await;
            Ok::<(), Infallible>(())
        });
        let definitions: Arc<dyn Definitions> = definitions;
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
        let expiry = Expiry {
            online: Arc::clone(&online),
            clock: Arc::new(SystemClock),
            interval: Duration::from_secs(config.maintenance.interval_s),
        };
        if config.maintenance.interval_s > 0 {
            tasks.spawn("expiry", |shutdown| expiry.run(shutdown));
        }
        Ok(Self { topics, online })
    }

    /// Nothing is stored that has a format of its own.
    async fn migrate(_config: OnlinefsConfig) -> Result<(), Failure> {
        Ok(())
    }

    async fn close(self) -> Result<(), Failure> {
        self.topics.close().await?;
        Ok(self.online.close().await?)
    }
}
