use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::watch;
use twinfold_model::{FeatureGroup, FeatureGroupId, QuarantinedRecord, ResourceState, SchemaId};

use crate::{Error, Result};

/// A feature group as writers and consumers need it.
#[derive(Debug, Clone, PartialEq)]
pub struct GroupDefinition {
    pub group: FeatureGroup,
    pub state: ResourceState,
    /// The name of its topic and tables.
    pub resource: String,
    /// The schema that writers use now.
    pub schema: SchemaId,
}

/// Says of a group what it is instead of active.
pub(crate) fn not_ready(id: &FeatureGroupId, state: &ResourceState) -> Error {
    let reason: &str = match state {
        ResourceState::Creating => "it is being created",
        ResourceState::Active => "it is active",
        ResourceState::Deleting => "it is being deleted",
        ResourceState::Failed { reason } => reason,
    };
    Error::NotReady {
        group: id.to_string(),
        reason: reason.to_owned(),
    }
}

/// Says of a group that was there that it is no longer.
pub(crate) fn deleted_meanwhile(id: &FeatureGroupId) -> Error {
    Error::NotFound {
        what: "feature group".into(),
        name: id.to_string(),
        hint: "; it was deleted meanwhile".to_owned(),
    }
}

/// A schema that rows of a group are written with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WriterSchema {
    pub id: SchemaId,
    pub avro_json: String,
}

/// What consumers and readers need of the registry.
///
/// Guarantees: a definition is never older than the sequence that [`changes`](Self::changes) shows, but for
/// [`known_group`](Self::known_group);
/// a schema never changes once it is known, and stays registered for as long as the group is there.
#[async_trait]
pub trait Definitions: Debug + Send + Sync {
    /// The group, or [`Error::NotFound`](crate::Error::NotFound) with what there is instead.
    async fn group(&self, id: &FeatureGroupId) -> Result<Arc<GroupDefinition>>;

    /// The group for who writes rows: as it was said last while the registry does not answer.
    async fn known_group(&self, id: &FeatureGroupId) -> Result<Arc<GroupDefinition>> {
        self.group(id).await
    }

    /// Every group, in any state.
    async fn groups(&self) -> Result<Vec<Arc<GroupDefinition>>>;

    /// The schema, if it is registered for the group whose topic and tables are named `resource`; `None`
    /// when it is not, which may change at any time: it is asked anew each time. A group that is asked for
    /// after a schema was answered is no older than it.
    async fn schema(&self, id: SchemaId, resource: &str) -> Result<Option<Arc<WriterSchema>>>;

    /// The sequence of the newest change; it moves with every change of a definition or state.
    fn changes(&self) -> watch::Receiver<u64>;

    /// The commits of the group's history that training datasets were read from.
    async fn pinned_commits(&self, group: &FeatureGroupId) -> Result<Vec<u64>>;

    /// Keeps records that cannot be applied. Reporting one twice keeps one. None is kept when one is of a life
    /// of its group that is over: [`Error::NotFound`](crate::Error::NotFound).
    async fn quarantine(&self, records: &[QuarantinedRecord]) -> Result<()>;
}
