//! The registry: what every byte means, and the controller that makes it so.
//!
//! A call writes what should be into the metadata store, in one transaction; the reconcile loop makes
//! topics and tables so and says in the group's state how far it is. Rows pass it by. The entry type is
//! [`Registry`]; its loop is [`Registry::run`]. [`LocalRegistry`] is what a platform in the same process
//! sees of it, [`http`] what those in others do.

mod avro;
mod changes;
mod controller;
mod error;
mod feature_groups;
mod feature_views;
mod foreign;
pub mod http;
mod local;
mod metrics;
mod projects;
mod quarantine;
mod query_check;
mod reconcile;
mod revision;
mod schemas;
pub mod service;
pub mod subjects;
mod suggestion;
mod training_datasets;
mod users;
mod waiting;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use twinfold_client::GroupDefinition;
use twinfold_model::EventTime;
use twinfold_service_kit::Clock;
use twinfold_store_metadata::{GroupRecord, MetadataStore};
use twinfold_store_offline::OfflineStore;
use twinfold_store_online::OnlineStore;
use twinfold_store_topic::TopicStore;
use twinfold_wire::rest::GroupRecordBody;

pub use controller::Pass;
pub use error::{Error, Result};
pub use foreign::{ForeignConfig, ForeignError, ForeignRegistry};
pub use local::LocalRegistry;

/// The stores that the registry rules over.
#[derive(Debug, Clone)]
pub struct Stores {
    pub metadata: Arc<dyn MetadataStore>,
    pub topics: Arc<dyn TopicStore>,
    pub online: Arc<dyn OnlineStore>,
    pub offline: Arc<dyn OfflineStore>,
}

#[derive(Debug, Clone)]
pub struct Config {
    /// Records of a topic older than this may be forgotten; kept for ever when `None`.
    pub topic_retention: Option<Duration>,
    /// The oldest records of a partition may be forgotten when it holds more than this.
    pub topic_retention_bytes_max: Option<u64>,
    /// Wait after the first failure of a group; doubled with each further one.
    pub retry_delay_min: Duration,
    pub retry_delay_max: Duration,
    /// How long one call to a store may take before it counts as failed.
    pub step_timeout: Duration,
    /// The loop looks for unfinished work this often even if nobody woke it.
    pub resync_interval: Duration,
    /// How often the feed is asked what other processes have changed.
    pub feed_poll: Duration,
    /// Keeps the schemas of feature groups and gives them their ids; the registry itself does when `None`.
    pub foreign: Option<ForeignRegistry>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            topic_retention: None,
            topic_retention_bytes_max: None,
            retry_delay_min: Duration::from_millis(200),
            retry_delay_max: Duration::from_secs(60),
            step_timeout: Duration::from_secs(60),
            resync_interval: Duration::from_secs(30),
            feed_poll: Duration::from_millis(250),
            foreign: None,
        }
    }
}

/// Definitions and their life. Clones are handles to the same registry.
#[derive(Debug, Clone)]
pub struct Registry {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    stores: Stores,
    clock: Arc<dyn Clock>,
    config: Config,
    /// The sequence of the newest change.
    newest_change: watch::Sender<u64>,
    /// Wakes the reconcile loop.
    work: Notify,
    failures: Mutex<reconcile::Failures>,
    /// One pass of this process at a time; the metadata store's lease keeps those of others away.
    pass: tokio::sync::Mutex<()>,
}

impl Registry {
    pub async fn open(stores: Stores, clock: Arc<dyn Clock>, config: Config) -> Result<Self> {
        let registry = Self {
            inner: Arc::new(Inner {
                stores,
                clock,
                config,
                newest_change: watch::Sender::new(0),
                work: Notify::new(),
                failures: Mutex::default(),
                pass: tokio::sync::Mutex::default(),
            }),
        };
        registry.read_feed().await?;
        Ok(registry)
    }

    pub fn stores(&self) -> &Stores {
        &self.inner.stores
    }

    fn metadata(&self) -> &dyn MetadataStore {
        self.inner.stores.metadata.as_ref()
    }

    fn now(&self) -> EventTime {
        EventTime::from_micros(self.inner.clock.now_us())
    }
}

fn definition(record: GroupRecord) -> GroupDefinition {
    GroupDefinition {
        group: record.group,
        state: record.state,
        resource: record.resource,
        schema: record.schema,
    }
}

fn record_body(record: &GroupRecord) -> GroupRecordBody {
    GroupRecordBody {
        group: (&record.group).into(),
        state: (&record.state).into(),
        resource: record.resource.clone(),
        schema: record.schema.0,
        revision: record.revision,
        created_at_us: record.created_at.micros(),
    }
}
