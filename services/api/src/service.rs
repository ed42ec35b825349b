//! The platform as a process.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use tokio::net::TcpListener;
use tracing::info;
use twinfold_client::remote::follow_registry;
use twinfold_client::{OFFLINEFS, ONLINEFS, RESERVED_FOR};
use twinfold_model::ProjectName;
use twinfold_service_kit::process::{self, Failure, ProcessConfig, Service};
use twinfold_service_kit::{Fault, StoreUrl, SystemClock, TaskGroup, UrlConfig, fault};
use twinfold_store_offline::Files;
use twinfold_store_online::OnlineStore;
use twinfold_store_topic::TopicStore;

use crate::TrainingConfig;
use crate::http::{self, HttpLimits};
use crate::platform::{CommittedProgress, Leftovers, Parts, StorePlatform};

/// Runs it. The library's, so that the program has nothing left to compile.
pub fn main() -> ExitCode {
    process::main::<ApiService>()
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ApiConfig {
    process: ProcessConfig,
    http: HttpConfig,
    limits: HttpLimits,
    platform: PlatformConfig,
    registry: UrlConfig,
    topic: TopicConfig,
    online: UrlConfig,
    offline: UrlConfig,
    datasets: UrlConfig,
    training: TrainingConfig,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct HttpConfig {
    address: SocketAddr,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PlatformConfig {
    project: String,
    reconcile_timeout_ms_max: u64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TopicConfig {
    url: StoreUrl,
    partitions: NonZeroU32,
}

/// Answers for one project: definitions, rows in and out, vectors, training datasets.
#[derive(Debug)]
struct ApiService {
    topics: Arc<dyn TopicStore>,
    online: Arc<dyn OnlineStore>,
}

impl Service for ApiService {
    const NAME: &'static str = "twinfold-api";
    const DEFAULT_TOML: &'static str = include_str!("../default.toml");
    type Config = ApiConfig;

    fn process(config: &ApiConfig) -> &ProcessConfig {
        &config.process
    }

    fn faults(config: &ApiConfig) -> Vec<Fault> {
        let project = config.platform.project.as_str();
        let checked = [
            fault("platform.project", ProjectName::new(project)),
            fault("registry.url", config.registry.url.check_http()),
            fault("topic.url", twinfold_store_topic::check(&config.topic.url)),
            fault(
                "online.url",
                twinfold_store_online::check(&config.online.url),
            ),
            fault(
                "offline.url",
                twinfold_store_offline::check(&config.offline.url),
            ),
            fault(
                "datasets.url",
                twinfold_store_offline::check(&config.datasets.url),
            ),
        ];
        checked.into_iter().flatten().collect()
    }

    async fn start(config: ApiConfig, tasks: TaskGroup) -> Result<Self, Failure> {
        let listener = TcpListener::bind(config.http.address).await?;
        let address = listener.local_addr()?;
        let limits = config.limits;
        let platform = Arc::new(StorePlatform::new(
            parts(&config, address, tasks.clone()).await?,
        ));
        let service = Self {
            topics: Arc::clone(&platform.parts().topics),
            online: Arc::clone(&platform.parts().online),
        };
        let router = http::router_with(Arc::clone(&platform) as _, limits);
        info!(%address, "answering");
        tasks.spawn("http", |shutdown| {
            twinfold_http_kit::serve(listener, router, shutdown)
        });
        tasks.spawn("training datasets", |shutdown| async move {
            loop {
                platform.sweep_datasets(Leftovers::Lapsed).await;
                tokio::select! {
                    () = shutdown.cancelled() => return Ok::<(), Infallible>(()),
                    () = tokio::time::sleep(RESERVED_FOR) => {}
                }
            }
        });
        Ok(service)
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

/// Opens the stores and begins to follow the registry.
async fn parts(
    config: &ApiConfig,
    address: SocketAddr,
    tasks: TaskGroup,
) -> Result<Parts, Failure> {
    let topics = twinfold_store_topic::open(&config.topic.url).await?;
    let control_plane = follow_registry(&config.registry.url, &tasks).await?;
    let committed = |consumer| Arc::new(CommittedProgress::new(Arc::clone(&topics), consumer));
    Ok(Parts {
        url: format!("http://{address}"),
        project: ProjectName::new(config.platform.project.as_str())?,
        partitions_default: config.topic.partitions.get(),
        reconcile_timeout: Duration::from_millis(config.platform.reconcile_timeout_ms_max),
        memory_bytes_max: config.training.memory_bytes_max.get(),
        queries_max: config.training.queries_max.get(),
        queries_wait_max: Duration::from_millis(config.training.queries_wait_ms_max),
        clock: Arc::new(SystemClock),
        online: twinfold_store_online::open(&config.online.url).await?,
        offline: twinfold_store_offline::open(&config.offline.url).await?,
        files: Files::open(&config.datasets.url)?,
        control_plane,
        online_progress: committed(ONLINEFS),
        offline_progress: committed(OFFLINEFS),
        topics,
        tasks,
        engine: None,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use twinfold_service_kit::process::configuration;

    use super::*;

    #[test]
    fn the_defaults_are_complete() {
        let config: ApiConfig = toml::from_str(ApiService::DEFAULT_TOML).expect("default.toml");
        assert_eq!(config.limits, HttpLimits::default());
    }

    #[test]
    fn every_fault_is_told_at_once() {
        let settings = [
            ("PROCESS__COLOUR", "red"),
            ("PROCESS__LOG_FILTER", "twinfold=loud"),
            ("PROCESS__DRAIN_MS", "soon"),
            ("HTTP__ADDRESS", "here"),
            ("TOPIC__PARTITIONS", "0"),
            ("PLATFORM__PROJECT", "Ours"),
            ("REGISTRY__URL", "localhost:8101"),
            ("ONLINE__URL", "scylla://me:hush@a:1/ks?replication=none"),
            ("DATASETS__URL", "gs://bucket"),
        ];
        let variables = settings.map(|(key, value)| (format!("TWINFOLD__{key}"), value.to_owned()));
        let variables = BTreeMap::from(variables);
        let faults = configuration::<ApiService>(None, &variables).expect_err("faults");
        let told = faults.to_string();
        assert_eq!(told.lines().count(), 1 + settings.len(), "{told}");
        for fault in [
            "__COLOUR: there is no key",
            "__LOG_FILTER: log filter `twinfold=loud` is not valid",
            "__DRAIN_MS: found `soon`, wanted integer",
            "__ADDRESS: found `\"here\"`: invalid socket address syntax",
            "__PARTITIONS: found `0`, wanted a nonzero u32",
            "__PROJECT: project name `Ours` is not valid",
            "REGISTRY__URL: found a url of scheme ``, wanted http://host:port",
            "ONLINE__URL: online store setting `replication`: found `none`, wanted a number",
            "DATASETS__URL: offline store url `gs://…` is not supported",
        ] {
            assert!(told.contains(fault), "{fault} is not in:\n{told}");
        }
        assert!(!told.contains("hush"), "{told}");
    }
}
