use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tracing::warn;
use twinfold_model::{FeatureGroupId, SchemaId};

use crate::{Error, GroupDefinition, Result, WriterSchema};

/// For a question that has an older answer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

type Schemas = HashMap<SchemaId, Arc<WriterSchema>>;

/// What a registry said, remembered: groups until its change feed moves, schemas for as long as their group.
#[derive(Debug, Default)]
pub struct KnownDefinitions {
    groups: ArcSwapOption<KnownGroups>,
    /// One reads for all: what began to be read later is newer.
    reading: tokio::sync::Mutex<()>,
    failures: Mutex<Failures>,
    /// How often groups were forgotten: one that was read before that is not known.
    forgotten: AtomicU64,
    /// By topic. What is registered stays so and never changes.
    schemas: Mutex<HashMap<String, Schemas>>,
}

/// How often groups could not be read, and why not the last time, if they were not read since.
#[derive(Debug, Default)]
struct Failures {
    count: u64,
    last: Option<Failure>,
}

/// A failure that may pass, for all who waited for the one that read.
#[derive(Debug, Clone)]
struct Failure {
    what: Cow<'static, str>,
    reason: String,
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
    /// before: a change that comes while they are read makes the next call read again. Those who wait for one
    /// that reads fail with it: a registry that is silent is not asked by one after the other.
    pub async fn groups<F>(&self, sequence: u64, read: F) -> Result<Arc<KnownGroups>>
    where
        F: Future<Output = Result<Vec<GroupDefinition>>> + Send,
    {
        if let Ok(known) = self.known_at(sequence) {
            return Ok(known);
        }
        let failures = self.failures().count;
        let _reading = self.reading.lock().await;
        let forgotten = match self.known_at(sequence) {
            Ok(known) => return Ok(known),
            Err(forgotten) => forgotten,
        };
        if let Some(failure) = self.failure_since(failures) {
            return Err(failure.into());
        }
        let listed = read.await.inspect_err(|error| self.note_failure(error))?;
        let by_id = listed.into_iter().map(|definition| {
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
        self.failures().last = None;
        Ok(known)
    }

    /// The same for who may act on older groups: these are given when newer ones cannot be read now.
    pub async fn groups_or_older<F>(&self, sequence: u64, read: F) -> Result<Arc<KnownGroups>>
    where
        F: Future<Output = Result<Vec<GroupDefinition>>> + Send,
    {
        self.groups_or_older_within(PATIENCE, sequence, read).await
    }

    async fn groups_or_older_within<F>(
        &self,
        patience: Duration,
        sequence: u64,
        read: F,
    ) -> Result<Arc<KnownGroups>>
    where
        F: Future<Output = Result<Vec<GroupDefinition>>> + Send,
    {
        let Some(older) = self.groups.load_full() else {
            return self.groups(sequence, read).await;
        };
        let failures = self.failures().count;
        match tokio::time::timeout(patience, self.groups(sequence, read)).await {
            Ok(Err(error)) if error.retry() => Ok(older),
            Ok(answer) => answer,
            Err(_) => {
                if self.failures().count == failures {
                    let reason = format!("no answer within {} s", patience.as_secs());
                    self.note_failure(&Error::dependency("registry", true, reason));
                }
                Ok(older)
            }
        }
    }

    /// Tells of a failure once, however many wait for it.
    fn note_failure(&self, error: &Error) {
        let Error::Dependency {
            what,
            retry: true,
            source,
        } = error
        else {
            return;
        };
        warn!(%error, "feature groups cannot be read");
        let mut failures = self.failures();
        failures.count += 1;
        failures.last = Some(Failure {
            what: what.clone(),
            reason: source.to_string(),
        });
    }

    /// Why groups could not be read, if that was since there were so many failures.
    fn failure_since(&self, count: u64) -> Option<Failure> {
        let failures = self.failures();
        failures.last.clone().filter(|_| failures.count != count)
    }

    fn failures(&self) -> MutexGuard<'_, Failures> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
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

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        Self::dependency(failure.what, true, failure.reason)
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
mod tests;
