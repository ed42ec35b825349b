//! Two groups with a topic each, and what their consumers wrote.

use std::convert::Infallible;
use std::future::pending;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tempfile::TempDir;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, watch};
use twinfold_client::{Definitions, GroupDefinition, Result, WriterSchema};
use twinfold_ingest::{
    Batch, Budget, Consumer, Limits, Sink, SinkError, SinkFactory, Status, Statuses, Supervisor,
};
use twinfold_model::{
    FeatureGroup, FeatureGroupId, PartitionId, Positions, QuarantinedRecord, ResourceState,
    SchemaId,
};
use twinfold_service_kit::{SystemClock, TaskGroup};
use twinfold_store_topic::{Append, EmbeddedTopics, NewRecord, TopicConfig, TopicStore};
use twinfold_testkit::{eventually, rows};
use twinfold_wire::record::{Encoder, Headers, avro_schema};

/// Long enough for a machine that is busy.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// Whatever has come is a batch.
const LIMITS: Limits = Limits {
    batch_rows_max: 1,
    batch_bytes_max: 1,
    batch_age_ms_max: 0,
    batch_idle_ms_max: 0,
    future_skew_max: Duration::from_secs(300),
    commit_interval_ms: 10,
    retry_backoff_ms_max: 10,
    // Longer than who answers needs: the log of a busy machine too.
    patience: Duration::from_millis(100),
};

const FEATURES: [(&str, &str); 3] = [("id", "bigint"), ("amount", "double"), ("note", "string")];

/// Every record of the tests is upserted; its key comes from the value.
fn group(name: &str, features: usize) -> FeatureGroup {
    twinfold_testkit::group(name, &FEATURES[..features], &["id"], None)
}

/// Knows the groups by their place: the schema of the first is 0.
#[derive(Debug)]
pub struct Registry {
    groups: Mutex<Vec<FeatureGroup>>,
    state: Mutex<ResourceState>,
    changes: watch::Sender<u64>,
    asked: Mutex<Vec<SchemaId>>,
    is_silent: AtomicBool,
    /// Bad records that it was told of.
    reported: watch::Sender<usize>,
}

impl Registry {
    /// Does not return while the registry says nothing.
    async fn answer(&self) {
        if self.is_silent.load(Ordering::SeqCst) {
            pending::<()>().await;
        }
    }

    fn groups(&self) -> MutexGuard<'_, Vec<FeatureGroup>> {
        self.groups.lock().expect("whole")
    }

    fn definition(&self, index: usize) -> Arc<GroupDefinition> {
        let group = self.groups()[index].clone();
        Arc::new(GroupDefinition {
            resource: group.id().resource_name(1),
            group,
            state: self.state.lock().expect("whole").clone(),
            schema: SchemaId(u32::try_from(index).expect("few")),
        })
    }
}

#[async_trait]
impl Definitions for Registry {
    async fn group(&self, id: &FeatureGroupId) -> Result<Arc<GroupDefinition>> {
        self.answer().await;
        let index = self.groups().iter().position(|group| group.id() == id);
        Ok(self.definition(index.expect("a group of this world")))
    }

    async fn groups(&self) -> Result<Vec<Arc<GroupDefinition>>> {
        let indexes = 0..self.groups().len();
        Ok(indexes.map(|index| self.definition(index)).collect())
    }

    async fn schema(&self, id: SchemaId, _resource: &str) -> Result<Option<Arc<WriterSchema>>> {
        self.asked.lock().expect("whole").push(id);
        let avro_json = avro_schema(&self.groups()[id.0 as usize]);
        Ok(Some(Arc::new(WriterSchema { id, avro_json })))
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    async fn pinned_commits(&self, _group: &FeatureGroupId) -> Result<Vec<u64>> {
        Ok(Vec::new())
    }

    async fn quarantine(&self, records: &[QuarantinedRecord]) -> Result<()> {
        self.reported.send_modify(|count| *count += records.len());
        self.answer().await;
        Ok(())
    }
}

/// What one group's sink was given, and whether it may take more.
#[derive(Debug)]
pub struct Gate {
    permits: Semaphore,
    /// Rows of each batch.
    batches: Mutex<Vec<usize>>,
    waiting: watch::Sender<bool>,
    /// Features of the group as it was defined last.
    features: watch::Sender<usize>,
}

impl Gate {
    fn with(permits: usize) -> Arc<Self> {
        Arc::new(Self {
            permits: Semaphore::new(permits),
            batches: Mutex::default(),
            waiting: watch::Sender::new(false),
            features: watch::Sender::new(0),
        })
    }

    pub fn allow(&self, batches: usize) {
        self.permits.add_permits(batches);
    }

    pub fn batches(&self) -> usize {
        self.batches.lock().expect("whole").len()
    }

    pub fn rows(&self) -> usize {
        self.sizes().iter().sum()
    }

    /// Rows of each batch, in the order in which they were written.
    pub fn sizes(&self) -> Vec<usize> {
        self.batches.lock().expect("whole").clone()
    }

    /// Returns when the sink was told of a group of so many features.
    pub async fn is_defined_with(&self, features: usize) {
        let mut told = self.features.subscribe();
        let seen = tokio::time::timeout(DEADLINE, told.wait_for(|told| *told == features));
        seen.await.expect("in time").expect("the gate stays");
    }

    /// Returns when a batch stands before the gate.
    pub async fn is_waited_for(&self) {
        let mut waiting = self.waiting.subscribe();
        let seen = tokio::time::timeout(DEADLINE, waiting.wait_for(|waiting| *waiting));
        seen.await.expect("in time").expect("the gate stays");
    }
}

struct Gated(Arc<Gate>);

#[async_trait]
impl Sink for Gated {
    async fn define(&mut self, definition: &GroupDefinition) -> Result<(), SinkError> {
        let features = definition.group.features().len();
        self.0.features.send_replace(features);
        Ok(())
    }

    async fn positions(&mut self) -> Result<Option<Positions>, SinkError> {
        Ok(None)
    }

    async fn write(&mut self, batch: &Batch) -> Result<(), SinkError> {
        self.0.waiting.send_replace(true);
        let permit = self.0.permits.acquire().await;
        permit.expect("open").forget();
        self.0.waiting.send_replace(false);
        self.0.batches.lock().expect("whole").push(batch.rows.len());
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), SinkError> {
        Ok(())
    }
}

pub struct World {
    _folder: TempDir,
    topics: Arc<dyn TopicStore>,
    registry: Arc<Registry>,
    budget: Budget,
    tasks: TaskGroup,
}

impl World {
    pub async fn new(names: &[&str], budget: Budget) -> Self {
        let folder = twinfold_testkit::temp_dir();
        let topics = EmbeddedTopics::open(folder.path()).await.expect("topics");
        let world = Self {
            _folder: folder,
            topics: Arc::new(topics),
            registry: Arc::new(Registry {
                groups: Mutex::new(names.iter().map(|name| group(name, 2)).collect()),
                state: Mutex::new(ResourceState::Active),
                changes: watch::Sender::new(0),
                asked: Mutex::default(),
                is_silent: AtomicBool::new(false),
                reported: watch::Sender::new(0),
            }),
            budget,
            tasks: TaskGroup::new(Handle::current()),
        };
        let config = TopicConfig {
            partitions: 1,
            retention: None,
            retention_bytes_max: None,
        };
        for index in 0..names.len() {
            let topic = world.registry.definition(index).resource.clone();
            world.topics.create(&topic, &config).await.expect("topic");
        }
        world
    }

    /// Gives a group one more feature.
    pub fn evolve(&self, index: usize) {
        let mut groups = self.registry.groups();
        let (name, features) = (&groups[index].id().name, groups[index].features().len());
        groups[index] = group(&name.to_string(), features + 1);
        drop(groups);
        self.registry.changes.send_modify(|newest| *newest += 1);
    }

    /// From here on this is the state of every group.
    pub fn set_state(&self, state: ResourceState) {
        *self.registry.state.lock().expect("whole") = state;
        self.registry.changes.send_modify(|newest| *newest += 1);
    }

    /// Rows as the topic has them.
    pub fn values(&self, index: usize, seed: u64, count: usize) -> Vec<Bytes> {
        let definition = self.registry.definition(index);
        let mut encoder = Encoder::new(&definition.group, definition.schema).expect("encoder");
        let encoded = encoder.encode(&rows(&definition.group, seed, count));
        encoded.expect("rows").iter().collect()
    }

    /// Appends so many times so many rows.
    pub async fn append(&self, index: usize, times: usize, count: usize) {
        for seed in 0..times {
            let values = self.values(index, seed as u64, count);
            self.append_values(index, values).await;
        }
    }

    pub async fn append_values(&self, index: usize, values: Vec<Bytes>) {
        let record = |value| NewRecord {
            key: Bytes::new(),
            value,
        };
        let append = Append {
            partition: PartitionId(0),
            headers: Headers::default(),
            records: values.into_iter().map(record).collect(),
        };
        let definition = self.registry.definition(index);
        let appended = self.topics.append(&definition.resource, vec![append]).await;
        appended.expect("appended");
    }

    /// From here on nobody answers who asks the registry for a group or reports a record.
    pub fn silence_the_registry(&self) {
        self.registry.is_silent.store(true, Ordering::SeqCst);
    }

    /// Returns when the registry was told of a bad record.
    pub async fn is_reported(&self) {
        let mut reported = self.registry.reported.subscribe();
        let seen = tokio::time::timeout(DEADLINE, reported.wait_for(|count| *count > 0));
        drop(seen.await.expect("in time").expect("the registry stays"));
    }

    /// What the topic was told of the group's consumer.
    pub async fn progress(&self, index: usize) -> Positions {
        let definition = self.registry.definition(index);
        let progress = self.topics.progress(&definition.resource, "onlinefs");
        progress.await.expect("progress")
    }

    /// Starts the group's consumer, whose sink writes as many batches as it is let.
    pub fn start(&self, index: usize, permits: usize) -> Arc<Gate> {
        self.start_over(Arc::clone(&self.topics), index, permits)
    }

    /// The same with other topics.
    pub fn start_over(
        &self,
        topics: Arc<dyn TopicStore>,
        index: usize,
        permits: usize,
    ) -> Arc<Gate> {
        let definition = self.registry.definition(index);
        let gate = Gate::with(permits);
        let consumer = Consumer {
            name: "onlinefs",
            group: definition.group.id().clone(),
            resource: definition.resource.clone(),
            topics,
            definitions: Arc::clone(&self.registry) as Arc<dyn Definitions>,
            limits: LIMITS,
            budget: self.budget.clone(),
            clock: Arc::new(SystemClock),
            status: watch::Sender::new(Status::default()),
            definitions_read: self.registry.changes(),
        };
        let mut sink = Gated(Arc::clone(&gate));
        self.tasks
            .spawn(definition.resource.clone(), |shutdown| async move {
                let ended = consumer.run(definition, &mut sink, shutdown).await;
                ended.expect("nothing fails in this world");
                Ok::<(), Infallible>(())
            });
        gate
    }

    /// Keeps the consumers of all groups running, over sinks of a test's own; says how far they are.
    pub fn supervise(&self, sinks: Arc<dyn SinkFactory>) -> Statuses {
        self.supervise_over(Arc::clone(&self.topics), sinks)
    }

    /// The same with other topics.
    pub fn supervise_over(
        &self,
        topics: Arc<dyn TopicStore>,
        sinks: Arc<dyn SinkFactory>,
    ) -> Statuses {
        let statuses = Statuses::new();
        let supervisor = Supervisor {
            name: "onlinefs",
            topics,
            definitions: Arc::clone(&self.registry) as Arc<dyn Definitions>,
            sinks,
            limits: LIMITS,
            budget: self.budget.clone(),
            clock: Arc::new(SystemClock),
            statuses: statuses.clone(),
            tasks: self.tasks.clone(),
        };
        self.tasks
            .spawn("onlinefs", |shutdown| supervisor.run(shutdown));
        statuses
    }

    /// The id of a group.
    pub fn id(&self, index: usize) -> FeatureGroupId {
        self.registry.definition(index).group.id().clone()
    }

    /// Returns when the group's consumer has fetched records and asked what their schema is. On one thread
    /// it has then gone on to where it waits.
    pub async fn is_fetched(&self, index: usize) {
        let schema = self.registry.definition(index).schema;
        let asked = || async {
            let asked = self.registry.asked.lock().expect("whole");
            asked.contains(&schema)
        };
        eventually(DEADLINE, asked).await;
    }

    pub async fn stop(&self) {
        self.tasks.shutdown(DEADLINE).await.expect("stopped");
    }
}
