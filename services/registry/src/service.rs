//! The registry as a process.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use tokio::net::TcpListener;
use tracing::info;
use twinfold_http_kit::extract::JsonLimits;
use twinfold_service_kit::process::{self, Failure, ProcessConfig, Service};
use twinfold_service_kit::{Fault, StoreUrl, SystemClock, TaskGroup, UrlConfig, fault};

use crate::{Config, ForeignConfig, ForeignRegistry, Registry, Stores, http};

/// Runs it. The library's, so that the program has nothing left to compile.
pub fn main() -> ExitCode {
    process::main::<RegistryService>()
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RegistryConfig {
    process: ProcessConfig,
    http: HttpConfig,
    limits: JsonLimits,
    metadata: MetadataConfig,
    topic: TopicConfig,
    online: UrlConfig,
    offline: UrlConfig,
    schema_registry: ForeignConfig,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct HttpConfig {
    address: SocketAddr,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct MetadataConfig {
    url: StoreUrl,
    feed_poll_ms: NonZeroU64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TopicConfig {
    url: StoreUrl,
    retention_hours: NonZeroU64,
}

/// Answers for definitions and makes topics and tables so.
#[derive(Debug)]
struct RegistryService {
    stores: Stores,
}

impl Service for RegistryService {
    const NAME: &'static str = "twinfold-registry";
    const DEFAULT_TOML: &'static str = include_str!("../default.toml");
    type Config = RegistryConfig;

    fn process(config: &RegistryConfig) -> &ProcessConfig {
        &config.process
    }

    fn faults(config: &RegistryConfig) -> Vec<Fault> {
        let foreign = Some(&config.schema_registry).filter(|foreign| !foreign.url.is_empty());
        let checked = [
            fault(
                "metadata.url",
                twinfold_store_metadata::check(&config.metadata.url),
            ),
            fault("topic.url", twinfold_store_topic::check(&config.topic.url)),
            fault(
                "online.url",
                twinfold_store_online::check(&config.online.url),
            ),
            fault(
                "offline.url",
                twinfold_store_offline::check(&config.offline.url),
            ),
            foreign.and_then(|foreign| fault("schema_registry.url", foreign.check())),
        ];
        checked.into_iter().flatten().collect()
    }

    async fn start(config: RegistryConfig, tasks: TaskGroup) -> Result<Self, Failure> {
        let foreign = match config.schema_registry.url.is_empty() {
            true => None,
            false => Some(ForeignRegistry::new(config.schema_registry)?),
        };
        let listener = TcpListener::bind(config.http.address).await?;
        let stores = Stores {
            metadata: twinfold_store_metadata::open(&config.metadata.url).await?,
            topics: twinfold_store_topic::open(&config.topic.url).await?,
            online: twinfold_store_online::open(&config.online.url).await?,
            offline: twinfold_store_offline::open(&config.offline.url).await?,
        };
        let retention_s = config.topic.retention_hours.get().saturating_mul(3_600);
        let retention = Duration::from_secs(retention_s);
        let registry_config = Config {
            topic_retention: Some(retention),
            feed_poll: Duration::from_millis(config.metadata.feed_poll_ms.get()),
            foreign,
            ..Config::default()
        };
        let registry = Registry::open(stores.clone(), Arc::new(SystemClock), registry_config);
        let registry = registry.await?;
        info!(address = %listener.local_addr()?, "answering");
        let router = http::router_with(registry.clone(), tasks.clone(), config.limits);
        tasks.spawn("http", |shutdown| {
            twinfold_http_kit::serve(listener, router, shutdown)
        });
        tasks.spawn("reconcile", |shutdown| async move {
            registry.run(shutdown).await;
            Ok::<(), Infallible>(())
        });
        Ok(Self { stores })
    }

    /// Opening migrates.
    async fn migrate(config: RegistryConfig) -> Result<(), Failure> {
        let metadata = twinfold_store_metadata::open(&config.metadata.url).await?;
        Ok(metadata.close().await?)
    }

    fn close(self, closing: &TaskGroup) {
        closing.spawn("closing the topic", |_| async move {
            self.stores.topics.close().await
        });
        closing.spawn("closing the online store", |_| async move {
            self.stores.online.close().await
        });
        closing.spawn("closing the metadata", |_| async move {
            self.stores.metadata.close().await
        });
    }
}
