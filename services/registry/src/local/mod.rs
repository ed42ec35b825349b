mod control_plane;

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::watch;
use twinfold_client::known::{KnownDefinitions, KnownGroups};
use twinfold_client::{Definitions, GroupDefinition, Result, WriterSchema};
use twinfold_model::{FeatureGroupId, QuarantinedRecord, SchemaId};
use twinfold_store_metadata::SchemaRecord;

use crate::{Registry, definition};

/// The registry in the same process, with what it said remembered until its change feed moves.
#[derive(Debug)]
pub struct LocalRegistry {
    registry: Registry,
    known: KnownDefinitions,
}

impl LocalRegistry {
    pub fn new(registry: Registry) -> Self {
        Self {
            registry,
            known: KnownDefinitions::default(),
        }
    }

    async fn known_groups(&self) -> Result<Arc<KnownGroups>> {
        let sequence = *self.registry.newest_change().borrow();
        let read = async {
            let records = self.registry.feature_groups(None).await?;
            Ok(records.into_iter().map(definition).collect())
        };
        self.known.groups(sequence, read).await
    }
}

#[async_trait]
impl Definitions for LocalRegistry {
    async fn group(&self, id: &FeatureGroupId) -> Result<Arc<GroupDefinition>> {
        if let Some(definition) = self.known_groups().await?.get(id) {
            return Ok(definition);
        }
        // The registry knows best how to say what there is instead.
        Ok(Arc::new(definition(self.registry.feature_group(id).await?)))
    }

    async fn groups(&self) -> Result<Vec<Arc<GroupDefinition>>> {
        Ok(self.known_groups().await?.ordered())
    }

    async fn schema(&self, id: SchemaId, resource: &str) -> Result<Option<Arc<WriterSchema>>> {
        if let Some(schema) = self.known.schema(id, resource) {
            return Ok(Some(schema));
        }
        let record = match self.registry.writer_schema(id, resource).await {
            Err(crate::Error::NotFound { .. }) => return Ok(None),
            answer => answer?,
        };
        let schema = self.known.remember_schema(resource, writer_schema(record));
        Ok(Some(schema))
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.registry.newest_change()
    }

    async fn pinned_commits(&self, group: &FeatureGroupId) -> Result<Vec<u64>> {
        Ok(self.registry.pinned_commits(group).await?)
    }

    async fn quarantine(&self, records: &[QuarantinedRecord]) -> Result<()> {
        Ok(self.registry.quarantine(records).await?)
    }
}

fn writer_schema(record: SchemaRecord) -> WriterSchema {
    WriterSchema {
        id: record.id,
        avro_json: record.avro_json,
    }
}
