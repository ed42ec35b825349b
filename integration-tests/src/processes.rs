use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use twinfold_client::Writer;
use twinfold_client::remote::RemoteRegistry;
use twinfold_embedded::{Config, Options, StoresConfig};
use twinfold_store_topic::TopicStore;
use twinfold_testkit::eventually;

/// Long enough for a service to open its stores on a busy machine.
const START_MAX: Duration = Duration::from_secs(60);

const HTTP_ADDRESS: &str = "HTTP__ADDRESS";

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

/// One service, which can be killed and started again.
pub struct ServiceProcess {
    name: &'static str,
    settings: Vec<(String, String)>,
    admin: SocketAddr,
    log: Option<PathBuf>,
    child: Option<Child>,
}

/// What a process is told without being asked.
#[derive(Debug, Clone, Copy)]
pub enum Signal {
    /// It does nothing until told to continue, and keeps its connections.
    Stop,
    Continue,
}

impl Processes {
    /// One registry, and as many materializers of each kind as asked for.
    pub async fn start(onlinefs: usize, offlinefs: usize) -> Self {
        let config = Options::from_env().expect("options").config;
        Self::over(crate::real_engines(), &config, onlinefs, offlinefs, None).await
    }

    /// The same over stores that may hold something already, with what an embedded platform would be told;
    /// what the processes log goes into files of a folder, if one is named.
    pub async fn over(
        stores: StoresConfig,
        config: &Config,
        onlinefs: usize,
        offlinefs: usize,
        logs: Option<&Path>,
    ) -> Self {
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
        processes.registry.start().await;
        let materializers = processes
            .onlinefs
            .iter_mut()
            .chain(&mut processes.offlinefs);
        for process in materializers {
            process.start().await;
        }
        processes
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

type Setting = (String, String);

fn setting(key: &str, value: impl ToString) -> Setting {
    (key.to_owned(), value.to_string())
}

impl Settings<'_> {
    fn registry(&self) -> ServiceProcess {
        let settings = vec![
            setting(HTTP_ADDRESS, self.registry),
            setting("METADATA__URL", &self.stores.metadata),
            setting("TOPIC__URL", &self.stores.topic),
            setting("TOPIC__RETENTION_HOURS", self.config.topic.retention_hours),
            setting("ONLINE__URL", &self.stores.online),
            setting("OFFLINE__URL", &self.stores.offline),
        ];
        self.process("twinfold-registry", 0, settings)
    }

    fn onlinefs(&self, at: usize) -> ServiceProcess {
        let mut settings = self.of_materializers();
        settings.push(setting("ONLINE__URL", &self.stores.online));
        self.process("twinfold-onlinefs", at, settings)
    }

    fn offlinefs(&self, at: usize) -> ServiceProcess {
        let history = &self.config.history;
        let mut settings = self.of_materializers();
        settings.extend([
            setting("OFFLINE__URL", &self.stores.offline),
            setting("HISTORY__COMPACTION_COMMITS", history.compaction_commits),
            setting("HISTORY__RETENTION_HOURS", history.retention_hours),
        ]);
        self.process("twinfold-offlinefs", at, settings)
    }

    fn api(&self) -> ServiceProcess {
        let settings = vec![
            setting(HTTP_ADDRESS, free_address()),
            setting("REGISTRY__URL", format!("http://{}", self.registry)),
            setting("TOPIC__URL", &self.stores.topic),
            setting("TOPIC__PARTITIONS", self.config.topic.partitions),
            setting("ONLINE__URL", &self.stores.online),
            setting("OFFLINE__URL", &self.stores.offline),
            setting("DATASETS__URL", &self.stores.offline),
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
            setting("TOPIC__URL", &self.stores.topic),
            setting("TOPIC__FUTURE_SKEW_MS_MAX", topic.future_skew_ms_max),
            setting("MAINTENANCE__INTERVAL_S", platform.maintenance_interval_s),
        ]
    }
}

impl ServiceProcess {
    fn new(name: &'static str, settings: Vec<(String, String)>, log: Option<PathBuf>) -> Self {
        Self {
            name,
            settings,
            admin: free_address(),
            log,
            child: None,
        }
    }

    /// Another one with the same settings, at ports of its own.
    pub fn twin(&self) -> Self {
        let mut settings = self.settings.clone();
        for (key, value) in &mut settings {
            if key == HTTP_ADDRESS {
                *value = free_address().to_string();
            }
        }
        Self::new(self.name, settings, None)
    }

    /// Where it answers, when it is one that does.
    pub fn url(&self) -> String {
        let mut settings = self.settings.iter();
        let address = settings.find(|(key, _)| key == HTTP_ADDRESS);
        format!("http://{}", address.expect("an HTTP port").1)
    }

    /// Starts the process and waits until it is ready.
    pub async fn start(&mut self) {
        let mut command = Command::new(binary(self.name));
        command
            .env("TWINFOLD__PROCESS__ADMIN_ADDRESS", self.admin.to_string())
            .env("TWINFOLD__PROCESS__LOG_FILTER", "warn,scylla=error")
            .stdin(Stdio::null());
        for (key, value) in &self.settings {
            command.env(format!("TWINFOLD__{key}"), value);
        }
        if let Some(log) = &self.log {
            let opened = File::options().create(true).append(true).open(log);
            command.stderr(opened.expect("a file for the log"));
        }
        let child = command.spawn();
        self.child = Some(child.unwrap_or_else(|error| {
            panic!(
                "{}: {error}; `cargo build --workspace --bins` makes it",
                self.name
            )
        }));
        eventually(START_MAX, || async { self.is_ready() }).await;
    }

    fn is_ready(&self) -> bool {
        let check = Command::new(binary(self.name))
            .arg("healthcheck")
            .env("TWINFOLD__PROCESS__ADMIN_ADDRESS", self.admin.to_string())
            .stderr(Stdio::null())
            .status();
        check.is_ok_and(|status| status.success())
    }

    pub fn signal(&self, signal: Signal) {
        let name = match signal {
            Signal::Stop => "-STOP",
            Signal::Continue => "-CONT",
        };
        let child = self.child.as_ref().expect("it runs");
        let id = child.id().to_string();
        let sent = Command::new("kill").args([name, &id]).status();
        assert!(sent.is_ok_and(|status| status.success()), "kill {name}");
    }

    /// As the machine would when it loses power: nothing is told.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("it can be killed");
            child.wait().expect("it has ended");
        }
    }

    pub fn stop(&mut self) {
        let Some(mut child) = self.child.take() else {
            return;
        };
        let asked = Command::new("kill").arg(child.id().to_string()).status();
        assert!(asked.is_ok_and(|status| status.success()), "kill");
        let ended = child.wait().expect("it has ended");
        assert!(ended.success(), "{}: {ended}", self.name);
    }
}

impl Drop for ServiceProcess {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Beside the folder of the test programs.
fn binary(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("this program has a path");
    let folder = test.parent().and_then(std::path::Path::parent);
    folder.expect("two folders up").join(name)
}

/// None of those that the system gives to clients: a service that was killed wants its port back.
fn free_address() -> SocketAddr {
    const FIRST_PORT: u16 = 10_000;
    const PORTS: u16 = 22_000;
    const TRIES_MAX: usize = 1_000;
    let candidates = (0..TRIES_MAX).map(|_| {
        let (random, _) = uuid::Uuid::new_v4().as_u64_pair();
        FIRST_PORT + (random % u64::from(PORTS)) as u16
    });
    let mut free = candidates.filter_map(|port| {
        let probe = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok()?;
        probe.local_addr().ok()
    });
    free.next().expect("a free port")
}
