//! A schema registry that others run, in the place of ours.
//!
//! Schemas of feature groups are registered there and have the ids that it gives; those of producers are looked
//! up there when a record names them first. What was learned is kept in our metadata and answered from there.

mod client;
mod error;

use twinfold_model::{Error as ModelError, FeatureGroup, SchemaId};
use twinfold_store_metadata::{
    Error as MetadataError, NewSchema, Registration, SchemaRecord, VersionsOf,
};
use twinfold_wire::record::value_subject;

use crate::schemas::unknown;
use crate::subjects::{SchemaError, schema_elsewhere, unreadable_as_rows};
use crate::{Registry, Result};

use client::ForeignSchema;
pub use client::{ForeignConfig, ForeignRegistry};
pub use error::ForeignError;

/// How often a schema is judged again after someone else changed what it was judged with.
const LEARN_ATTEMPTS_MAX: u32 = 10;

impl ForeignRegistry {
    /// Registers the schema of a group. It is kept as it is given back: so an id has one text, whether we
    /// register it or find it in a record.
    pub(crate) async fn register_own(
        &self,
        group: &FeatureGroup,
        subject: String,
        avro_json: &str,
    ) -> Result<NewSchema> {
        let id = match self.register(&subject, avro_json).await {
            Err(error @ ForeignError::Incompatible { .. }) => {
                return Err(ModelError::InvalidFeatureGroup {
                    group: group.id().to_string(),
                    reason: error.to_string(),
                }
                .into());
            }
            answer => answer?,
        };
        let altered = |reason: String| ForeignError::NotGivenBack {
            url: self.url().to_owned(),
            id: id.0,
            reason,
        };
        let Some(schema) = self.schema(id).await? else {
            return Err(altered("it does not exist".to_owned()).into());
        };
        let registration = Registration { subject, id };
        Ok(readable(group, schema, registration).map_err(altered)?)
    }
}

impl Registry {
    pub(crate) fn foreign(&self) -> Option<&ForeignRegistry> {
        self.inner.config.foreign.as_ref()
    }

    /// Looks up elsewhere a schema that a row of the topic named `resource` names. Remembers it if it is
    /// registered for these rows and they can be read with it.
    pub(crate) async fn learn_schema(&self, id: SchemaId, resource: &str) -> Result<SchemaRecord> {
        let Some(foreign) = self.foreign() else {
            return Err(unknown(id, String::new()));
        };
        let subject = value_subject(resource);
        if !foreign.stands_under(id, &subject).await? {
            let hint = format!(
                "; it is not registered at {} under `{subject}`",
                foreign.url()
            );
            return Err(unknown(id, hint));
        }
        let Some(schema) = foreign.schema(id).await? else {
            return Err(unknown(id, String::new()));
        };
        let registration = Registration { subject, id };
        self.remember(foreign, schema, registration, resource).await
    }

    async fn remember(
        &self,
        foreign: &ForeignRegistry,
        schema: ForeignSchema,
        registration: Registration,
        resource: &str,
    ) -> Result<SchemaRecord> {
        let (metadata, subject) = (self.metadata(), registration.subject.as_str());
        for _ in 0..LEARN_ATTEMPTS_MAX {
            // Before the group: who changes it adds a version, and then it is judged anew.
            let known = metadata.versions(VersionsOf::Subject(subject)).await?;
            let newest = known.last().map_or(0, |version| version.version);
            let Some(record) = metadata.group_of_topic(resource).await? else {
                return Err(unknown(registration.id, String::new()));
            };
            let new = readable(&record.group, schema.clone(), registration.clone());
            let new = new.map_err(|reason| {
                let group = record.group.id();
                let hint = format!(
                    "; rows of feature group `{group}` cannot be read with the one at {}: {reason}",
                    foreign.url()
                );
                unknown(registration.id, hint)
            })?;
            match metadata.register_version(subject, &new, newest).await {
                Ok(version) => {
                    // The loop may be at work on what the group was before.
                    self.changed().await;
                    return Ok(version.schema);
                }
                Err(MetadataError::StaleVersion { .. }) => {}
                Err(other) => return Err(other.into()),
            }
        }
        Err(SchemaError::Contended {
            subject: subject.to_owned(),
            attempts: LEARN_ATTEMPTS_MAX,
        }
        .into())
    }
}

/// The schema as we keep it, or why rows of the group cannot be read with it.
fn readable(
    group: &FeatureGroup,
    schema: ForeignSchema,
    registration: Registration,
) -> Result<NewSchema, String> {
    let avro_json = schema.avro_json()?;
    match unreadable_as_rows(group, &avro_json) {
        Some(reason) => Err(reason),
        None => Ok(schema_elsewhere(avro_json, registration)),
    }
}
