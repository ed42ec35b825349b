//! Stores that remember what exists and fail where they are told to.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arrow::datatypes::{Schema, SchemaRef};
use async_trait::async_trait;
use bytes::Bytes;
use tempfile::TempDir;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use twinfold_model::{AsOf, Commit, EventTime, Positions};
use twinfold_registry::{Config, ForeignRegistry, Registry, Stores};
use twinfold_service_kit::{ManualClock, TaskGroup};
use twinfold_store_metadata::MetadataStore;
use twinfold_store_offline::{AppendRequest, OfflineStore, Snapshot};
use twinfold_store_online::{OnlineStore, ScanPage, StoredRow, TableConfig, Upsert, UpsertStats};
use twinfold_store_topic::{Append, Appended, Bounds, Subscription, TopicConfig, TopicStore};

/// How a call goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing happens and the call says so.
    Refuses,
    /// It happens, but the answer is lost.
    LosesAnswer,
    /// It happens, but nobody hears of it before the world heals, or ever if the process dies first.
    Hangs,
}

pub const CREATE_CALLS: [&str; 3] = ["create history", "create online", "create topic"];
pub const DROP_CALLS: [&str; 3] = ["drop topic", "drop online", "drop history"];

/// The topics and tables there are: kind and name, with their configuration as text.
pub type Resources = BTreeMap<(&'static str, String), String>;

#[derive(Debug, Default)]
pub struct World {
    resources: Mutex<Resources>,
    fault: Mutex<Option<(&'static str, Fault)>>,
    calls: Mutex<Vec<&'static str>>,
    healed: Notify,
}

impl World {
    pub fn breaks(&self, call: &'static str, fault: Fault) {
        *self.fault.lock().expect("whole") = Some((call, fault));
    }

    pub fn heals(&self) {
        *self.fault.lock().expect("whole") = None;
        self.healed.notify_waiters();
    }

    pub fn resources(&self) -> Resources {
        self.resources.lock().expect("whole").clone()
    }

    pub fn kinds(&self) -> Vec<&'static str> {
        self.resources().into_keys().map(|(kind, _)| kind).collect()
    }

    /// Calls since the last look.
    pub fn calls(&self) -> Vec<&'static str> {
        std::mem::take(&mut *self.calls.lock().expect("whole"))
    }

    async fn call(
        &self,
        call: &'static str,
        change: impl FnOnce(&mut Resources) + Send,
    ) -> Result<(), std::io::Error> {
        self.calls.lock().expect("whole").push(call);
        let armed = *self.fault.lock().expect("whole");
        let fault = armed
            .filter(|(broken, _)| *broken == call)
            .map(|(_, fault)| fault);
        if fault != Some(Fault::Refuses) {
            change(&mut self.resources.lock().expect("whole"));
        }
        match fault {
            None => Ok(()),
            Some(Fault::Hangs) => {
                self.healed.notified().await;
                Ok(())
            }
            Some(_) => Err(std::io::Error::other("disk full")),
        }
    }
}

/// For requests that nobody waits for.
pub fn tasks() -> TaskGroup {
    TaskGroup::new(Handle::current())
}

/// A platform's stores, which outlive the registry.
pub struct Place {
    pub world: Arc<World>,
    pub metadata: Arc<dyn MetadataStore>,
    pub clock: Arc<ManualClock>,
    _folder: TempDir,
}

impl Place {
    pub async fn new() -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let url = format!("sqlite://{}", folder.path().join("metadata.db").display());
        Self {
            world: Arc::default(),
            metadata: twinfold_store_metadata::open(&url).await.expect("opens"),
            clock: Arc::new(ManualClock::at(1_700_000_000_000_000)),
            _folder: folder,
        }
    }

    /// A registry that knows only what is stored, as after a restart.
    pub async fn registry(&self) -> Registry {
        self.registry_with(None).await
    }

    /// The same beside a registry that keeps the schemas.
    pub async fn registry_with(&self, foreign: Option<ForeignRegistry>) -> Registry {
        let stores = Stores {
            metadata: Arc::clone(&self.metadata),
            topics: Arc::new(Topics(Arc::clone(&self.world))),
            online: Arc::new(Online(Arc::clone(&self.world))),
            offline: Arc::new(Offline(Arc::clone(&self.world))),
        };
        let config = Config {
            retry_delay_min: Duration::from_millis(5),
            retry_delay_max: Duration::from_millis(20),
            foreign,
            ..Config::default()
        };
        let clock = Arc::clone(&self.clock) as _;
        Registry::open(stores, clock, config).await.expect("opens")
    }
}

/// The names of a table's columns, as [`Resources`] keeps them.
pub fn columns(schema: &Schema) -> String {
    let names: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
    names.join(" ")
}

#[derive(Debug)]
struct Topics(Arc<World>);
#[derive(Debug)]
struct Online(Arc<World>);
#[derive(Debug)]
struct Offline(Arc<World>);

const UNUSED: &str = "the registry creates and drops, nothing else";

#[async_trait]
impl TopicStore for Topics {
    async fn create(&self, topic: &str, config: &TopicConfig) -> twinfold_store_topic::Result<()> {
        let key = ("topic", topic.to_owned());
        let text = format!("{} partitions", config.partitions);
        let created = self.0.call("create topic", |all| {
            all.insert(key, text);
        });
        created.await.map_err(topic_error)
    }

    async fn drop_topic(&self, topic: &str) -> twinfold_store_topic::Result<()> {
        let key = ("topic", topic.to_owned());
        let dropped = self.0.call("drop topic", |all| {
            all.remove(&key);
        });
        dropped.await.map_err(topic_error)
    }

    async fn append(&self, _: &str, _: Vec<Append>) -> twinfold_store_topic::Result<Vec<Appended>> {
        unreachable!("{UNUSED}")
    }

    async fn sync(&self, _: &str) -> twinfold_store_topic::Result<()> {
        unreachable!("{UNUSED}")
    }

    async fn enforce_retention(&self, _: &str) -> twinfold_store_topic::Result<()> {
        unreachable!("{UNUSED}")
    }

    async fn bounds(&self, _: &str) -> twinfold_store_topic::Result<Vec<Bounds>> {
        unreachable!("{UNUSED}")
    }

    async fn progress(&self, _: &str, _: &str) -> twinfold_store_topic::Result<Positions> {
        unreachable!("{UNUSED}")
    }

    async fn subscribe(
        &self,
        _: &str,
        _: &str,
    ) -> twinfold_store_topic::Result<Box<dyn Subscription>> {
        unreachable!("{UNUSED}")
    }

    async fn close(&self) -> twinfold_store_topic::Result<()> {
        unreachable!("{UNUSED}")
    }
}

fn topic_error(source: std::io::Error) -> twinfold_store_topic::Error {
    twinfold_store_topic::Error::Io {
        path: "/topics".into(),
        source,
    }
}

#[async_trait]
impl OnlineStore for Online {
    async fn create_table(
        &self,
        table: &str,
        config: TableConfig,
    ) -> twinfold_store_online::Result<()> {
        let key = ("online", table.to_owned());
        let text = format!("ttl {:?}", config.ttl);
        let created = self.0.call("create online", |all| {
            all.insert(key, text);
        });
        created.await.map_err(online_error)
    }

    async fn drop_table(&self, table: &str) -> twinfold_store_online::Result<()> {
        let key = ("online", table.to_owned());
        let dropped = self.0.call("drop online", |all| {
            all.remove(&key);
        });
        dropped.await.map_err(online_error)
    }

    async fn upsert(&self, _: &str, _: &[Upsert]) -> twinfold_store_online::Result<UpsertStats> {
        unreachable!("{UNUSED}")
    }

    async fn read(
        &self,
        _: &str,
        _: &[&[u8]],
    ) -> twinfold_store_online::Result<Vec<Option<StoredRow>>> {
        unreachable!("{UNUSED}")
    }

    async fn scan(
        &self,
        _: &str,
        _: Option<Bytes>,
        _: usize,
    ) -> twinfold_store_online::Result<ScanPage> {
        unreachable!("{UNUSED}")
    }

    async fn expire(&self, _: EventTime) -> twinfold_store_online::Result<()> {
        unreachable!("{UNUSED}")
    }

    async fn flush(&self) -> twinfold_store_online::Result<()> {
        unreachable!("{UNUSED}")
    }

    async fn close(&self) -> twinfold_store_online::Result<()> {
        unreachable!("{UNUSED}")
    }
}

fn online_error(source: std::io::Error) -> twinfold_store_online::Error {
    twinfold_store_online::Error::Io {
        path: "/online".into(),
        source,
    }
}

#[async_trait]
impl OfflineStore for Offline {
    async fn create_table(
        &self,
        table: &str,
        schema: SchemaRef,
    ) -> twinfold_store_offline::Result<()> {
        let key = ("history", table.to_owned());
        let text = columns(&schema);
        let created = self.0.call("create history", |all| {
            all.insert(key, text);
        });
        Ok(created.await?)
    }

    async fn drop_table(&self, table: &str) -> twinfold_store_offline::Result<()> {
        let key = ("history", table.to_owned());
        let dropped = self.0.call("drop history", |all| {
            all.remove(&key);
        });
        Ok(dropped.await?)
    }

    async fn append(&self, _: &str, _: AppendRequest) -> twinfold_store_offline::Result<Commit> {
        unreachable!("{UNUSED}")
    }

    async fn positions(&self, _: &str) -> twinfold_store_offline::Result<Positions> {
        unreachable!("{UNUSED}")
    }

    async fn commits(
        &self,
        _: &str,
        _: Option<u64>,
        _: usize,
    ) -> twinfold_store_offline::Result<Vec<Commit>> {
        unreachable!("{UNUSED}")
    }

    async fn snapshot(&self, _: &str, _: Option<AsOf>) -> twinfold_store_offline::Result<Snapshot> {
        unreachable!("{UNUSED}")
    }

    async fn compact(&self, _: &str) -> twinfold_store_offline::Result<Option<u64>> {
        unreachable!("{UNUSED}")
    }

    async fn vacuum(&self, _: &str, _: u64, _: &[u64]) -> twinfold_store_offline::Result<u64> {
        unreachable!("{UNUSED}")
    }
}
