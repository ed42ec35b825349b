use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwapOption;
use twinfold_model::{FeatureGroupId, SchemaId};

use crate::{GroupDefinition, Result, WriterSchema};

type Schemas = HashMap<SchemaId, Arc<WriterSchema>>;

/// What a registry said, remembered: groups until its change feed moves, schemas for good.
#[derive(Debug, Default)]
pub struct KnownDefinitions {
    groups: ArcSwapOption<KnownGroups>,
    /// By topic. What is registered stays so and never changes.
    schemas: Mutex<HashMap<String, Schemas>>,
}

/// All groups as they were at one point of the change feed.
#[derive(Debug)]
pub struct KnownGroups {
    sequence: u64,
    by_id: HashMap<FeatureGroupId, Arc<GroupDefinition>>,
}

impl KnownDefinitions {
    /// The groups at `sequence` of the feed; `read` asks for them when they are not known. Take the sequence
    /// before: a change that comes while they are read makes the next call read again.
    pub async fn groups<F>(&self, sequence: u64, read: F) -> Result<Arc<KnownGroups>>
    where
        F: Future<Output = Result<Vec<GroupDefinition>>> + Send,
    {
        if let Some(known) = self.groups.load_full()
            && known.sequence == sequence
        {
            return Ok(known);
        }
        let by_id = read.await?.into_iter().map(|definition| {
            let id = definition.group.id().clone();
            (id, Arc::new(definition))
        });
        let known = Arc::new(KnownGroups {
            sequence,
            by_id: by_id.collect(),
        });
        self.groups.store(Some(Arc::clone(&known)));
        Ok(known)
    }

    /// For who changed a group itself: it is asked for anew, without waiting for the feed to tell of it.
    pub fn forget_groups(&self) {
        self.groups.store(None);
    }

    pub fn schema(&self, id: SchemaId, resource: &str) -> Option<Arc<WriterSchema>> {
        self.lock().get(resource)?.get(&id).cloned()
    }

    pub fn remember_schema(&self, resource: &str, schema: WriterSchema) -> Arc<WriterSchema> {
        let schema = Arc::new(schema);
        let mut schemas = self.lock();
        let of_resource = schemas.entry(resource.to_owned()).or_default();
        of_resource.insert(schema.id, Arc::clone(&schema));
        schema
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Schemas>> {
        self.schemas.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl KnownGroups {
    pub fn get(&self, id: &FeatureGroupId) -> Option<Arc<GroupDefinition>> {
        self.by_id.get(id).cloned()
    }

    /// All of them, by their names.
    pub fn ordered(&self) -> Vec<Arc<GroupDefinition>> {
        let mut groups: Vec<_> = self.by_id.values().cloned().collect();
        groups.sort_by(|a, b| a.group.id().cmp(b.group.id()));
        groups
    }
}
