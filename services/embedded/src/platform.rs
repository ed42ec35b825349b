use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tracing::info;
use twinfold_api::platform::{Leftovers, Parts, StorePlatform};
use twinfold_client::{Definitions, Error, Result, topic_failed};
use twinfold_model::ProjectName;
use twinfold_registry::{LocalRegistry, Registry, Stores};
use twinfold_store_offline::Files;

use crate::config::StoresConfig;
use crate::engine::EmbeddedEngine;
use crate::failure::{metadata_failed, offline_failed, online_failed};
use crate::folder::Folder;
use crate::progress::WrittenProgress;
use crate::{Config, Options};

/// A platform and what is behind it.
pub struct Opened {
    pub platform: StorePlatform,
    /// The one that the platform asks.
    pub registry: Registry,
    pub engine: Arc<EmbeddedEngine>,
}

/// Opens every store before any work starts, so that a fault shows here and not later.
pub async fn open(folder: &Path, options: Options) -> Result<Opened> {
    let Options { config, clock } = options;
    let project = ProjectName::new(config.platform.project.as_str())?;
    let folder = Folder::open(folder)?;
    let stores = stores(&folder.stores(&config.stores)).await?;
    let registry = Registry::open(stores.clone(), Arc::clone(&clock), config.registry());
    let registry = registry.await.map_err(Error::from)?;
    let control_plane = Arc::new(LocalRegistry::new(registry.clone()));
    let definitions: Arc<dyn Definitions> = Arc::clone(&control_plane) as _;
    let root = folder.root().to_owned();
    let Config {
        platform, training, ..
    } = &config;
    let partitions_default = config.topic.partitions.get();
    let memory_bytes_max = training.memory_bytes_max.get();
    let queries_max = training.queries_max.get();
    let queries_wait_max = Duration::from_millis(training.queries_wait_ms_max);
    let reconcile_timeout = Duration::from_millis(platform.reconcile_timeout_ms_max);
    // Over a database elsewhere a dataset may be in the making in another process.
    let leftovers = if config.stores.metadata.is_empty() {
        Leftovers::All
    } else {
        Leftovers::Lapsed
    };
    let engine = EmbeddedEngine::new(
        config,
        Arc::clone(&clock),
        stores.clone(),
        definitions,
        folder,
    )?;
    let engine = Arc::new(engine);
    let platform = StorePlatform::new(Parts {
        url: format!("file://{}", root.display()),
        project,
        partitions_default,
        reconcile_timeout,
        memory_bytes_max,
        queries_max,
        queries_wait_max,
        clock,
        topics: stores.topics,
        online: stores.online,
        offline: stores.offline,
        files: Files::Folder(root),
        control_plane,
        online_progress: Arc::new(WrittenProgress(engine.online_statuses.clone())),
        offline_progress: Arc::new(WrittenProgress(engine.offline_statuses.clone())),
        tasks: engine.background.clone(),
        engine: Some(Arc::clone(&engine) as _),
    });
    platform.sweep_datasets(leftovers).await;
    engine.start(registry.clone());
    info!(url = platform.parts().url, "platform open");
    Ok(Opened {
        platform,
        registry,
        engine,
    })
}

async fn stores(urls: &StoresConfig) -> Result<Stores> {
    let metadata = twinfold_store_metadata::open(&urls.metadata).await;
    let metadata = metadata.map_err(metadata_failed)?;
    let topics = twinfold_store_topic::open(&urls.topic).await;
    let topics = topics.map_err(topic_failed)?;
    let online = twinfold_store_online::open(&urls.online).await;
    let online = online.map_err(online_failed)?;
    let offline = twinfold_store_offline::open(&urls.offline).await;
    Ok(Stores {
        metadata,
        topics,
        online,
        offline: offline.map_err(offline_failed)?,
    })
}
