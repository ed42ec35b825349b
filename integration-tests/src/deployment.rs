use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tempfile::TempDir;
use tokio::net::TcpListener;
use twinfold_client::Platform;
use twinfold_client::remote::RemotePlatform;
use twinfold_embedded::{Config, Options, Server, StoresConfig};
use twinfold_store_topic::{Append, Appended};
use twinfold_testkit::servers;

use crate::WAIT_MAX;

/// A platform that can be stopped and started again on the same data.
pub struct Deployment {
    folder: TempDir,
    stores: StoresConfig,
    configure: fn(&mut Config),
    way: Way,
    running: Running,
}

/// How a story reaches the platform.
#[derive(Clone, Copy)]
enum Way {
    InProcess,
    OverHttp,
}

/// What runs between two starts.
struct Running {
    /// As the story sees it.
    platform: Arc<dyn Platform>,
    served: Option<Served>,
}

struct Served {
    server: Server,
    platform: Arc<dyn Platform>,
}

impl Deployment {
    /// All of it below a folder.
    pub async fn embedded(configure: fn(&mut Config)) -> Self {
        Self::over(StoresConfig::default(), configure).await
    }

    /// One process over the servers that a deployment has, each in a place of its own there.
    pub async fn on_real_engines(configure: fn(&mut Config)) -> Self {
        Self::over(real_engines(), configure).await
    }

    /// One process over stores that may hold something already.
    pub async fn over(stores: StoresConfig, configure: fn(&mut Config)) -> Self {
        Self::reached(Way::InProcess, stores, configure).await
    }

    /// All of it below a folder, behind a port, and seen from the other end of it.
    pub async fn over_http(configure: fn(&mut Config)) -> Self {
        Self::reached(Way::OverHttp, StoresConfig::default(), configure).await
    }

    async fn reached(way: Way, stores: StoresConfig, configure: fn(&mut Config)) -> Self {
        let folder = twinfold_testkit::temp_dir();
        let running = start(way, folder.path(), &stores, configure).await;
        Self {
            folder,
            stores,
            configure,
            way,
            running,
        }
    }

    pub fn platform(&self) -> &dyn Platform {
        self.running.platform.as_ref()
    }

    /// Where the platform answers, when it is behind a port.
    pub fn address(&self) -> Option<SocketAddr> {
        let served = self.running.served.as_ref();
        served.map(|served| served.server.address())
    }

    pub fn folder(&self) -> PathBuf {
        self.folder.path().to_owned()
    }

    /// An orderly end and a new start.
    pub async fn restart(&mut self) {
        self.restart_with(self.configure).await;
    }

    /// The same with other settings from now on.
    pub async fn restart_with(&mut self, configure: fn(&mut Config)) {
        self.configure = configure;
        self.stop().await;
        self.start().await;
    }

    /// Appends what no writer of ours would: as a foreign producer does, past every check.
    pub async fn append_raw(&mut self, topic: &str, appends: Vec<Append>) -> Vec<Appended> {
        self.stop().await;
        let below_folder = format!("file://{}", self.folder.path().join("topic").display());
        let url = match self.stores.topic.as_str() {
            "" => &below_folder,
            url => url,
        };
        let topics = twinfold_store_topic::open(url).await.expect("topic");
        let appended = topics.append(topic, appends).await.expect("append");
        topics.sync(topic).await.expect("sync");
        topics.close().await.expect("close topic");
        drop(topics);
        self.start().await;
        appended
    }

    /// In the order of `twinfold up`: no more requests, then the platform.
    async fn stop(&self) {
        self.running.platform.close().await.expect("close");
        if let Some(served) = &self.running.served {
            served.server.stop(WAIT_MAX).await.expect("stop answering");
            served
                .platform
                .close()
                .await
                .expect("close behind the port");
        }
    }

    async fn start(&mut self) {
        self.running = start(self.way, self.folder.path(), &self.stores, self.configure).await;
    }
}

async fn start(
    way: Way,
    folder: &Path,
    stores: &StoresConfig,
    configure: fn(&mut Config),
) -> Running {
    let mut options = Options::from_env().expect("options");
    options.config.stores = stores.clone();
    configure(&mut options.config);
    let limits = options.config.http;
    let opened = twinfold_embedded::open_to_serve(folder, options).await;
    let (platform, schemas) = opened.expect("open");
    match way {
        Way::InProcess => Running {
            platform,
            served: None,
        },
        Way::OverHttp => {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
            let listener = listener.expect("a free port");
            let server = Server::start(listener, Arc::clone(&platform), schemas, limits);
            let server = server.expect("server");
            let url = format!("http://{}", server.address());
            let remote = RemotePlatform::connect(&url).await.expect("connect");
            Running {
                platform: Arc::new(remote),
                served: Some(Served { server, platform }),
            }
        }
    }
}

/// A place of its own on each of the servers.
pub fn real_engines() -> StoresConfig {
    // A keyspace has at most 48 characters.
    let place = format!("story_{}", uuid::Uuid::new_v4().simple());
    let servers = servers();
    StoresConfig {
        metadata: servers.postgres_schema(&place),
        topic: format!(
            "kafka://{}?topic_prefix={place}.",
            servers.kafka_bootstrap_servers
        ),
        online: format!(
            "scylla://{}/{place}?replication=1",
            servers.cassandra_contact_points
        ),
        offline: servers.s3.url(&place),
    }
}
