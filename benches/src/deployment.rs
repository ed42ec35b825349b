use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::record_batch::RecordBatch;
use tempfile::TempDir;
use twinfold_client::remote::RemoteRegistry;
use twinfold_client::{Deletion, Expected, FeatureGroups as _, GroupDefinition, Writer};
use twinfold_model::{EventTime, FeatureGroup, ResourceState};
use twinfold_store_topic::TopicStore;
use twinfold_testkit::{HTTP_ADDRESS, ServiceProcess, free_address, servers};
use twinfold_wire::row::KeyEncoder;

use crate::RowPool;

const CREATE_MAX: Duration = Duration::from_secs(30);
/// Between looks at the progress of onlinefs; it commits some times a second.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// A materializer that commits nothing for this long has a fault.
const STALL_MAX: Duration = Duration::from_secs(60);
/// Keys that are read back after a run.
const CHECK_KEYS: usize = 100;

/// A registry as a process over the real servers, in places there that nobody else has, and what a
/// program of a user has in hand.
pub struct Deployment {
    registry: Arc<RemoteRegistry>,
    pub topics: Arc<dyn TopicStore>,
    pub writer: Writer,
    topic_url: String,
    /// The prefix of topics, the schema in PostgreSQL, the keyspace.
    place: String,
    registry_process: ServiceProcess,
    _history: TempDir,
}

impl Deployment {
    pub async fn start() -> Self {
        let servers = servers();
        // A keyspace has at most 48 characters.
        let place = format!("bench_{}", uuid::Uuid::new_v4().simple());
        let history = tempfile::tempdir().expect("a folder");
        let topic_url = format!(
            "kafka://{}?topic_prefix={place}.",
            servers.kafka_bootstrap_servers
        );
        let settings = vec![
            (HTTP_ADDRESS, free_address().to_string()),
            ("METADATA__URL", servers.postgres_schema(&place)),
            ("TOPIC__URL", topic_url.clone()),
            ("ONLINE__URL", cassandra_url(&place)),
            (
                "OFFLINE__URL",
                format!("file://{}", history.path().display()),
            ),
        ];
        let mut process = ServiceProcess::new("twinfold-registry", settings, None);
        process.start().await;
        let registry = RemoteRegistry::connect(&process.url()).await;
        let registry = Arc::new(registry.expect("the registry answers"));
        let topics = twinfold_store_topic::open(&topic_url).await;
        let topics = topics.expect("topics");
        Self {
            writer: Writer::new(Arc::clone(&topics), Arc::clone(&registry) as _),
            registry,
            topics,
            topic_url,
            place,
            registry_process: process,
            _history: history,
        }
    }

    pub fn keyspace(&self) -> &str {
        &self.place
    }

    pub fn cassandra_url(&self) -> String {
        cassandra_url(&self.place)
    }

    /// What the brokers call the topic of a resource.
    pub fn broker_topic(&self, resource: &str) -> String {
        format!("{}.{resource}", self.place)
    }

    /// Makes a feature group. A name is to be used once: nobody here follows what becomes of it.
    pub async fn create(&self, group: &FeatureGroup) -> Arc<GroupDefinition> {
        let created = self.registry.create_feature_group(group, CREATE_MAX).await;
        let created = created.expect("create");
        assert_eq!(created.state, ResourceState::Active, "{}", created.resource);
        created
    }

    pub async fn delete(&self, group: &FeatureGroup) {
        let deleted = self
            .registry
            .delete_feature_group(
                group.id(),
                Deletion::RefuseIfUsed,
                &Expected::Anything,
                CREATE_MAX,
            )
            .await;
        deleted.expect("delete");
    }

    /// Inserts rows as users do; returns when the brokers have all.
    pub async fn fill(&self, group: &FeatureGroup, batches: impl IntoIterator<Item = RecordBatch>) {
        for batch in batches {
            let now = EventTime::from_micros(0);
            let inserted = self.writer.insert(group.id(), vec![batch], now, &|_| ());
            inserted.await.expect("insert");
        }
    }

    /// Starts an onlinefs that writes to `online_url`.
    pub async fn onlinefs(
        &self,
        online_url: &str,
        settings: &[(&'static str, &str)],
    ) -> ServiceProcess {
        let mut all = vec![
            ("REGISTRY__URL", self.registry_process.url()),
            ("TOPIC__URL", self.topic_url.clone()),
            ("ONLINE__URL", online_url.to_owned()),
        ];
        all.extend(
            settings
                .iter()
                .map(|(key, value)| (*key, (*value).to_owned())),
        );
        let mut process = ServiceProcess::new("twinfold-onlinefs", all, None);
        process.start().await;
        process
    }

    /// Rows that onlinefs has committed.
    pub async fn passed(&self, resource: &str) -> u64 {
        let asked = Instant::now();
        loop {
            match self.topics.progress(resource, "onlinefs").await {
                Ok(progress) => return progress.iter().map(|(_, next)| next.0).sum(),
                // Brokers that have just started do not have it yet.
                Err(error) if error.retry() && asked.elapsed() < STALL_MAX => {
                    tokio::time::sleep(LOOK_EVERY).await;
                }
                Err(error) => panic!("no progress of {resource}: {error}"),
            }
        }
    }

    /// Waits until onlinefs has committed `rows` rows in all. Gives the rows per second from the first
    /// commit seen to the last: what comes before is joining the group. `look` hears of every look.
    pub async fn work_off(&self, resource: &str, rows: u64, mut look: impl FnMut(u64)) -> f64 {
        let at_start = self.passed(resource).await;
        let mut first = None;
        let mut newest = (at_start, Instant::now());
        loop {
            let passed = self.passed(resource).await;
            look(passed);
            if passed > newest.0 {
                newest = (passed, Instant::now());
            }
            if first.is_none() && passed > at_start {
                first = Some(newest);
            }
            if passed >= rows {
                let (first_passed, first_seen) = first.unwrap_or(newest);
                assert!(
                    first_passed < rows,
                    "one commit had all {rows} rows: take more"
                );
                return (rows - first_passed) as f64 / first_seen.elapsed().as_secs_f64();
            }
            let stalled = newest.1.elapsed();
            assert!(
                stalled < STALL_MAX,
                "onlinefs stands at {passed} of {rows} rows"
            );
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Reads the last of `rows` rows of a pool back from the online store.
    pub async fn check_readable(
        &self,
        online_url: &str,
        group: &FeatureGroup,
        resource: &str,
        pool: &RowPool,
        rows: usize,
    ) {
        let count = CHECK_KEYS.min(rows);
        let last = pool.batch(rows - count, count);
        let keys = KeyEncoder::new(group).encode(&last).expect("keys");
        let keys: Vec<_> = (0..count).map(|place| keys.key(place)).collect();
        let keys: Vec<&[u8]> = keys.iter().map(|key| &key[..]).collect();
        let store = twinfold_store_online::open(online_url).await;
        let store = store.expect("the online store");
        let found = store.read(resource, &keys).await.expect("read");
        let missing = found.iter().filter(|row| row.is_none()).count();
        assert_eq!(missing, 0, "rows of {resource} are not in the online store");
        store.close().await.expect("close");
    }
}

fn cassandra_url(keyspace: &str) -> String {
    let contact_points = &servers().cassandra_contact_points;
    format!("scylla://{contact_points}/{keyspace}?replication=1")
}
