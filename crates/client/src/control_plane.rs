//! All of the registry that a platform needs, one trait per noun.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use twinfold_model::{
    DatasetSpec, DatasetStatistics, Feature, FeatureGroup, FeatureGroupId, FeatureView,
    FeatureViewId, GroupDescription, Position, ProjectName, QuarantinedRecord, Query,
    TrainingDataset,
};

use crate::{Definitions, Expected, GroupDefinition, Result, WriterSchema};

/// A reservation that was not renewed for this long has lapsed. Whoever holds one renews it much more often.
pub const RESERVED_FOR: Duration = Duration::from_secs(600);

/// A replay that has not gone on for this long is over. Longer than the log takes to refuse a page.
pub const REPLAY_CLAIMED_FOR: Duration = Duration::from_secs(300);

/// The registry, in this process or in another: a caller cannot tell which.
pub trait ControlPlane:
    Definitions + FeatureGroups + FeatureViews + TrainingDatasets + Quarantine
{
}

impl<T> ControlPlane for T where
    T: Definitions + FeatureGroups + FeatureViews + TrainingDatasets + Quarantine
{
}

/// What becomes of a feature group that is to be deleted while feature views or training datasets use it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deletion {
    RefuseIfUsed,
    /// It goes all the same, and they have lost what they read.
    Force,
}

impl Deletion {
    /// As it is asked for with a switch.
    pub fn forced(force: bool) -> Self {
        if force {
            Self::Force
        } else {
            Self::RefuseIfUsed
        }
    }
}

/// Feature groups. `wait` is for topic and tables; after it the answer is
/// [`Error::NotReady`](crate::Error::NotReady), and the work goes on. A group that is not as a change expects
/// it is left as it is: [`Error::Stale`](crate::Error::Stale).
#[async_trait]
pub trait FeatureGroups: Send + Sync {
    /// Stores the group and waits until its topic and tables exist.
    async fn create_feature_group(
        &self,
        group: &FeatureGroup,
        wait: Duration,
    ) -> Result<Arc<GroupDefinition>>;

    /// The group as it is now, whatever was remembered of it; as it was said last while the registry does
    /// not answer.
    async fn feature_group(&self, id: &FeatureGroupId) -> Result<Arc<GroupDefinition>>;

    /// The newest version; one that is being deleted only when there is no other.
    async fn newest_feature_group(
        &self,
        project: &ProjectName,
        name: &str,
    ) -> Result<Arc<GroupDefinition>>;

    /// Adds features in place and waits until its tables have them; see [`twinfold_model::evolve`].
    async fn append_features(
        &self,
        id: &FeatureGroupId,
        features: Vec<Feature>,
        expected: &Expected,
        wait: Duration,
    ) -> Result<Arc<GroupDefinition>>;

    /// Says something else about the group; topic and tables stay as they are.
    async fn describe_feature_group(
        &self,
        id: &FeatureGroupId,
        description: &GroupDescription,
        expected: &Expected,
    ) -> Result<Arc<GroupDefinition>>;

    /// Deletes the group, and waits until nothing of it is left.
    async fn delete_feature_group(
        &self,
        id: &FeatureGroupId,
        deletion: Deletion,
        expected: &Expected,
        wait: Duration,
    ) -> Result<()>;

    /// Every schema that writers of the group have used, oldest first.
    async fn schemas(&self, id: &FeatureGroupId) -> Result<Vec<WriterSchema>>;
}

#[async_trait]
pub trait FeatureViews: Send + Sync {
    /// Checks the view against its groups and stores it.
    async fn create_feature_view(&self, view: &FeatureView) -> Result<FeatureView>;

    async fn feature_view(&self, id: &FeatureViewId) -> Result<FeatureView>;

    async fn newest_feature_view(&self, project: &ProjectName, name: &str) -> Result<FeatureView>;

    /// Those of the project, ordered by id.
    async fn feature_views(&self, project: &ProjectName) -> Result<Vec<FeatureView>>;

    async fn delete_feature_view(&self, id: &FeatureViewId) -> Result<()>;
}

/// A version of a training dataset that is being made, or whose making was cut short.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatasetReservation {
    pub project: ProjectName,
    pub name: String,
    pub version: u32,
    /// Nobody can finish it any more, so what was written for it may be removed.
    pub has_lapsed: bool,
}

/// What training datasets are; their files are the caller's.
#[async_trait]
pub trait TrainingDatasets: Send + Sync {
    /// Checks a specification and finds the query to run, with the labels and defaults that count.
    async fn resolve_dataset(&self, spec: DatasetSpec) -> Result<(DatasetSpec, Query)>;

    /// The next free version, or the one asked for, for [`RESERVED_FOR`].
    async fn reserve_training_dataset(
        &self,
        project: &ProjectName,
        name: &str,
        version: Option<u32>,
    ) -> Result<u32>;

    /// Reserves a version for [`RESERVED_FOR`] from now on;
    /// [`Error::NotFound`](crate::Error::NotFound) when its reservation has lapsed.
    async fn renew_training_dataset(
        &self,
        project: &ProjectName,
        name: &str,
        version: u32,
    ) -> Result<()>;

    /// Stores the finished dataset under its reserved version; from then on it pins its commits.
    async fn put_training_dataset(
        &self,
        dataset: &TrainingDataset,
        statistics: &DatasetStatistics,
    ) -> Result<()>;

    /// The dataset; the newest finished version when `None`.
    async fn training_dataset(
        &self,
        project: &ProjectName,
        name: &str,
        version: Option<u32>,
    ) -> Result<TrainingDataset>;

    /// What the columns of a dataset hold; `None` when it was made before statistics were kept.
    async fn training_dataset_statistics(
        &self,
        project: &ProjectName,
        name: &str,
        version: u32,
    ) -> Result<Option<DatasetStatistics>>;

    /// The finished ones of the project, ordered by name and version.
    async fn training_datasets(&self, project: &ProjectName) -> Result<Vec<TrainingDataset>>;

    /// Every reservation of the project.
    async fn reserved_training_datasets(
        &self,
        project: &ProjectName,
    ) -> Result<Vec<DatasetReservation>>;

    /// Forgets a dataset, or gives up a reserved version.
    async fn delete_training_dataset(
        &self,
        project: &ProjectName,
        name: &str,
        version: u32,
    ) -> Result<()>;
}

/// Records that could not be applied; [`Definitions::quarantine`] adds them.
#[async_trait]
pub trait Quarantine: Send + Sync {
    /// A page of those of the group's present life that were not replayed yet, by position, after `after`: at
    /// most `limit`, fewer when they are large, none when there are no more.
    async fn quarantined(
        &self,
        group: &FeatureGroupId,
        after: Option<Position>,
        limit: usize,
    ) -> Result<Vec<QuarantinedRecord>>;

    /// Lets one replay of the group go on for [`REPLAY_CLAIMED_FOR`]; it claims the group again for each
    /// page of records, before it reads them. [`Error::NotReady`](crate::Error::NotReady) while another has
    /// it. `replay` is the replay's ingestion id.
    async fn claim_replay(&self, group: &FeatureGroupId, replay: &str) -> Result<()>;

    /// Lets others replay the group, if this replay has it.
    async fn end_replay(&self, group: &FeatureGroupId, replay: &str) -> Result<()>;

    /// Lists records of the life named `resource` no more; [`Error::NotFound`](crate::Error::NotFound) when
    /// the group has another by now.
    async fn mark_replayed(
        &self,
        group: &FeatureGroupId,
        resource: &str,
        positions: &[Position],
    ) -> Result<()>;
}
