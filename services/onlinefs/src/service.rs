//! onlinefs as a process.

use std::process::ExitCode;
use std::sync::Arc;

use serde::Deserialize;
use twinfold_client::Definitions;
use twinfold_client::remote::follow_registry;
use twinfold_ingest::{MaintenanceConfig, Statuses, Supervisor, TopicConfig};
use twinfold_service_kit::process::{self, Failure, ProcessConfig, Service};
use twinfold_service_kit::{Fault, SystemClock, TaskGroup, UrlConfig, fault};
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

    fn faults(config: &OnlinefsConfig) -> Vec<Fault> {
        let checked = [
            fault("registry.url", config.registry.url.check_http()),
            fault("topic.url", twinfold_store_topic::check(&config.topic.url)),
            fault(
                "online.url",
                twinfold_store_online::check(&config.online.url),
            ),
        ];
        checked.into_iter().flatten().collect()
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

    fn close(self, closing: &TaskGroup) {
        closing.spawn(
            "closing the topic",
            |_| async move { self.topics.close().await },
        );
        closing.spawn("closing the online store", |_| async move {
            self.online.close().await
        });
    }
}
