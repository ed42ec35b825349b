use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwapOption;
use twinfold_model::{FeatureGroupId, SchemaId};

use crate::{GroupDefinition, Result, WriterSchema};

type Schemas = HashMap<SchemaId, Arc<WriterSchema>>;

/// What a registry said, remembered: groups until its change feed moves, schemas for as long as their group.
#[derive(Debug, Default)]
pub struct KnownDefinitions {
    groups: ArcSwapOption<KnownGroups>,
    /// One reads for all: what began to be read later is newer.
    reading: tokio::sync::Mutex<()>,
    /// How often groups were forgotten: one that was read before that is not known.
    forgotten: AtomicU64,
    /// By topic. What is registered stays so and never changes.
    schemas: Mutex<HashMap<String, Schemas>>,
}

/// All groups as they were at one point of the change feed.
#[derive(Debug)]
pub struct KnownGroups {
    sequence: u64,
    /// [`KnownDefinitions::forgotten`] when they began to be read.
    forgotten: u64,
    by_id: HashMap<FeatureGroupId, Arc<GroupDefinition>>,
}

impl KnownDefinitions {
    /// The groups at `sequence` of the feed; `read` asks for them when they are not known. Take the sequence
    /// before: a change that comes while they are read makes the next call read again.
    pub async fn groups<F>(&self, sequence: u64, read: F) -> Result<Arc<KnownGroups>>
    where
        F: Future<Output = Result<Vec<GroupDefinition>>> + Send,
    {
        if let Ok(known) = self.known_at(sequence) {
            return Ok(known);
        }
        let _reading = self.reading.lock().await;
        let forgotten = match self.known_at(sequence) {
            Ok(known) => return Ok(known),
            Err(forgotten) => forgotten,
        };
        let by_id = read.await?.into_iter().map(|definition| {
            let id = definition.group.id().clone();
            (id, Arc::new(definition))
        });
        let known = Arc::new(KnownGroups {
            sequence,
            forgotten,
            by_id: by_id.collect(),
        });
        self.forget_schemas_beside(&known);
        self.groups.store(Some(Arc::clone(&known)));
        Ok(known)
    }

    /// What is known at `sequence`, or how often groups were forgotten until now.
    fn known_at(&self, sequence: u64) -> Result<Arc<KnownGroups>, u64> {
        let forgotten = self.forgotten.load(Ordering::SeqCst);
        let known = self.groups.load_full();
        let is_current =
            |known: &Arc<KnownGroups>| (known.sequence, known.forgotten) == (sequence, forgotten);
        known.filter(is_current).ok_or(forgotten)
    }

    /// The names of topics are not given again, so nobody asks for schemas of one that is gone.
    fn forget_schemas_beside(&self, known: &KnownGroups) {
        let groups = known.by_id.values();
        let resources: HashSet<&str> = groups.map(|group| group.resource.as_str()).collect();
        let mut schemas = self.lock();
        schemas.retain(|resource, _| resources.contains(resource.as_str()));
    }

    /// For who changed a group itself: it is asked for anew, without waiting for the feed to tell of it.
    pub fn forget_groups(&self) {
        self.forgotten.fetch_add(1, Ordering::SeqCst);
    }

    /// For who asked for one group past what is known: where that is another by now, all are asked for anew.
    pub fn compare(&self, id: &FeatureGroupId, found: Option<&GroupDefinition>) {
        let known = self.groups.load_full();
        if known.is_some_and(|known| known.by_id.get(id).map(Arc::as_ref) != found) {
            self.forget_groups();
        }
    }

    pub fn schema(&self, id: SchemaId, resource: &str) -> Option<Arc<WriterSchema>> {
        self.lock().get(resource)?.get(&id).cloned()
    }

    /// A schema that no group is known to have now may be that of one which has evolved: the groups that are
    /// asked for after this are no older than it.
    pub fn remember_schema(&self, resource: &str, schema: WriterSchema) -> Arc<WriterSchema> {
        let known = self.groups.load_full();
        if !known.is_some_and(|known| known.has_schema(resource, schema.id)) {
            self.forget_groups();
        }
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

    fn has_schema(&self, resource: &str, schema: SchemaId) -> bool {
        let mut groups = self.by_id.values();
        groups.any(|group| group.schema == schema && group.resource == resource)
    }

    /// All of them, by their names.
    pub fn ordered(&self) -> Vec<Arc<GroupDefinition>> {
        let mut groups: Vec<_> = self.by_id.values().cloned().collect();
        groups.sort_by(|a, b| a.group.id().cmp(b.group.id()));
        groups
    }
}

#[cfg(test)]
mod tests {
    use twinfold_model::ResourceState;
    use twinfold_testkit::weather_group;

    use super::*;

    fn definition(life: u32) -> GroupDefinition {
        let group = weather_group();
        GroupDefinition {
            resource: group.id().resource_name(life),
            group,
            state: ResourceState::Active,
            schema: SchemaId(1),
        }
    }

    fn schema(id: u32) -> WriterSchema {
        WriterSchema {
            id: SchemaId(id),
            avro_json: "\"int\"".to_owned(),
        }
    }

    /// What is known at a sequence, and whether it was read for that.
    async fn at(
        known: &KnownDefinitions,
        sequence: u64,
        groups: Vec<GroupDefinition>,
    ) -> (Vec<Arc<GroupDefinition>>, bool) {
        let mut is_read = false;
        let read = async {
            is_read = true;
            Ok(groups)
        };
        let found = known.groups(sequence, read).await.expect("readable");
        (found.ordered(), is_read)
    }

    #[tokio::test]
    async fn groups_are_read_once_for_each_sequence() {
        let known = KnownDefinitions::default();
        let (first, is_read) = at(&known, 1, vec![definition(1)]).await;
        assert!(is_read);
        let (again, is_read) = at(&known, 1, Vec::new()).await;
        assert!(!is_read);
        assert_eq!(again, first);
        let (moved, is_read) = at(&known, 2, Vec::new()).await;
        assert!(is_read && moved.is_empty());
        known.forget_groups();
        let (_, is_read) = at(&known, 2, Vec::new()).await;
        assert!(is_read);
    }

    #[tokio::test]
    async fn groups_are_read_again_when_one_is_another() {
        let known = KnownDefinitions::default();
        let (old, new) = (definition(1), definition(2));
        let id = old.group.id();
        known.compare(id, Some(&old));
        at(&known, 1, vec![old.clone()]).await;
        known.compare(id, Some(&old));
        let (_, is_read) = at(&known, 1, Vec::new()).await;
        assert!(!is_read);
        for found in [Some(&new), None] {
            known.compare(id, found);
            let (_, is_read) = at(&known, 1, vec![old.clone()]).await;
            assert!(is_read, "{found:?}");
        }
    }

    #[tokio::test]
    async fn groups_are_no_older_than_a_schema_that_was_asked_for() {
        let known = KnownDefinitions::default();
        let (one, resource) = (vec![definition(1)], definition(1).resource);
        at(&known, 1, one.clone()).await;
        known.remember_schema(&resource, schema(1));
        let (_, is_read) = at(&known, 1, one.clone()).await;
        assert!(!is_read, "it is the group's own");
        known.remember_schema(&resource, schema(2));
        let (_, is_read) = at(&known, 1, one).await;
        assert!(is_read);
    }

    #[tokio::test]
    async fn what_was_forgotten_while_it_was_read_is_read_again() {
        let known = KnownDefinitions::default();
        let read = async {
            known.forget_groups();
            Ok(vec![definition(1)])
        };
        known.groups(1, read).await.expect("readable");
        let (_, is_read) = at(&known, 1, Vec::new()).await;
        assert!(is_read);
    }

    #[tokio::test]
    async fn a_failure_to_read_is_not_remembered() {
        let known = KnownDefinitions::default();
        let failing = async { Err(crate::Error::Closed) };
        assert!(known.groups(1, failing).await.is_err());
        let (_, is_read) = at(&known, 1, Vec::new()).await;
        assert!(is_read);
    }

    #[tokio::test]
    async fn schemas_go_with_their_group() {
        let known = KnownDefinitions::default();
        let resources = [1, 2].map(|life| definition(life).resource);
        for resource in &resources {
            known.remember_schema(resource, schema(1));
        }
        let remembered = || {
            let found = resources
                .each_ref()
                .map(|name| known.schema(SchemaId(1), name));
            found.map(|schema| schema.is_some())
        };
        assert_eq!(remembered(), [true, true]);
        at(&known, 1, vec![definition(2)]).await;
        assert_eq!(remembered(), [false, true]);
        assert!(known.schema(SchemaId(2), &resources[1]).is_none());
        at(&known, 2, Vec::new()).await;
        assert_eq!(remembered(), [false, false]);
    }
}
