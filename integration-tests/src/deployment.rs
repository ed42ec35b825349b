use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::future::LocalBoxFuture;
use tempfile::TempDir;
use tokio::net::TcpListener;
use twinfold_client::Platform;
use twinfold_client::remote::RemotePlatform;
use twinfold_embedded::{Config, Options, Server, StoresConfig};
use twinfold_store_topic::{Append, Appended};
use twinfold_testkit::{Servers, ServiceProcess, servers};

use crate::{Processes, WAIT_MAX};

/// A platform that can be stopped and started again on the same data.
pub struct Deployment {
    folder: TempDir,
    stores: StoresConfig,
    configure: fn(&mut Config),
    way: Way,
    running: Running,
}

/// How the platform of a story runs, and how the story reaches it.
#[derive(Debug, Clone, Copy)]
pub enum Way {
    /// All of it in this process, below a folder.
    Embedded,
    /// One process over the servers that a deployment has, each in a place of its own there.
    OnRealEngines,
    /// All of it below a folder, behind a port, and seen from the other end of it.
    OverHttp,
    /// All services as processes over the servers, seen through the api's.
    Deployed,
}

/// What runs between two starts.
struct Running {
    /// As the story sees it.
    platform: Arc<dyn Platform>,
    behind: Behind,
}

/// What the platform that a story sees stands for.
enum Behind {
    Nothing,
    Served(Served),
    Processes(Box<Processes>),
}

struct Served {
    server: Server,
    platform: Arc<dyn Platform>,
}

impl Way {
    /// A platform that holds nothing yet.
    pub async fn deployment(self) -> Deployment {
        self.deployment_with(|_| ()).await
    }

    /// The same with other settings than the defaults.
    pub async fn deployment_with(self, configure: fn(&mut Config)) -> Deployment {
        let stores = match self {
            Self::Embedded | Self::OverHttp => StoresConfig::default(),
            Self::OnRealEngines | Self::Deployed => real_engines(),
        };
        Deployment::reached(self, stores, configure).await
    }
}

impl Deployment {
    /// One process over stores that may hold something already.
    pub async fn over(stores: StoresConfig, configure: fn(&mut Config)) -> Self {
        Self::reached(Way::OnRealEngines, stores, configure).await
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

    /// The platform for what goes on beside the story, also while that stops it. Behind a port the caller has
    /// a connection of its own, which does not end with that of the story.
    pub async fn another_caller(&self) -> Arc<dyn Platform> {
        match &self.running.behind {
            Behind::Nothing => Arc::clone(&self.running.platform),
            Behind::Served(_) | Behind::Processes(_) => connect(self.platform().url()).await,
        }
    }

    /// Where the platform answers, when it is behind a port.
    pub fn address(&self) -> Option<SocketAddr> {
        match &self.running.behind {
            Behind::Served(served) => Some(served.server.address()),
            Behind::Nothing | Behind::Processes(_) => None,
        }
    }

    /// Of the platform and of the topic, when every service is a process.
    ///
    /// # Panics
    ///
    /// When it is not.
    pub fn addresses(&self) -> (String, String) {
        let processes = self.processes();
        (processes.api.url(), self.stores.topic.to_string())
    }

    /// One more api beside the one that the story sees, when every service is a process.
    ///
    /// # Panics
    ///
    /// When it is not.
    pub async fn second_api(&self) -> ServiceProcess {
        let mut api = self.processes().api.twin();
        api.start().await;
        api
    }

    fn processes(&self) -> &Processes {
        match &self.running.behind {
            Behind::Processes(processes) => processes,
            Behind::Nothing | Behind::Served(_) => panic!("there are no services"),
        }
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
        let url = match &*self.stores.topic {
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
    async fn stop(&mut self) {
        self.running.platform.close().await.expect("close");
        match &mut self.running.behind {
            Behind::Nothing => {}
            Behind::Served(served) => {
                served.server.stop(WAIT_MAX).await.expect("stop answering");
                let closed = served.platform.close().await;
                closed.expect("close behind the port");
            }
            Behind::Processes(processes) => processes.stop(),
        }
    }

    async fn start(&mut self) {
        self.running = start(self.way, self.folder.path(), &self.stores, self.configure).await;
    }
}

fn start<'a>(
    way: Way,
    folder: &'a Path,
    stores: &'a StoresConfig,
    configure: fn(&mut Config),
) -> LocalBoxFuture<'a, Running> {
    let mut options = Options::from_env().expect("options");
    options.config.stores = stores.clone();
    configure(&mut options.config);
    // Boxed: compiled here, and not by each test program.
    Box::pin(async move {
        match way {
            Way::Embedded | Way::OnRealEngines => start_in_process(folder, options).await,
            Way::OverHttp => start_behind_port(folder, options).await,
            Way::Deployed => start_processes(stores, &options.config).await,
        }
    })
}

async fn start_in_process(folder: &Path, options: Options) -> Running {
    let opened = twinfold_embedded::open(folder, options).await;
    Running {
        platform: opened.expect("open"),
        behind: Behind::Nothing,
    }
}

async fn start_behind_port(folder: &Path, options: Options) -> Running {
    let limits = options.config.http;
    let opened = twinfold_embedded::open_to_serve(folder, options).await;
    let (platform, schemas) = opened.expect("open");
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
    let listener = listener.expect("a free port");
    let server = Server::start(listener, Arc::clone(&platform), schemas, limits);
    let server = server.expect("server");
    let remote = connect(&format!("http://{}", server.address())).await;
    Running {
        platform: remote,
        behind: Behind::Served(Served { server, platform }),
    }
}

async fn start_processes(stores: &StoresConfig, config: &Config) -> Running {
    let mut processes = Processes::over(stores.clone(), config, 1, 1, None).await;
    processes.api.start().await;
    Running {
        platform: connect(&processes.api.url()).await,
        behind: Behind::Processes(Box::new(processes)),
    }
}

async fn connect(url: &str) -> Arc<dyn Platform> {
    Arc::new(RemotePlatform::connect(url).await.expect("connect"))
}

/// A place of its own on each of the servers that all tests share.
pub fn real_engines() -> StoresConfig {
    engines_of(servers())
}

/// A place of its own on each of these servers.
pub fn engines_of(servers: &Servers) -> StoresConfig {
    // A keyspace has at most 48 characters.
    let place = format!("story_{}", uuid::Uuid::new_v4().simple());
    StoresConfig {
        metadata: servers.postgres_schema(&place).into(),
        topic: format!(
            "kafka://{}?topic_prefix={place}.",
            servers.kafka_bootstrap_servers
        )
        .into(),
        online: format!(
            "scylla://{}/{place}?replication=1",
            servers.cassandra_contact_points
        )
        .into(),
        offline: servers.s3.url(&place).into(),
    }
}
