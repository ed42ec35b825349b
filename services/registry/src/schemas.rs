use std::collections::BTreeSet;

use twinfold_model::{FeatureGroup, FeatureGroupId, SchemaId};
use twinfold_store_metadata::{GroupRecord, NewSchema, SchemaRecord, VersionsOf};
use twinfold_wire::record::{avro_schema, value_subject};

use crate::subjects::{own_schema, unreadable_as_rows};
use crate::{Error, Registry, Result};

impl Registry {
    /// The schema, if it is registered for the rows of the topic and tables named `resource`. One that was
    /// deleted counts: rows were written with it.
    pub async fn writer_schema(&self, id: SchemaId, resource: &str) -> Result<SchemaRecord> {
        let subject = value_subject(resource);
        let versions = self.metadata().versions(VersionsOf::Schema(id)).await?;
        let mut versions = versions.into_iter();
        match versions.find(|version| version.subject == subject) {
            Some(found) => Ok(found.schema),
            None => self.learn_schema(id, resource).await,
        }
    }

    /// The schema of a group's definition, as it is to be registered for the rows of the topic named
    /// `resource`: with an id, if another registry gives the ids.
    pub(crate) async fn schema_of(
        &self,
        group: &FeatureGroup,
        resource: &str,
    ) -> Result<NewSchema> {
        let avro_json = avro_schema(group);
        match self.foreign() {
            None => Ok(own_schema(avro_json)),
            Some(foreign) => {
                let subject = value_subject(resource);
                foreign.register_own(group, subject, &avro_json).await
            }
        }
    }

    /// Every schema that rows of a group may be written with, oldest first.
    pub async fn schemas(&self, group: &FeatureGroupId) -> Result<Vec<SchemaRecord>> {
        self.schemas_of(&self.feature_group(group).await?).await
    }

    /// Some may have been registered before the group was there, and do not fit it: no row has those.
    pub(crate) async fn schemas_of(&self, record: &GroupRecord) -> Result<Vec<SchemaRecord>> {
        let subject = value_subject(&record.resource);
        let versions = VersionsOf::Subject(&subject);
        let versions = self.metadata().versions(versions).await?.into_iter();
        let mut schemas: Vec<SchemaRecord> = versions.map(|version| version.schema).collect();
        let mut known = BTreeSet::new();
        schemas.retain(|schema| {
            known.insert(schema.id)
                && unreadable_as_rows(&record.group, &schema.avro_json).is_none()
        });
        Ok(schemas)
    }
}

pub(crate) fn unknown(id: SchemaId, hint: String) -> Error {
    Error::NotFound {
        what: "schema",
        name: id.0.to_string(),
        hint,
    }
}
