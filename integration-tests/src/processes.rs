use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use twinfold_client::Writer;
use twinfold_client::remote::RemoteRegistry;
use twinfold_embedded::StoresConfig;
use twinfold_store_topic::TopicStore;
use twinfold_testkit::eventually;

/// Long enough for a service to open its stores on a busy machine.
const START_MAX: Duration = Duration::from_secs(60);

/// A deployment: services as processes over real engines.
pub struct Processes {
    pub stores: StoresConfig,
    pub registry: ServiceProcess,
    pub onlinefs: Vec<ServiceProcess>,
    pub offlinefs: Vec<ServiceProcess>,
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
        Self::over(crate::real_engines(), onlinefs, offlinefs, None).await
    }

    /// The same over stores that may hold something already; what the processes log goes into files of a
    /// folder, if one is named.
    pub async fn over(
        stores: StoresConfig,
        onlinefs: usize,
        offlinefs: usize,
        logs: Option<&Path>,
    ) -> Self {
        let http = free_address();
        let url = |section: &str, url: &str| (format!("{section}__URL"), url.to_owned());
        let mut registry = ServiceProcess::new(
            "twinfold-registry",
            vec![
                ("HTTP__ADDRESS".to_owned(), http.to_string()),
                url("METADATA", &stores.metadata),
                url("TOPIC", &stores.topic),
                url("ONLINE", &stores.online),
                url("OFFLINE", &stores.offline),
            ],
            logs.map(|folder| folder.join("registry.log")),
        );
        registry.start().await;
        let common = [
            url("REGISTRY", &format!("http://{http}")),
            url("TOPIC", &stores.topic),
        ];
        let materializer = |name, number: usize, store| {
            let settings = common.iter().cloned().chain([store]);
            let log = logs.map(|folder| folder.join(format!("{name}-{number}.log")));
            ServiceProcess::new(name, settings.collect(), log)
        };
        let mut processes = Self {
            registry,
            onlinefs: (0..onlinefs)
                .map(|at| materializer("twinfold-onlinefs", at, url("ONLINE", &stores.online)))
                .collect(),
            offlinefs: (0..offlinefs)
                .map(|at| materializer("twinfold-offlinefs", at, url("OFFLINE", &stores.offline)))
                .collect(),
            stores,
        };
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
        let address = &self.registry.settings[0].1;
        let registry = RemoteRegistry::connect(&format!("http://{address}")).await;
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
        let materializers = self.onlinefs.iter_mut().chain(&mut self.offlinefs);
        for process in materializers {
            process.stop();
        }
        self.registry.stop();
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
