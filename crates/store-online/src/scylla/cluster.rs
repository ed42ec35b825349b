//! The connection to the servers, and the tables that this process has used.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ::scylla::client::execution_profile::ExecutionProfile;
use ::scylla::client::session::Session;
use ::scylla::client::session_builder::SessionBuilder;
use ::scylla::policies::load_balancing::{DefaultPolicy, LoadBalancingPolicy};
use tokio::sync::Semaphore;

use super::catalog::{Catalog, Entry};
use super::failure::{Failure, Kind};
use super::options::ScyllaOptions;
use super::replica::Replicas;
use super::table::Table;
use crate::{Error, Result, TableConfig};

/// How often a connection is asked whether it is alive, and how long it has for the answer: what a network
/// swallows without a word is noticed after both. Meanwhile requests over it time out one by one.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(super) struct Cluster {
    pub session: Session,
    pub options: ScyllaOptions,
    pub catalog: Catalog,
    /// Requests that may still begin to write.
    pub writes: Semaphore,
    /// The driver's own choice of nodes.
    default_route: Arc<dyn LoadBalancingPolicy>,
    /// By name. A table that another process drops stays here until its statements fail or it is forgotten.
    tables: Mutex<HashMap<String, Arc<Table>>>,
}

impl Cluster {
    pub async fn connect(options: ScyllaOptions) -> Result<Self> {
        options.check()?;
        let session = open_session(&options).await?;
        let catalog = Catalog::open(&session, &options).await;
        let catalog = catalog
            .map_err(|failure| failure.of("the keyspace cannot be opened", &options.keyspace))?;
        Ok(Self {
            session,
            catalog,
            writes: Semaphore::new(options.batches_in_flight_max),
            default_route: DefaultPolicy::builder().build(),
            tables: Mutex::default(),
            options,
        })
    }

    pub async fn create_table(&self, name: &str, config: TableConfig) -> Result<()> {
        let entry = Entry {
            name: name.to_owned(),
            ttl: config.ttl,
        };
        let changed = match self.catalog.find(&self.session, name).await? {
            None => self.catalog.create(&self.session, &entry).await,
            Some(found) if found != entry => self.catalog.configure(&self.session, &entry).await,
            Some(_) => Ok(()),
        };
        changed.map_err(|failure| failure.of("it cannot be made", name))
    }

    pub async fn drop_table(&self, name: &str) -> Result<()> {
        self.forget(name);
        if self.catalog.find(&self.session, name).await?.is_none() {
            return Ok(());
        }
        let dropped = self.catalog.remove(&self.session, name).await;
        dropped.map_err(|failure| failure.of("it cannot be dropped", name))
    }

    /// The table, looked up when this process has not used it yet.
    pub async fn table(&self, name: &str) -> Result<Arc<Table>> {
        let known = self.tables().get(name).cloned();
        if let Some(table) = known {
            return Ok(table);
        }
        if self.catalog.find(&self.session, name).await?.is_none() {
            return Err(unknown(name));
        }
        let table = match Table::prepare(&self.session, &self.options.keyspace, name).await {
            Ok(table) => Arc::new(table),
            Err(failure) => return Err(self.failed("it cannot be opened", name, failure).await),
        };
        self.tables().insert(name.to_owned(), Arc::clone(&table));
        Ok(table)
    }

    /// The error of `action` on a table. The servers call the statements of a table that is gone
    /// invalid, each in words of its own; so they are asked whether it is there.
    pub async fn failed(&self, action: &'static str, table: &str, failure: Failure) -> Error {
        if failure.kind == Kind::Invalid {
            let found = self.catalog.find(&self.session, table).await;
            if let Ok(None) = found {
                self.forget(table);
                return unknown(table);
            }
        }
        failure.of(action, table)
    }

    pub fn replicas<'a>(&'a self, table: &'a Table) -> Replicas<'a> {
        Replicas::new(
            self.session.get_cluster_state(),
            &table.spec,
            self.options.datacenter.as_deref(),
            &self.default_route,
        )
    }

    pub fn forget(&self, table: &str) {
        self.tables().remove(table);
    }

    fn tables(&self) -> MutexGuard<'_, HashMap<String, Arc<Table>>> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn unknown(table: &str) -> Error {
    Error::UnknownTable {
        table: table.to_owned(),
    }
}

async fn open_session(options: &ScyllaOptions) -> Result<Session> {
    let profile = ExecutionProfile::builder()
        .consistency(options.consistency.into())
        .request_timeout(Some(options.request_timeout()))
        .build();
    let mut builder = SessionBuilder::new()
        .known_nodes(&options.contact_points)
        .default_execution_profile_handle(profile.into_handle())
        .pool_size(options.pool_size())
        .connection_timeout(options.connect_timeout())
        .keepalive_interval(KEEPALIVE_INTERVAL)
        .keepalive_timeout(KEEPALIVE_TIMEOUT)
        .schema_agreement_timeout(options.schema_timeout())
        // Enough to find replicas; other keyspaces may hold thousands of tables.
        .keyspaces_to_fetch([&options.keyspace])
        .fetch_full_schema_metadata(false);
    if let Some(datacenter) = &options.datacenter {
        builder = builder.prefer_datacenter(datacenter.clone());
    }
    if let Some(credentials) = &options.credentials {
        builder = builder.user(&credentials.user, &credentials.password);
    }
    // Boxed, or everyone who opens a store would carry the driver's large future.
    let session = Box::pin(builder.build()).await;
    session.map_err(|source| Error::Connect {
        contact_points: options.contact_points.join(","),
        source: Box::new(source),
    })
}
