//! What the records are to be read as: the group's definition and the schemas that writers name.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tracing::warn;
use twinfold_client::{GroupDefinition, WriterSchema};
use twinfold_model::{SchemaId, feature_difference};
use twinfold_store_topic::RecordBatch;

use super::{Consumer, Run};
use crate::{Error, Result};

impl Run<'_> {
    /// Looks whether the group has evolved, when definitions were read anew: its writers need not name
    /// another schema than before. When it cannot be told, a later reading will. False when told to stop
    /// meanwhile.
    pub(super) async fn follow(&mut self, shutdown: &CancellationToken) -> Result<bool> {
        let is_read = self.definitions_read.has_changed();
        // Nobody reads any more when the process ends.
        if !is_read.unwrap_or(false) {
            return Ok(true);
        }
        self.definitions_read.mark_unchanged();
        let reading = self.consumer.definition();
        let Some(read) = shutdown.run_until_cancelled(reading).await else {
            return Ok(false);
        };
        match read {
            Ok(Some(definition)) if self.has_evolved(&definition) => {
                self.redefine(definition, shutdown).await
            }
            Ok(_) => Ok(true),
            Err(error) => {
                warn!(consumer = self.consumer.name, feature_group = %self.consumer.group, %error, "the group's definition cannot be read");
                Ok(true)
            }
        }
    }

    /// Learns the schemas that these records name. A new schema may mean that the group has evolved. False
    /// when told to stop meanwhile.
    pub(super) async fn learn(
        &mut self,
        batches: &[RecordBatch],
        shutdown: &CancellationToken,
    ) -> Result<bool> {
        while let Some(id) = self.intake.admission.unknown_schema(batches) {
            let asking = self.consumer.schema_and_definition(id);
            let Some(answer) = shutdown.run_until_cancelled(asking).await else {
                return Ok(false);
            };
            let (schema, definition) = answer?;
            if self.has_evolved(&definition) && !self.redefine(definition, shutdown).await? {
                return Ok(false);
            }
            self.intake.admission_mut().learn(id, schema.as_deref());
        }
        Ok(true)
    }

    /// Whether records are to be read in another way. What people are told of the group does not matter.
    fn has_evolved(&self, now: &GroupDefinition) -> bool {
        feature_difference(&self.definition.group, now.group.features()).is_some()
    }

    /// Goes on with another definition; what is buffered is written under the one before. False when told to
    /// stop meanwhile: nothing may be taken in after that.
    async fn redefine(
        &mut self,
        definition: Arc<GroupDefinition>,
        shutdown: &CancellationToken,
    ) -> Result<bool> {
        self.write(shutdown).await?;
        let defining = self.writer.sink.define(&definition);
        let Some(defined) = shutdown.run_until_cancelled(defining).await else {
            return Ok(false);
        };
        defined?;
        self.intake.admission = self.consumer.admission(&definition);
        self.definition = definition;
        Ok(true)
    }
}

impl Consumer {
    /// What the registry says of a schema, and the group, which is no older than that.
    async fn schema_and_definition(
        &self,
        id: SchemaId,
    ) -> Result<(Option<Arc<WriterSchema>>, Arc<GroupDefinition>)> {
        let schema = self.definitions.schema(id, &self.resource).await?;
        // Its schemas went with the group: nothing of it is to be quarantined for that.
        let definition = self.definition().await?.ok_or(Error::Gone)?;
        Ok((schema, definition))
    }
}
