//! What the metadata is made of: records, and how they are asked for.

use twinfold_model::{
    EventTime, FeatureGroup, FeatureGroupId, FeatureViewId, ProjectName, ResourceState, SchemaId,
};

/// A feature group as stored.
#[derive(Debug, Clone, PartialEq)]
pub struct GroupRecord {
    pub group: FeatureGroup,
    pub state: ResourceState,
    /// The name of its topic and tables; never that of an earlier group with the same id.
    pub resource: String,
    /// The schema that writers use now.
    pub schema: SchemaId,
    /// Increases with each change of the definition, and with each schema that a producer registers for
    /// the group; for optimistic updates.
    pub revision: u64,
    pub created_at: EventTime,
}

/// One entry of the change feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Increases by at least one per change, in commit order.
    pub sequence: u64,
    pub subject: ChangeSubject,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChangeSubject {
    FeatureGroup(FeatureGroupId),
    FeatureView(FeatureViewId),
    TrainingDataset {
        project: ProjectName,
        name: String,
        version: u32,
    },
}

/// A schema that is to be registered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewSchema {
    /// What tells schemas apart: those of one guid are one schema, whatever their texts.
    pub guid: String,
    pub avro_json: String,
    /// What its producers say about it, as JSON.
    pub metadata: Option<String>,
    /// Who gives the ids: a registry elsewhere, which has given this one, or the store when `None`.
    pub registration: Option<Registration>,
}

/// A schema's place in a registry elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    pub subject: String,
    pub id: SchemaId,
}

/// As it is known already.
impl From<SchemaRecord> for NewSchema {
    fn from(schema: SchemaRecord) -> Self {
        Self {
            guid: schema.guid,
            avro_json: schema.avro_json,
            metadata: schema.metadata,
            registration: None,
        }
    }
}

/// A schema with its id, which no other schema ever has. The text is that of its first registration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaRecord {
    pub id: SchemaId,
    pub guid: String,
    pub avro_json: String,
    pub metadata: Option<String>,
}

/// A schema in its place under a subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaVersion {
    pub subject: String,
    pub version: u32,
    pub schema: SchemaRecord,
    pub origin: SchemaOrigin,
    /// Hidden, and its number not given again, until it is removed.
    pub is_deleted: bool,
}

/// Who registered a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SchemaOrigin {
    /// It is the schema of a feature group's definition.
    FeatureGroup,
    Producer,
}

/// Which versions are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VersionsOf<'a> {
    Subject(&'a str),
    Schema(SchemaId),
    All,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubjectRecord {
    pub name: String,
    /// All of its versions are.
    pub is_deleted: bool,
}

/// What was set for a subject, a context or all subjects.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SubjectSettings {
    pub compatibility: Option<String>,
    pub mode: Option<String>,
}

/// A version of a training dataset that is being made, or whose making was cut short.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reservation {
    pub project: ProjectName,
    pub name: String,
    pub version: u32,
    /// From then on nobody can finish the dataset.
    pub until: EventTime,
}
