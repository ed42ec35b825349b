use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use futures::future::LocalBoxFuture;
use twinfold_client::Writer;
use twinfold_client::remote::RemoteRegistry;
use twinfold_embedded::{Config, Options, StoresConfig};
use twinfold_store_topic::TopicStore;
use twinfold_testkit::{HTTP_ADDRESS, ServiceProcess, free_address};

/// A deployment: services as processes over real engines.
pub struct Processes {
    pub stores: StoresConfig,
    pub registry: ServiceProcess,
    pub onlinefs: Vec<ServiceProcess>,
    pub offlinefs: Vec<ServiceProcess>,
    /// Runs once it is started.
    pub api: ServiceProcess,
}

/// What a program of a user has in hand.
pub struct Client {
    pub registry: Arc<RemoteRegistry>,
    pub topics: Arc<dyn TopicStore>,
    pub writer: Writer,
}

impl Processes {
    /// One registry, and as many materializers of each kind as asked for.
    pub async fn start(onlinefs: usize, offlinefs: usize) -> Self {
        let config = Options::from_env().expect("options").config;
        Self::over(crate::real_engines(), &config, onlinefs, offlinefs, None).await
    }

    /// The same over stores that may hold something already, with what an embedded platform would be told;
    /// what the processes log goes into files of a folder, if one is named.
    pub fn over(
        stores: StoresConfig,
        config: &Config,
        onlinefs: usize,
        offlinefs: usize,
        logs: Option<&Path>,
    ) -> LocalBoxFuture<'static, Self> {
        let settings = Settings {
            stores: &stores,
            config,
            registry: free_address(),
            logs,
        };
        let mut processes = Self {
            registry: settings.registry(),
            onlinefs: (0..onlinefs).map(|at| settings.onlinefs(at)).collect(),
            offlinefs: (0..offlinefs).map(|at| settings.offlinefs(at)).collect(),
            api: settings.api(),
            stores,
        };
        // Boxed: compiled here, and not by each test program.
        Box::pin(async move {
            processes.registry.start().await;
            let materializers = processes
                .onlinefs
                .iter_mut()
                .chain(&mut processes.offlinefs);
            for process in materializers {
                process.start().await;
            }
            processes
        })
    }

    pub async fn client(&self) -> Client {
        self.client_over(&self.stores.topic).await
    }

    /// A client with a way of its own to the topics.
    pub async fn client_over(&self, topic_url: &str) -> Client {
        let registry = RemoteRegistry::connect(&self.registry.url()).await;
        let registry = Arc::new(registry.expect("the registry answers"));
        let topics = twinfold_store_topic::open(topic_url).await;
        let topics = topics.expect("topics");
        Client {
            writer: Writer::new(Arc::clone(&topics), Arc::clone(&registry) as _),
            registry,
            topics,
        }
    }

    /// Ends all of them in the orderly way.
    pub fn stop(&mut self) {
        self.api.stop();
        let materializers = self.onlinefs.iter_mut().chain(&mut self.offlinefs);
        for process in materializers {
            process.stop();
        }
        self.registry.stop();
    }
}

/// What each service is told.
struct Settings<'a> {
    stores: &'a StoresConfig,
    config: &'a Config,
    registry: SocketAddr,
    logs: Option<&'a Path>,
}

type Setting = (&'static str, String);

fn setting(key: &'static str, value: impl ToString) -> Setting {
    (key, value.to_string())
}

impl Settings<'_> {
    fn registry(&self) -> ServiceProcess {
        let settings = vec![
            setting(HTTP_ADDRESS, self.registry),
            setting("METADATA__URL", &*self.stores.metadata),
            setting("TOPIC__URL", &*self.stores.topic),
            setting("TOPIC__RETENTION_HOURS", self.config.topic.retention_hours),
            setting("ONLINE__URL", &*self.stores.online),
            setting("OFFLINE__URL", &*self.stores.offline),
        ];
        self.process("twinfold-registry", 0, settings)
    }

    fn onlinefs(&self, at: usize) -> ServiceProcess {
        let mut settings = self.of_materializers();
        settings.push(setting("ONLINE__URL", &*self.stores.online));
        self.process("twinfold-onlinefs", at, settings)
    }

    fn offlinefs(&self, at: usize) -> ServiceProcess {
        let history = &self.config.history;
        let mut settings = self.of_materializers();
        settings.extend([
            setting("OFFLINE__URL", &*self.stores.offline),
            setting("HISTORY__COMPACTION_COMMITS", history.compaction_commits),
            setting("HISTORY__RETENTION_HOURS", history.retention_hours),
        ]);
        self.process("twinfold-offlinefs", at, settings)
    }

    fn api(&self) -> ServiceProcess {
        let settings = vec![
            setting(HTTP_ADDRESS, free_address()),
            setting("REGISTRY__URL", format!("http://{}", self.registry)),
            setting("TOPIC__URL", &*self.stores.topic),
            setting("TOPIC__PARTITIONS", self.config.topic.partitions),
            setting("ONLINE__URL", &*self.stores.online),
            setting("OFFLINE__URL", &*self.stores.offline),
            setting("DATASETS__URL", &*self.stores.offline),
        ];
        self.process("twinfold-api", 0, settings)
    }

    fn process(&self, name: &'static str, at: usize, settings: Vec<Setting>) -> ServiceProcess {
        let log = self
            .logs
            .map(|folder| folder.join(format!("{name}-{at}.log")));
        ServiceProcess::new(name, settings, log)
    }

    fn of_materializers(&self) -> Vec<Setting> {
        let (topic, platform) = (&self.config.topic, &self.config.platform);
        vec![
            setting("REGISTRY__URL", format!("http://{}", self.registry)),
            setting("TOPIC__URL", &*self.stores.topic),
            setting("TOPIC__FUTURE_SKEW_MS_MAX", topic.future_skew_ms_max),
            setting("MAINTENANCE__INTERVAL_S", platform.maintenance_interval_s),
        ]
    }
}
