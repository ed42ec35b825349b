//! What the records are to be read as: the group's definition and the schemas that writers name.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tracing::warn;
use twinfold_client::GroupDefinition;
use twinfold_model::feature_difference;
use twinfold_store_topic::RecordBatch;

use super::{Consumer, Run};
use crate::{Error, Result};

impl Run<'_> {
    /// Looks whether the group has evolved, when definitions were read anew: its writers need not name
    /// another schema than before. When it cannot be told, a later reading will.
    pub(super) async fn follow(&mut self, shutdown: &CancellationToken) -> Result<()> {
        let is_read = self.definitions_read.has_changed();
        // Nobody reads any more when the process ends.
        if !is_read.unwrap_or(false) {
            return Ok(());
        }
        self.definitions_read.mark_unchanged();
        match self.consumer.definition().await {
            Ok(Some(definition)) if self.has_evolved(&definition) => {
                self.redefine(definition, shutdown).await
            }
            Ok(_) => Ok(()),
            Err(error) => {
                warn!(consumer = self.consumer.name, group = %self.consumer.group, %error, "the group's definition cannot be read");
                Ok(())
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
            let Consumer {
                definitions,
                resource,
                ..
            } = self.consumer;
            let schema = tokio::select! {
                () = shutdown.cancelled() => return Ok(false),
                schema = definitions.schema(id, resource) => schema?,
            };
            let Some(definition) = self.consumer.definition().await? else {
                // Its schemas went with the group: nothing of it is to be quarantined for that.
                return Err(Error::Gone);
            };
            if self.has_evolved(&definition) {
                self.redefine(definition, shutdown).await?;
            }
            self.intake.admission_mut().learn(id, schema.as_deref());
        }
        Ok(true)
    }

    /// Whether records are to be read in another way. What people are told of the group does not matter.
    fn has_evolved(&self, now: &GroupDefinition) -> bool {
        feature_difference(&self.definition.group, now.group.features()).is_some()
    }

    /// Goes on with another definition; what is buffered is written under the one before.
    async fn redefine(
        &mut self,
        definition: Arc<GroupDefinition>,
        shutdown: &CancellationToken,
    ) -> Result<()> {
        self.write(shutdown).await?;
        self.writer.sink.define(&definition).await?;
        self.intake.admission = self.consumer.admission(&definition);
        self.definition = definition;
        Ok(())
    }
}
