mod control_plane;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwapOption;
use async_trait::async_trait;
use tokio::sync::watch;
use twinfold_client::{Definitions, GroupDefinition, Result, WriterSchema};
use twinfold_model::{FeatureGroupId, QuarantinedRecord, SchemaId};
use twinfold_store_metadata::SchemaRecord;

use crate::{Registry, definition};

/// The registry in the same process, with what it said remembered until its change feed moves.
#[derive(Debug)]
pub struct LocalRegistry {
    registry: Registry,
    groups: ArcSwapOption<KnownGroups>,
    /// By topic. What is registered stays so and never changes, so these are never forgotten.
    schemas: Mutex<HashMap<String, HashMap<SchemaId, Arc<WriterSchema>>>>,
}

#[derive(Debug)]
struct KnownGroups {
    sequence: u64,
    by_id: HashMap<FeatureGroupId, Arc<GroupDefinition>>,
}

impl LocalRegistry {
    pub fn new(registry: Registry) -> Self {
        Self {
            registry,
            groups: ArcSwapOption::empty(),
            schemas: Mutex::default(),
        }
    }

    async fn known(&self) -> Result<Arc<KnownGroups>> {
        // Read before the groups: a change in between makes the next call read again.
        let sequence = *self.registry.newest_change().borrow();
        if let Some(known) = self.groups.load_full()
            && known.sequence == sequence
        {
            return Ok(known);
        }
        let records = self.registry.feature_groups(None).await?;
        let by_id = records.into_iter().map(|record| {
            let definition = definition(record);
            (definition.group.id().clone(), Arc::new(definition))
        });
        let known = Arc::new(KnownGroups {
            sequence,
            by_id: by_id.collect(),
        });
        self.groups.store(Some(Arc::clone(&known)));
        Ok(known)
    }
}

#[async_trait]
impl Definitions for LocalRegistry {
    async fn group(&self, id: &FeatureGroupId) -> Result<Arc<GroupDefinition>> {
        if let Some(definition) = self.known().await?.by_id.get(id) {
            return Ok(Arc::clone(definition));
        }
        // The registry knows best how to say what there is instead.
        Ok(Arc::new(definition(self.registry.feature_group(id).await?)))
    }

    async fn groups(&self) -> Result<Vec<Arc<GroupDefinition>>> {
        let known = self.known().await?;
        let mut groups: Vec<_> = known.by_id.values().cloned().collect();
        groups.sort_by(|a, b| a.group.id().cmp(b.group.id()));
        Ok(groups)
    }

    async fn schema(&self, id: SchemaId, resource: &str) -> Result<Option<Arc<WriterSchema>>> {
        let lock = || self.schemas.lock().unwrap_or_else(PoisonError::into_inner);
        let known = |known: &HashMap<SchemaId, Arc<WriterSchema>>| known.get(&id).cloned();
        if let Some(schema) = lock().get(resource).and_then(known) {
            return Ok(Some(schema));
        }
        let record = match self.registry.writer_schema(id, resource).await {
            Err(crate::Error::NotFound { .. }) => return Ok(None),
            answer => answer?,
        };
        let schema = Arc::new(writer_schema(record));
        let mut schemas = lock();
        let of_resource = schemas.entry(resource.to_owned()).or_default();
        of_resource.insert(id, Arc::clone(&schema));
        Ok(Some(schema))
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.registry.newest_change()
    }

    async fn pinned_commits(&self, group: &FeatureGroupId) -> Result<Vec<u64>> {
        Ok(self.registry.pinned_commits(group).await?)
    }

    async fn quarantine(&self, records: Vec<QuarantinedRecord>) -> Result<()> {
        Ok(self.registry.quarantine(&records).await?)
    }
}

fn writer_schema(record: SchemaRecord) -> WriterSchema {
    WriterSchema {
        id: record.id,
        avro_json: record.avro_json,
    }
}
