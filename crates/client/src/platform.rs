use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use futures::stream::BoxStream;
use twinfold_model::{
    AsOf, Commit, DatasetSpec, DatasetStatistics, EventTime, Feature, FeatureGroup, FeatureGroupId,
    FeatureType, FeatureVector, FeatureView, FeatureViewId, GroupDescription, Position, Positions,
    QuarantinedRecord, Query, TrainingDataset, Value,
};

use crate::{Deletion, Error, Expected, GroupDefinition, OnProgress, Receipt, Result, WaitTarget};

/// Rows with their schema, batch by batch.
pub struct BatchStream {
    pub schema: SchemaRef,
    pub batches: BoxStream<'static, Result<RecordBatch>>,
}

/// Everything the SDK does. Implemented by the embedded platform in process and by the remote one
/// over the network; a caller cannot tell which it holds.
#[async_trait]
pub trait Platform: Catalog + Ingestion + Reading + Serving + Debug + Send + Sync {
    /// What was connected to, as given.
    fn url(&self) -> &str;

    /// Stops taking in, finishes what is under way, releases everything. Idempotent.
    async fn close(&self) -> Result<()>;
}

/// Definitions: what there is. A feature group that is not as a change expects it is left as it is:
/// [`Error::Stale`](crate::Error::Stale).
#[async_trait]
pub trait Catalog: Send + Sync {
    /// The project that names without a project belong to.
    fn project(&self) -> &str;

    /// How many partitions a new feature group gets unless it says otherwise.
    fn partitions_default(&self) -> u32;

    /// Stores the group and waits until its topic and tables exist.
    async fn create_feature_group(&self, group: FeatureGroup) -> Result<Arc<GroupDefinition>>;

    /// The group; the newest version when `None`.
    async fn feature_group(&self, name: &str, version: Option<u32>)
    -> Result<Arc<GroupDefinition>>;

    async fn feature_groups(&self) -> Result<Vec<Arc<GroupDefinition>>>;

    /// Adds features in place; see [`twinfold_model::evolve`].
    async fn append_features(
        &self,
        id: &FeatureGroupId,
        features: Vec<Feature>,
        expected: &Expected,
    ) -> Result<Arc<GroupDefinition>>;

    /// Says something else about the group.
    async fn describe_feature_group(
        &self,
        id: &FeatureGroupId,
        description: &GroupDescription,
        expected: &Expected,
    ) -> Result<Arc<GroupDefinition>>;

    /// Deletes the group with its topic and tables.
    async fn delete_feature_group(
        &self,
        id: &FeatureGroupId,
        deletion: Deletion,
        expected: &Expected,
    ) -> Result<()>;

    async fn create_feature_view(&self, view: FeatureView) -> Result<()>;

    /// The view; the newest version when `None`.
    async fn feature_view(&self, name: &str, version: Option<u32>) -> Result<FeatureView>;

    async fn feature_views(&self) -> Result<Vec<FeatureView>>;

    async fn delete_feature_view(&self, id: &FeatureViewId) -> Result<()>;
}

/// How far a group's rows have come: per partition, the first offset not yet there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IngestProgress {
    pub topic: Positions,
    /// `None` when the group is not online.
    pub online: Option<Positions>,
    pub offline: Positions,
}

/// Rows in.
#[async_trait]
pub trait Ingestion: Send + Sync {
    /// Checks all rows, then appends them to the group's topic. When this returns they are in the
    /// topic durably; when the check fails, none is. `on_progress` hears the rows appended so far.
    async fn insert(
        &self,
        group: &FeatureGroupId,
        rows: Vec<RecordBatch>,
        on_progress: OnProgress<'_>,
    ) -> Result<Receipt> {
        self.insert_at(group, rows, None, on_progress).await
    }

    /// The same with rows that became true `at` (now when `None`), if the group has no event-time feature.
    async fn insert_at(
        &self,
        group: &FeatureGroupId,
        rows: Vec<RecordBatch>,
        at: Option<EventTime>,
        on_progress: OnProgress<'_>,
    ) -> Result<Receipt>;

    /// Hides every row of the keys with event time ≤ `at` (now when `None`), in both stores.
    /// `keys` holds the key features; other columns are ignored.
    async fn delete(
        &self,
        group: &FeatureGroupId,
        keys: Vec<RecordBatch>,
        at: Option<EventTime>,
    ) -> Result<Receipt>;

    /// Returns when the stores have passed the receipt's positions. Fails with
    /// [`Error::Timeout`](crate::Error::Timeout), or with
    /// [`Error::Quarantined`](crate::Error::Quarantined) when rows of the receipt were.
    async fn wait(&self, receipt: &Receipt, target: WaitTarget, timeout: Duration) -> Result<()>;

    async fn progress(&self, group: &FeatureGroupId) -> Result<IngestProgress>;

    /// A page of records that were not replayed yet, by position, after `after`: at most `limit`, fewer when
    /// they are large, none when there are no more. [`first_quarantined`] reads several.
    async fn quarantined(
        &self,
        group: &FeatureGroupId,
        after: Option<Position>,
        limit: usize,
    ) -> Result<Vec<QuarantinedRecord>>;

    /// Appends quarantined records again as they were, all when `positions` is empty; those that are
    /// still bad come back with a new position.
    async fn replay(&self, group: &FeatureGroupId, positions: &[Position]) -> Result<Receipt>;
}

/// The first `limit` records of a group that were not replayed yet, however many pages they take.
pub async fn first_quarantined(
    platform: &(impl Ingestion + ?Sized),
    group: &FeatureGroupId,
    limit: usize,
) -> Result<Vec<QuarantinedRecord>> {
    let mut found: Vec<QuarantinedRecord> = Vec::new();
    while found.len() < limit {
        let after = found.last().map(|record| record.position);
        let page = platform
            .quarantined(group, after, limit - found.len())
            .await?;
        if page.is_empty() {
            break;
        }
        found.extend(page);
    }
    Ok(found)
}

/// What to read from history.
#[derive(Debug, Clone)]
pub struct ReadRequest {
    pub query: Query,
    /// What stands in where a joined group has no row, by column, as in a feature view.
    pub defaults: BTreeMap<String, Value>,
    /// Replaces the query's left side: join keys, event time and whatever else is passed through.
    pub spine: Option<Spine>,
    /// Rows of the left side with `start ≤ event time < end`.
    pub event_time_start: Option<EventTime>,
    pub event_time_end: Option<EventTime>,
}

/// A dataframe of entities to look up.
#[derive(Debug, Clone)]
pub struct Spine {
    pub schema: SchemaRef,
    pub batches: Vec<RecordBatch>,
    /// The column that says at which time to look; the newest rows when `None`.
    pub event_time: Option<String>,
}

/// What [`Reading::verify_dataset`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatasetCheck {
    /// The digest that the dataset was stored with.
    pub recorded: String,
    /// The digest of its files as they are now.
    pub files: String,
    /// The digest of the query run again at the pinned commits.
    pub rebuilt: String,
}

impl DatasetCheck {
    pub fn is_proved(&self) -> bool {
        self.recorded == self.files && self.recorded == self.rebuilt
    }
}

/// History out.
#[async_trait]
pub trait Reading: Send + Sync {
    /// Runs a point-in-time correct query over history.
    async fn read(&self, request: ReadRequest) -> Result<BatchStream>;

    /// The newest rows of a group from the online store, deleted and expired ones left out.
    async fn read_online(&self, group: &FeatureGroupId) -> Result<BatchStream>;

    /// What a group's history gained after the commit `after` (from its beginning when `None`) up to the
    /// commit `up_to` (the newest when `None`): records as they were written, with their features, their
    /// `_event_time` and their `_change_type`, `upsert` or `delete`.
    async fn read_changes(
        &self,
        group: &FeatureGroupId,
        after: Option<AsOf>,
        up_to: Option<AsOf>,
    ) -> Result<BatchStream>;

    /// A page of commits, the newest first; with `before` of those that came before this one: at most `limit`,
    /// none when there are no more. [`newest_commits`] reads several.
    async fn commits(
        &self,
        group: &FeatureGroupId,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<Commit>>;

    /// Runs the dataset's query at the newest commits, writes the files, pins the commits.
    async fn create_dataset(&self, spec: DatasetSpec) -> Result<TrainingDataset>;

    /// The dataset; the newest version when `None`.
    async fn dataset(&self, name: &str, version: Option<u32>) -> Result<TrainingDataset>;

    async fn datasets(&self) -> Result<Vec<TrainingDataset>>;

    /// What the columns of a dataset hold; `None` when it was made before statistics were kept.
    async fn dataset_statistics(
        &self,
        name: &str,
        version: u32,
    ) -> Result<Option<DatasetStatistics>>;

    /// One split, or every row when `None`.
    async fn read_dataset(
        &self,
        name: &str,
        version: u32,
        split: Option<&str>,
    ) -> Result<BatchStream>;

    async fn verify_dataset(&self, name: &str, version: u32) -> Result<DatasetCheck>;

    async fn delete_dataset(&self, name: &str, version: u32) -> Result<()>;
}

/// The newest `limit` commits of a group, however many pages they take.
pub async fn newest_commits(
    platform: &(impl Reading + ?Sized),
    group: &FeatureGroupId,
    limit: usize,
) -> Result<Vec<Commit>> {
    let mut found: Vec<Commit> = Vec::new();
    while found.len() < limit {
        let before = found.last().map(|commit| commit.id);
        let page = platform.commits(group, before, limit - found.len()).await?;
        if page.is_empty() {
            break;
        }
        found.extend(page);
    }
    Ok(found)
}

/// What vectors are made of.
#[derive(Debug, Clone)]
pub enum ServingSource {
    View(FeatureViewId),
    Dataset { name: String, version: u32 },
}

#[derive(Debug, Clone)]
pub struct ServingRequest {
    pub source: ServingSource,
}

/// How one call wants its vectors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VectorOptions {
    /// Missing and expired rows yield defaults or nulls; otherwise they fail with
    /// [`Error::MissingRow`](crate::Error::MissingRow).
    pub allow_missing: bool,
    /// A row that cannot be read yields the same, with presence `error`; otherwise it fails the call.
    /// For callers that look at the presence.
    pub allow_error: bool,
}

/// One entity: serving keys and features that override what the stores have, by name.
pub type Entry = BTreeMap<String, Value>;

/// That there are no features passed, or some for each entry.
pub fn check_passed(entries: &[Entry], passed: &[Entry]) -> Result<()> {
    if passed.is_empty() || passed.len() == entries.len() {
        return Ok(());
    }
    Err(Error::Invalid(twinfold_model::Error::InvalidQuery {
        reason: format!(
            "found {} entries and {} sets of passed features, wanted as many",
            entries.len(),
            passed.len()
        ),
    }))
}

/// Vectors of one view or dataset, through a plan made once.
#[async_trait]
pub trait VectorReader: Debug + Send + Sync {
    /// Names and types of a vector's entries, in order.
    fn features(&self) -> &[(String, FeatureType)];

    /// The keys that an entry must have, with their types.
    fn serving_keys(&self) -> &[(String, FeatureType)];

    /// One vector per entry, in order. `passed` is empty or as long as `entries`.
    async fn vectors(
        &self,
        entries: &[Entry],
        passed: &[Entry],
        options: VectorOptions,
    ) -> Result<Vec<FeatureVector>>;
}

/// Newest rows out, as vectors.
#[async_trait]
pub trait Serving: Send + Sync {
    async fn vector_reader(&self, request: ServingRequest) -> Result<Arc<dyn VectorReader>>;
}
