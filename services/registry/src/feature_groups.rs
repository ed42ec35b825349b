use twinfold_client::{Deletion, Expected};
use twinfold_model::{
    Error as ModelError, Feature, FeatureGroup, FeatureGroupId, GroupDescription, ProjectName,
    ResourceState, evolve,
};
use twinfold_store_metadata::{Error as MetadataError, GroupRecord, NewSchema};
use twinfold_wire::rest::FeatureGroupBody;

use crate::revision::require;
use crate::subjects::unreadable_as_rows;
use crate::{Error, Registry, Result, suggestion};

/// How often a change is tried again after someone else changed the same group first.
const CHANGE_ATTEMPTS_MAX: u32 = 10;

impl Registry {
    /// Stores the definition in state `Creating`; the loop makes its topic and tables.
    pub async fn create_feature_group(&self, group: FeatureGroup) -> Result<GroupRecord> {
        let group = as_stored(&group)?;
        match self.store_new(&group).await {
            Ok(record) => {
                self.changed().await;
                Ok(record)
            }
            Err(error @ Error::AlreadyExists { .. }) => match self.find_group(group.id()).await? {
                Some(record) if record.state == ResourceState::Deleting => {
                    Err(being_deleted(group.id()))
                }
                _ => Err(error),
            },
            Err(other) => Err(other),
        }
    }

    /// The group, or [`Error::NotFound`] with what there is instead.
    pub async fn feature_group(&self, id: &FeatureGroupId) -> Result<GroupRecord> {
        match self.find_group(id).await? {
            Some(record) => Ok(record),
            None => Err(self
                .unknown_group(&id.project, id.name.as_str(), Some(id.version))
                .await?),
        }
    }

    /// The newest version of a group; one that is being deleted only when there is no other.
    pub async fn newest_feature_group(
        &self,
        project: &ProjectName,
        name: &str,
    ) -> Result<GroupRecord> {
        let groups = self.feature_groups(Some(project)).await?;
        let newest = groups
            .into_iter()
            .filter(|record| record.group.id().name.as_str() == name)
            .max_by_key(|record| {
                let is_kept = record.state != ResourceState::Deleting;
                (is_kept, record.group.id().version)
            });
        match newest {
            Some(record) => Ok(record),
            None => Err(self.unknown_group(project, name, None).await?),
        }
    }

    /// Every group of the project, or of all projects, ordered by id.
    pub async fn feature_groups(&self, project: Option<&ProjectName>) -> Result<Vec<GroupRecord>> {
        Ok(self.metadata().groups(project).await?)
    }

    /// Adds features in place; see [`evolve`]. The group has a new schema at once; its history gets the
    /// columns before it is `Active` again.
    pub async fn append_features(
        &self,
        id: &FeatureGroupId,
        added: Vec<Feature>,
        expected: &Expected,
    ) -> Result<GroupRecord> {
        for _ in 0..CHANGE_ATTEMPTS_MAX {
            let record = self.changeable(id).await?;
            require(expected, &record)?;
            if added.is_empty() {
                return Ok(record);
            }
            let group = as_stored(&evolve(&record.group, added.clone())?)?;
            self.require_readable(&record, &group).await?;
            let schema = self.schema_of(&group, &record.resource).await?;
            if let Some(record) = self.replace(&group, &schema, record.revision).await? {
                return Ok(record);
            }
        }
        Err(contended(id))
    }

    /// Changes description, tags or both; topic and tables stay as they are.
    pub async fn describe_feature_group(
        &self,
        id: &FeatureGroupId,
        description: &GroupDescription,
        expected: &Expected,
    ) -> Result<GroupRecord> {
        for _ in 0..CHANGE_ATTEMPTS_MAX {
            let record = self.changeable(id).await?;
            require(expected, &record)?;
            let group = description.of(&record.group)?;
            // Not the whole group: with a default of NaN it equals nothing.
            let before = &record.group;
            if group.description() == before.description() && group.tags() == before.tags() {
                return Ok(record);
            }
            // The schema in use, not one made anew: its text may come from an earlier release.
            let schema: NewSchema = self.registered_schema(record.schema).await?.into();
            if let Some(record) = self.replace(&group, &schema, record.revision).await? {
                return Ok(record);
            }
        }
        Err(contended(id))
    }

    /// Marks the group as `Deleting`; the loop drops topic and tables, then the definition. Said twice,
    /// it is the same deletion.
    pub async fn delete_feature_group(
        &self,
        id: &FeatureGroupId,
        deletion: Deletion,
        expected: &Expected,
    ) -> Result<()> {
        for _ in 0..CHANGE_ATTEMPTS_MAX {
            // Before the group and its users are looked at: what becomes of them meanwhile is a newer change.
            let seen = self.metadata().newest_change().await?;
            require(expected, &self.feature_group(id).await?)?;
            if deletion == Deletion::RefuseIfUsed {
                self.require_unused(id).await?;
            }
            let is_any = deletion == Deletion::Force && *expected == Expected::Anything;
            let sequence = (!is_any).then_some(seen);
            match self.metadata().begin_deletion(id, sequence).await {
                Ok(()) => {
                    self.changed().await;
                    return Ok(());
                }
                Err(MetadataError::StaleFeed { .. }) => {}
                Err(other) => return Err(other.into()),
            }
        }
        Err(contended(id))
    }

    pub(crate) async fn find_group(&self, id: &FeatureGroupId) -> Result<Option<GroupRecord>> {
        Ok(self.metadata().group(id).await?)
    }

    /// The group if it can be changed and referred to.
    pub(crate) async fn changeable(&self, id: &FeatureGroupId) -> Result<GroupRecord> {
        let record = self.feature_group(id).await?;
        if record.state == ResourceState::Deleting {
            return Err(being_deleted(id));
        }
        Ok(record)
    }

    /// Announces a change and wakes the loop, which must not drop what others do not know to be going.
    pub(crate) async fn changed(&self) {
        self.announce().await;
        self.inner.work.notify_one();
    }

    async fn store_new(&self, group: &FeatureGroup) -> Result<GroupRecord> {
        for _ in 0..CHANGE_ATTEMPTS_MAX {
            let resource = self.metadata().next_resource(group.id()).await?;
            let schema = self.schema_of(group, &resource).await?;
            let metadata = self.metadata();
            match metadata.create_group(group, &schema, self.now()).await {
                // Another was created and removed meanwhile: now the topic has another name.
                Err(MetadataError::OtherSubject { .. }) => {}
                created => return Ok(created?),
            }
        }
        Err(contended(group.id()))
    }

    /// `None` when someone else changed the group since `revision`.
    async fn replace(
        &self,
        group: &FeatureGroup,
        schema: &NewSchema,
        revision: u64,
    ) -> Result<Option<GroupRecord>> {
        match self.metadata().update_group(group, schema, revision).await {
            Ok(record) => {
                self.changed().await;
                Ok(Some(record))
            }
            Err(MetadataError::StaleRevision { .. }) => Ok(None),
            Err(MetadataError::WrongState { .. }) => Err(being_deleted(group.id())),
            Err(other) => Err(other.into()),
        }
    }

    /// Producers may have registered schemas that have a field of the name of a feature that is new: rows
    /// written with them must be readable as before.
    async fn require_readable(&self, before: &GroupRecord, evolved: &FeatureGroup) -> Result<()> {
        for schema in self.schemas_of(before).await? {
            if let Some(reason) = unreadable_as_rows(evolved, &schema.avro_json) {
                let id = evolved.id();
                return Err(Error::Invalid(ModelError::IncompatibleEvolution {
                    group: id.to_string(),
                    reason: format!(
                        "rows written with schema {} could not be read: {reason}",
                        schema.id.0
                    ),
                    next_version: id.version + 1,
                }));
            }
        }
        Ok(())
    }

    async fn unknown_group(
        &self,
        project: &ProjectName,
        name: &str,
        version: Option<u32>,
    ) -> Result<Error> {
        let groups = self.feature_groups(Some(project)).await?;
        let known = groups.iter().map(|record| record.group.id());
        let known = known.map(|id| (id.name.as_str(), id.version));
        let what = "feature group";
        Ok(suggestion::not_found(what, project, name, version, known))
    }
}

/// The group as it will be read back. What cannot be read back must not be stored; a feature's public
/// parts may have been set to something that its constructor refuses.
fn as_stored(group: &FeatureGroup) -> Result<FeatureGroup> {
    Ok(FeatureGroup::try_from(FeatureGroupBody::from(group))?)
}

pub(crate) fn being_deleted(group: &FeatureGroupId) -> Error {
    Error::BeingDeleted {
        group: group.clone(),
    }
}

fn contended(group: &FeatureGroupId) -> Error {
    Error::Contended {
        group: group.clone(),
        attempts: CHANGE_ATTEMPTS_MAX,
    }
}
