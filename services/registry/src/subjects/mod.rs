//! Schemas under subjects, as producers of the Kafka world register and look them up.
//!
//! A schema has one id whatever subject has it; a subject is a list of versions. The value subject of a
//! feature group's topic has the group's own schemas among its versions, and takes others only if their rows
//! can be read as rows of the group.

mod candidate;
mod check;
mod error;
mod name;
mod settings;

use twinfold_model::{ResourceState, SchemaId};
use twinfold_store_metadata::{
    Error as MetadataError, GroupRecord, SchemaOrigin, SchemaRecord, SchemaVersion, VersionsOf,
};
use twinfold_wire::record::topic_of_value_subject;

use crate::{Registry, Result};

pub use candidate::Candidate;
pub use check::Against;
pub use error::SchemaError;
pub use name::{Scope, Subject};
pub use settings::{Level, Mode};

pub(crate) use candidate::{own_schema, schema_elsewhere};
pub(crate) use check::unreadable_as_rows;
pub(crate) use name::DEFAULT_CONTEXT;

/// How often a registration is tried again after someone else registered under the same subject first.
const REGISTER_ATTEMPTS_MAX: u32 = 10;

/// Whether deleted versions are seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    Live,
    DeletedToo,
    DeletedOnly,
}

/// What becomes of versions that go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removal {
    /// They are hidden, and what is written with them can be read.
    Delete,
    /// What was deleted before is forgotten.
    Permanent,
}

/// Which version of a subject is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VersionName {
    Latest,
    Number(u32),
}

impl VersionName {
    pub fn parse(found: &str) -> Result<Self, SchemaError> {
        match (found, found.parse::<i32>().map(u32::try_from)) {
            ("latest" | "-1", _) => Ok(Self::Latest),
            (_, Ok(Ok(number))) if number > 0 => Ok(Self::Number(number)),
            _ => Err(SchemaError::InvalidVersion {
                found: found.to_owned(),
            }),
        }
    }
}

impl Seen {
    fn sees(self, is_deleted: bool) -> bool {
        match self {
            Self::Live => !is_deleted,
            Self::DeletedToo => true,
            Self::DeletedOnly => is_deleted,
        }
    }
}

impl Registry {
    /// The names of subjects; one whose versions are all deleted counts as deleted.
    pub async fn subjects(&self, seen: Seen) -> Result<Vec<String>> {
        let subjects = self.metadata().subjects().await?;
        let seen = subjects
            .into_iter()
            .filter(|subject| seen.sees(subject.is_deleted));
        Ok(seen.map(|subject| subject.name).collect())
    }

    /// The versions of a subject that are seen, in their order.
    pub async fn versions(&self, subject: &Subject, seen: Seen) -> Result<Vec<SchemaVersion>> {
        let mut versions = self.all_versions(subject).await?;
        versions.retain(|version| seen.sees(version.is_deleted));
        if versions.is_empty() {
            return Err(not_found(subject));
        }
        Ok(versions)
    }

    pub async fn version(
        &self,
        subject: &Subject,
        name: VersionName,
        seen: Seen,
    ) -> Result<SchemaVersion> {
        let versions = self.versions(subject, seen).await?;
        find(versions, subject, name)
    }

    /// Every version of every subject that is seen.
    pub async fn all_schemas(&self, seen: Seen) -> Result<Vec<SchemaVersion>> {
        let mut versions = self.metadata().versions(VersionsOf::All).await?;
        versions.retain(|version| seen.sees(version.is_deleted));
        Ok(versions)
    }

    /// Where a schema is registered.
    pub async fn places(&self, id: SchemaId, seen: Seen) -> Result<Vec<SchemaVersion>> {
        let mut versions = self.metadata().versions(VersionsOf::Schema(id)).await?;
        if versions.is_empty() {
            return Err(unknown_schema(id));
        }
        versions.retain(|version| seen.sees(version.is_deleted));
        Ok(versions)
    }

    /// The schema, if any subject has it or had it.
    pub async fn registered_schema(&self, id: SchemaId) -> Result<SchemaRecord> {
        let schema = self.metadata().schema(id).await?;
        schema.ok_or_else(|| unknown_schema(id))
    }

    pub async fn schema_of_guid(&self, guid: &str) -> Result<SchemaRecord> {
        let schema = self.metadata().schema_of_guid(guid).await?;
        let unknown = || SchemaError::SchemaNotFound {
            schema: format!("`{guid}`"),
        };
        Ok(schema.ok_or_else(unknown)?)
    }

    /// The greatest id that was given.
    pub async fn newest_schema(&self) -> Result<SchemaId> {
        Ok(self.metadata().newest_schema().await?)
    }

    /// The version of the subject that has this schema.
    pub async fn look_up(
        &self,
        subject: &Subject,
        candidate: &Candidate,
        seen: Seen,
    ) -> Result<SchemaVersion> {
        let versions = self.versions(subject, seen).await?;
        let mut newest_first = versions.into_iter().rev();
        let found = newest_first.find(|version| version.schema.guid == candidate.new.guid);
        let unknown = || SchemaError::NotRegistered {
            subject: subject.to_string(),
        };
        Ok(found.ok_or_else(unknown)?)
    }

    /// Registers a schema as the next version of the subject, unless a version has it.
    pub async fn register(
        &self,
        subject: &Subject,
        candidate: &Candidate,
    ) -> Result<SchemaVersion> {
        for _ in 0..REGISTER_ATTEMPTS_MAX {
            let known = self.all_versions(subject).await?;
            let newest = known.last().map_or(0, |version| version.version);
            let mut live = known;
            live.retain(|version| !version.is_deleted);
            let mut same = live.iter();
            if let Some(same) = same.find(|version| version.schema.guid == candidate.new.guid) {
                return Ok(same.clone());
            }
            self.require_writable(&subject.scopes()[0], "a registration")
                .await?;
            let group = self.group_of(subject).await?;
            self.require_compatible(subject, group.as_ref(), candidate, &live)
                .await?;
            let metadata = self.metadata();
            let registered = metadata.register_version(subject.as_str(), &candidate.new, newest);
            match registered.await {
                Ok(version) => {
                    if group.is_some() {
                        // The loop may be at work on what the group was before.
                        self.changed().await;
                    }
                    return Ok(version);
                }
                Err(MetadataError::StaleVersion { .. }) => {}
                Err(other) => return Err(other.into()),
            }
        }
        Err(SchemaError::Contended {
            subject: subject.to_string(),
            attempts: REGISTER_ATTEMPTS_MAX,
        }
        .into())
    }

    /// Deletes a subject with what is set for it; the numbers of its versions that went.
    pub async fn delete_subject(&self, subject: &Subject, removal: Removal) -> Result<Vec<u32>> {
        let known = self.versions(subject, Seen::DeletedToo).await?;
        self.require_removable(subject).await?;
        let is_live = known.iter().any(|version| !version.is_deleted);
        let name = subject.to_string();
        let seen = match (removal, is_live) {
            (Removal::Delete, true) => Seen::Live,
            (Removal::Permanent, false) => Seen::DeletedOnly,
            (Removal::Delete, false) => {
                return Err(SchemaError::SubjectDeleted { subject: name }.into());
            }
            (Removal::Permanent, true) => {
                return Err(SchemaError::SubjectNotDeleted { subject: name }.into());
            }
        };
        let going = known.iter().filter(|version| seen.sees(version.is_deleted));
        let going: Vec<u32> = going.map(|version| version.version).collect();
        self.remove(subject, &going, removal).await?;
        self.forget_settings(subject).await?;
        Ok(going)
    }

    pub async fn delete_version(
        &self,
        subject: &Subject,
        name: VersionName,
        removal: Removal,
    ) -> Result<u32> {
        let mut known = self.versions(subject, Seen::DeletedToo).await?;
        if name == VersionName::Latest && removal == Removal::Delete {
            known.retain(|version| !version.is_deleted);
        }
        let found = find(known, subject, name)?;
        self.require_writable(&subject.scopes()[0], "a deletion")
            .await?;
        if let Some(group) = self.group_of(subject).await? {
            refuse_needed(&group, &found, removal)?;
        }
        let (subject_name, version) = (subject.to_string(), found.version);
        match (removal, found.is_deleted) {
            (Removal::Delete, true) => Err(SchemaError::VersionDeleted {
                subject: subject_name,
                version,
            }
            .into()),
            (Removal::Permanent, false) => Err(SchemaError::VersionNotDeleted {
                subject: subject_name,
                version,
            }
            .into()),
            _ => {
                self.remove(subject, &[version], removal).await?;
                Ok(version)
            }
        }
    }

    async fn remove(&self, subject: &Subject, versions: &[u32], removal: Removal) -> Result<()> {
        let (metadata, subject) = (self.metadata(), subject.as_str());
        match removal {
            Removal::Delete => metadata.delete_versions(subject, versions).await?,
            Removal::Permanent => metadata.remove_versions(subject, versions).await?,
        }
        Ok(())
    }

    async fn require_removable(&self, subject: &Subject) -> Result<()> {
        self.require_writable(&subject.scopes()[0], "a deletion")
            .await?;
        match self.group_of(subject).await? {
            None => Ok(()),
            Some(group) => Err(SchemaError::NotPermitted {
                what: "a deletion",
                reason: format!("the subject goes with feature group `{}`", group.group.id()),
            }
            .into()),
        }
    }

    /// The feature group whose rows are written with the schemas of this subject.
    async fn group_of(&self, subject: &Subject) -> Result<Option<GroupRecord>> {
        let Some(topic) = topic_of_value_subject(subject.as_str()) else {
            return Ok(None);
        };
        let group = self.metadata().group_of_topic(topic).await?;
        match group {
            Some(group) if group.state == ResourceState::Deleting => {
                Err(SchemaError::NotPermitted {
                    what: "a change",
                    reason: format!("feature group `{}` is being deleted", group.group.id()),
                }
                .into())
            }
            group => Ok(group),
        }
    }

    async fn all_versions(&self, subject: &Subject) -> Result<Vec<SchemaVersion>> {
        let of_subject = VersionsOf::Subject(subject.as_str());
        Ok(self.metadata().versions(of_subject).await?)
    }
}

/// Rows in both stores are read with the schemas they were written with, for as long as the group is there.
fn refuse_needed(
    group: &GroupRecord,
    version: &SchemaVersion,
    removal: Removal,
) -> Result<(), SchemaError> {
    let id = group.group.id();
    let reason = match (version.origin, removal) {
        (SchemaOrigin::FeatureGroup, _) => format!("it is a schema of feature group `{id}`"),
        (SchemaOrigin::Producer, Removal::Permanent) => {
            format!("rows of feature group `{id}` may have been written with it")
        }
        (SchemaOrigin::Producer, Removal::Delete) => return Ok(()),
    };
    Err(SchemaError::NotPermitted {
        what: "a deletion",
        reason,
    })
}

fn find(
    versions: Vec<SchemaVersion>,
    subject: &Subject,
    name: VersionName,
) -> Result<SchemaVersion> {
    let mut newest_first = versions.into_iter().rev();
    let (found, version) = match name {
        VersionName::Latest => (newest_first.next(), "latest".to_owned()),
        VersionName::Number(number) => (
            newest_first.find(|version| version.version == number),
            number.to_string(),
        ),
    };
    let unknown = || SchemaError::VersionNotFound {
        subject: subject.to_string(),
        version,
    };
    Ok(found.ok_or_else(unknown)?)
}

fn not_found(subject: &Subject) -> crate::Error {
    SchemaError::SubjectNotFound {
        subject: subject.to_string(),
    }
    .into()
}

fn unknown_schema(id: SchemaId) -> crate::Error {
    SchemaError::SchemaNotFound {
        schema: id.0.to_string(),
    }
    .into()
}
