//! The port to the transactional metadata, and its backends: small traits, one per noun.
//!
//! The only crate that knows SQL. It stores definitions as `wire::rest` JSON beside the columns that
//! are looked up, and numbers every change. It enforces uniqueness and state transitions; what the
//! definitions mean is the registry's business. The entry type is [`MetadataStore`], opened by [`open`].

mod columns;
pub mod conformance;
mod error;
mod migrations;
mod postgres;
mod preconditions;
mod records;
mod sqlite;

use std::fmt::Debug;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use futures::future::BoxFuture;
use twinfold_model::{
    DatasetStatistics, EventTime, FeatureGroup, FeatureGroupId, FeatureView, FeatureViewId,
    Position, ProjectName, QuarantinedRecord, ResourceState, SchemaId, TrainingDataset,
};

pub use error::{Error, Result};
pub use postgres::PostgresMetadata;
pub use records::{
    Change, ChangeSubject, GroupRecord, NewSchema, Registration, Reservation, SchemaOrigin,
    SchemaRecord, SchemaVersion, SubjectRecord, SubjectSettings, VersionsOf,
};
pub use sqlite::SqliteMetadata;

/// Opens the backend that `url` names and migrates it: `sqlite:///file`, or
/// `postgres://user@host:port/database`, where `?options=-c%20search_path%3Dname` chooses a schema.
pub fn open(url: &str) -> BoxFuture<'_, Result<Arc<dyn MetadataStore>>> {
    // Boxed: compiled here, and not by all who open a store.
    Box::pin(open_backend(url))
}

async fn open_backend(url: &str) -> Result<Arc<dyn MetadataStore>> {
    match Place::parse(url)? {
        Place::File(path) => Ok(Arc::new(SqliteMetadata::open(path).await?)),
        Place::Server(url) => Ok(Arc::new(PostgresMetadata::open(url).await?)),
    }
}

/// Fails where [`open`] would without asking anybody: over a scheme or a setting.
pub fn check(url: &str) -> Result<()> {
    match Place::parse(url)? {
        Place::File(_) => Ok(()),
        Place::Server(url) => PostgresMetadata::check(url),
    }
}

/// What a url names.
enum Place<'a> {
    File(&'a Path),
    Server(&'a str),
}

impl<'a> Place<'a> {
    fn parse(url: &'a str) -> Result<Self> {
        match url.split_once("://") {
            Some(("sqlite", path)) => Ok(Self::File(path.as_ref())),
            Some(("postgres" | "postgresql", _)) => Ok(Self::Server(url)),
            other => Err(Error::UnsupportedUrl {
                scheme: other.map_or("", |(scheme, _)| scheme).to_owned(),
            }),
        }
    }
}

/// Feature groups.
#[async_trait]
pub trait FeatureGroups: Send + Sync {
    /// What topic and tables of a group will be called if it is created before any other of this id. One that
    /// is there: [`Error::AlreadyExists`].
    async fn next_resource(&self, id: &FeatureGroupId) -> Result<String>;

    /// Stores a group in state `Creating` and registers its schema under the value subject of its topic,
    /// in one transaction. The same id again: [`Error::AlreadyExists`], also when two callers race.
    async fn create_group(
        &self,
        group: &FeatureGroup,
        schema: &NewSchema,
        at: EventTime,
    ) -> Result<GroupRecord>;

    async fn group(&self, id: &FeatureGroupId) -> Result<Option<GroupRecord>>;

    /// The group whose topic and tables have this name.
    async fn group_of_topic(&self, resource: &str) -> Result<Option<GroupRecord>>;

    /// Every group of the project, or of all projects, ordered by id.
    async fn groups(&self, project: Option<&ProjectName>) -> Result<Vec<GroupRecord>>;

    /// Replaces the definition if `revision` is still current ([`Error::StaleRevision`] otherwise) and
    /// registers the schema unless it is the group's already. With another schema than before the state
    /// becomes `Creating`, else it stays. A group that is `Deleting`: [`Error::WrongState`].
    async fn update_group(
        &self,
        group: &FeatureGroup,
        schema: &NewSchema,
        revision: u64,
    ) -> Result<GroupRecord>;

    /// Sets the state that was reached for `revision` of the definition ([`Error::StaleRevision`] when
    /// the definition has changed since). From `Deleting` no way leads back ([`Error::WrongState`]).
    async fn set_group_state(
        &self,
        id: &FeatureGroupId,
        state: &ResourceState,
        revision: u64,
    ) -> Result<()>;

    /// Sets the state `Deleting`, if `sequence` is still the newest change of the feed
    /// ([`Error::StaleFeed`] otherwise): then nobody has begun to use the group since its users were
    /// looked for. A group that is `Deleting` already stays so.
    async fn begin_deletion(&self, id: &FeatureGroupId, sequence: Option<u64>) -> Result<()>;

    /// Removes a group that is `Deleting` ([`Error::WrongState`] otherwise), with its quarantine and with
    /// what stands under the subjects of its topic.
    async fn remove_group(&self, id: &FeatureGroupId) -> Result<()>;
}

/// Schemas, which are the same for all, and the subjects under which they are registered.
///
/// A schema has one id for ever, also when no subject has it any more: then nobody finds it, until it is
/// registered again. A schema that comes with an id has that one: [`Error::SchemaIdTaken`] when the id is
/// another schema's, or the schema has another id. Registered elsewhere under another subject than the one it
/// is to stand under here: [`Error::OtherSubject`].
#[async_trait]
pub trait Schemas: Send + Sync {
    async fn schema(&self, id: SchemaId) -> Result<Option<SchemaRecord>>;

    async fn schema_of_guid(&self, guid: &str) -> Result<Option<SchemaRecord>>;

    /// The greatest id that was given, 0 before the first.
    async fn newest_schema(&self) -> Result<SchemaId>;

    /// Every subject that has versions, deleted ones too, by name.
    async fn subjects(&self) -> Result<Vec<SubjectRecord>>;

    /// Versions by subject and number, deleted ones too.
    async fn versions(&self, of: VersionsOf<'_>) -> Result<Vec<SchemaVersion>>;

    /// Registers the schema as the next version, if `after` is still the newest one, deleted ones too
    /// ([`Error::StaleVersion`] otherwise; 0 before the first). A schema that a version has which is not
    /// deleted: that version. Under the value subject of a group its revision increases.
    async fn register_version(
        &self,
        subject: &str,
        schema: &NewSchema,
        after: u32,
    ) -> Result<SchemaVersion>;

    /// Marks versions as deleted.
    async fn delete_versions(&self, subject: &str, versions: &[u32]) -> Result<()>;

    /// Removes versions that are deleted, others stay. Their numbers may be given again.
    async fn remove_versions(&self, subject: &str, versions: &[u32]) -> Result<()>;

    /// What is set for a subject, for a context (`:.name:`) or, when empty, for all subjects.
    async fn subject_settings(&self, scope: &str) -> Result<SubjectSettings>;

    async fn set_compatibility(&self, scope: &str, level: Option<&str>) -> Result<()>;

    async fn set_mode(&self, scope: &str, mode: Option<&str>) -> Result<()>;
}

/// Feature views.
#[async_trait]
pub trait FeatureViews: Send + Sync {
    /// The same id again: [`Error::AlreadyExists`]. Each of its groups has to be there
    /// ([`Error::NotFound`]) and not `Deleting` ([`Error::WrongState`]), in the same transaction.
    async fn create_view(&self, view: &FeatureView, at: EventTime) -> Result<()>;

    async fn view(&self, id: &FeatureViewId) -> Result<Option<FeatureView>>;
    /// Every view of the project, or of all projects, ordered by id.
    async fn views(&self, project: Option<&ProjectName>) -> Result<Vec<FeatureView>>;

    async fn remove_view(&self, id: &FeatureViewId) -> Result<()>;
}

/// Training datasets. Versions are reserved before the files are written and never reused. A reservation
/// that has lapsed is over for good, so that what was made under it can be removed in peace.
#[async_trait]
pub trait TrainingDatasets: Send + Sync {
    /// The next free version of `name`, or the one asked for ([`Error::AlreadyExists`] when taken).
    async fn reserve_dataset(
        &self,
        project: &ProjectName,
        name: &str,
        version: Option<u32>,
        until: EventTime,
    ) -> Result<u32>;

    /// Moves the end of a reservation ([`Error::NotFound`] when there is none, or none any more at `now`).
    async fn renew_dataset(&self, reservation: &Reservation, now: EventTime) -> Result<()>;

    /// Stores the finished dataset under its reserved version ([`Error::NotFound`] when it is not
    /// reserved, or not any more at `now`; [`Error::AlreadyExists`] when it is finished already). The groups
    /// that it pins have to be there, in the life that is pinned, and not `Deleting`, in the same transaction.
    async fn put_dataset(
        &self,
        dataset: &TrainingDataset,
        statistics: Option<&DatasetStatistics>,
        now: EventTime,
    ) -> Result<()>;

    /// The dataset; the newest finished version when `None`.
    async fn dataset(
        &self,
        project: &ProjectName,
        name: &str,
        version: Option<u32>,
    ) -> Result<Option<TrainingDataset>>;

    /// The statistics with which a dataset was finished; none when there is no such dataset either.
    async fn dataset_statistics(
        &self,
        project: &ProjectName,
        name: &str,
        version: u32,
    ) -> Result<Option<DatasetStatistics>>;

    /// Every finished dataset of the project, or of all projects, ordered by name and version.
    async fn datasets(&self, project: Option<&ProjectName>) -> Result<Vec<TrainingDataset>>;

    /// Every reservation, lapsed ones too, ordered by name and version.
    async fn reserved_datasets(&self) -> Result<Vec<Reservation>>;

    /// Removes a finished dataset, or gives up a reserved version. The version may be given again only
    /// when its reservation was good at `now`: whoever let one lapse may still be at work.
    async fn remove_dataset(
        &self,
        project: &ProjectName,
        name: &str,
        version: u32,
        now: EventTime,
    ) -> Result<()>;
}

/// Projects. One is there once it was created, or once something is defined in it.
#[async_trait]
pub trait Projects: Send + Sync {
    /// There already: [`Error::AlreadyExists`].
    async fn create_project(&self, project: &ProjectName) -> Result<()>;

    /// In order.
    async fn projects(&self) -> Result<Vec<ProjectName>>;
}

/// A request that its caller may send again under the same key.
#[derive(Debug, Clone, Copy)]
pub struct KeyedRequest<'a> {
    pub key: &'a str,
    /// Equal for equal requests.
    pub digest: &'a str,
    pub now: EventTime,
    /// Keys first seen before this are forgotten.
    pub forget_before: EventTime,
    /// Who has claimed a key before this, and given no answer, has failed.
    pub abandoned_before: EventTime,
}

/// A key that was [claimed](KeyState::Claimed), by the `now` of its request: whoever claims it after it was
/// abandoned does so later.
#[derive(Debug, Clone, Copy)]
pub struct KeyClaim<'a> {
    pub key: &'a str,
    pub at: EventTime,
}

/// What a request was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub etag: Option<String>,
    pub body: String,
}

/// What is known of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyState {
    /// Nothing until now: the caller is to answer the request.
    Claimed,
    /// Somebody else is answering the same request.
    Pending,
    Answered(Answer),
    /// It was another request.
    Reused,
}

/// Keys of requests that are to be carried out once, however often they are sent.
#[async_trait]
pub trait IdempotencyKeys: Send + Sync {
    /// Of several callers with one key, one gets [`KeyState::Claimed`].
    async fn claim_key(&self, request: KeyedRequest<'_>) -> Result<KeyState>;

    /// Keeps the answer of a claimed key; the first one, if there are two. Nothing happens when the claim
    /// was taken for abandoned and another has the key.
    async fn answer_key(&self, claim: KeyClaim<'_>, answer: &Answer) -> Result<()>;

    /// Forgets a claimed key that has no answer, if this claim still has it.
    async fn release_key(&self, claim: KeyClaim<'_>) -> Result<()>;
}

/// Of the keys, values and headers of one page of quarantined records.
pub const QUARANTINE_PAGE_BYTES_MAX: u64 = 16 << 20;

/// Who wants to replay records of a group, and until when.
#[derive(Debug, Clone, Copy)]
pub struct ReplayClaim<'a> {
    pub group: &'a FeatureGroupId,
    /// The name of one replay, which no other has.
    pub replay: &'a str,
    pub now: EventTime,
    /// Unless it is claimed again before, others may have it from then on.
    pub until: EventTime,
}

/// The dead letters of every group: those of its present life, with which they go.
#[async_trait]
pub trait Quarantine: Send + Sync {
    /// Adds records; one that is already there (same group and position) is left as it is, so both
    /// consumers of a topic may report it. A group that does not exist, or not in the life whose `resource` a
    /// record names: [`Error::NotFound`], nothing is added.
    async fn quarantine(&self, records: &[QuarantinedRecord]) -> Result<()>;

    /// Records of a group that were not replayed yet, by position, after `after`: at most `limit`, and none
    /// behind the one that makes them [`QUARANTINE_PAGE_BYTES_MAX`] or more. There are no more when there
    /// is none.
    async fn quarantined(
        &self,
        group: &FeatureGroupId,
        after: Option<Position>,
        limit: usize,
    ) -> Result<Vec<QuarantinedRecord>>;

    /// Of several replays of a group, one at a time has it: true for that one, which renews its claim so.
    async fn claim_replay(&self, claim: ReplayClaim<'_>) -> Result<bool>;

    /// Gives the group to other replays, if this one has it.
    async fn end_replay(&self, group: &FeatureGroupId, replay: &str) -> Result<()>;

    /// Marks records of the life named `resource` as replayed and lets go of their bytes; those marked before
    /// keep their time. The mark stays as long as the group: a consumer that reads its topic again from an
    /// older position reports the record again, and it does not come back. When the group lives no more, or
    /// in another life: [`Error::NotFound`].
    async fn mark_replayed(
        &self,
        group: &FeatureGroupId,
        resource: &str,
        positions: &[Position],
        at: EventTime,
    ) -> Result<()>;
}

/// The right to make and to drop topics and tables, which one process has at a time.
///
/// It is lost when the process ends, when it is dropped, or when it was not renewed for 10 seconds.
#[async_trait]
pub trait Lease: Send {
    /// Shows that the holder is there. Fails when the lease is lost, or may be.
    async fn renew(&mut self) -> Result<()>;

    /// Gives it back; another may have it when this returns.
    async fn release(self: Box<Self>) -> Result<()>;
}

/// The transactional metadata of the platform.
///
/// Guarantees owed by every backend: each method is one transaction, serializable with the others;
/// what it returned is durable; every change of a definition or of a state is in the change feed in
/// the same transaction. What is stored comes back as it was, but for a NUL in a reason: not every
/// database has one in its text, so it comes back as U+FFFD.
#[async_trait]
pub trait MetadataStore:
    FeatureGroups
    + Schemas
    + FeatureViews
    + TrainingDatasets
    + Quarantine
    + Projects
    + IdempotencyKeys
    + Debug
    + Send
    + Sync
{
    /// Changes after `sequence`, oldest first, at most `limit`.
    async fn changes(&self, after: u64, limit: usize) -> Result<Vec<Change>>;

    /// The sequence of the newest change, 0 before the first.
    async fn newest_change(&self) -> Result<u64>;

    /// The reconciler's lease; `None` while another has it, in whatever process that shares the store.
    async fn reconciler(&self) -> Result<Option<Box<dyn Lease>>>;

    async fn close(&self) -> Result<()>;
}
