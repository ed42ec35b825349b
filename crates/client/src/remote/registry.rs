mod feature_groups;
mod feature_views;
mod path;
mod quarantine;
mod training_datasets;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use async_trait::async_trait;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::warn;
use twinfold_model::{FeatureGroup, FeatureGroupId, QuarantinedRecord, SchemaId};
use twinfold_wire::rest::{
    GroupRecordBody, NewestChangeBody, PinnedCommitsBody, QuarantinedRecordBody, SchemaBody,
};

use super::http::Service;
use crate::{Definitions, Error, GroupDefinition, Result, WriterSchema};

/// One question after the newest change is held open for this long.
const WAIT_MS: u64 = 20_000;
/// Between questions while the registry does not answer.
const PAUSE: Duration = Duration::from_millis(500);

/// The registry of a deployment, with what it said remembered until its change feed moves.
#[derive(Debug)]
pub struct RemoteRegistry {
    registry: Service,
    newest: watch::Sender<u64>,
    /// How often the registry has answered the question after the newest change.
    answers: watch::Sender<u64>,
    groups: ArcSwapOption<KnownGroups>,
    /// By topic. What is registered stays so and never changes, so these are never forgotten.
    schemas: Mutex<HashMap<String, HashMap<SchemaId, Arc<WriterSchema>>>>,
}

#[derive(Debug)]
struct KnownGroups {
    sequence: u64,
    by_id: HashMap<FeatureGroupId, Arc<GroupDefinition>>,
}

impl RemoteRegistry {
    /// Asks the registry at `url` (`http://host:port`) once, so that a wrong address shows at once.
    pub async fn connect(url: &str) -> Result<Self> {
        let registry = Service::new("registry", url)?;
        let newest: NewestChangeBody = registry.get("/v1/changes/newest").await?;
        Ok(Self {
            registry,
            newest: watch::Sender::new(newest.sequence),
            answers: watch::Sender::new(1),
            groups: ArcSwapOption::empty(),
            schemas: Mutex::default(),
        })
    }

    /// Follows the change feed until told to stop. While the registry does not answer, what it said last
    /// goes on being true.
    pub async fn follow(&self, shutdown: CancellationToken) {
        while !shutdown.is_cancelled() {
            let known = *self.newest.borrow();
            let path = format!("/v1/changes/newest?after={known}&wait_ms={WAIT_MS}");
            let asking = tokio::select! {
                () = shutdown.cancelled() => return,
                answer = self.registry.get::<NewestChangeBody>(&path) => answer,
            };
            match asking {
                Ok(newest) => {
                    self.answers.send_modify(|count| *count += 1);
                    self.newest.send_if_modified(|known| {
                        let is_new = newest.sequence != *known;
                        *known = newest.sequence;
                        is_new
                    });
                }
                Err(error) => {
                    warn!(%error, "the registry does not answer");
                    tokio::select! {
                        () = shutdown.cancelled() => return,
                        () = tokio::time::sleep(PAUSE) => {}
                    }
                }
            }
        }
    }

    /// Moves with every answer to [`follow`](Self::follow), whether it brings news or not: at least every
    /// 20 seconds while the registry is there.
    pub fn answers(&self) -> watch::Receiver<u64> {
        self.answers.subscribe()
    }

    /// What was changed through this client is asked for anew, without waiting for the feed to tell of it.
    fn forget_groups(&self) {
        self.groups.store(None);
    }

    /// The sequence of the newest change once it is another than `after`, or after `wait`.
    async fn newest_change(&self, after: u64, wait: Duration) -> Result<u64> {
        let wait_ms = wait.as_millis();
        let path = format!("/v1/changes/newest?after={after}&wait_ms={wait_ms}");
        let newest: NewestChangeBody = self.registry.get(&path).await?;
        Ok(newest.sequence)
    }

    async fn known(&self) -> Result<Arc<KnownGroups>> {
        // Read before the groups: a change in between makes the next call read again.
        let sequence = *self.newest.borrow();
        if let Some(known) = self.groups.load_full()
            && known.sequence == sequence
        {
            return Ok(known);
        }
        let bodies: Vec<GroupRecordBody> = self.registry.list(path::FEATURE_GROUPS, &[]).await?;
        let definitions = bodies.into_iter().map(definition);
        let by_id = definitions.map(|definition| {
            let definition = definition?;
            Ok((definition.group.id().clone(), Arc::new(definition)))
        });
        let known = Arc::new(KnownGroups {
            sequence,
            by_id: by_id.collect::<Result<_>>()?,
        });
        self.groups.store(Some(Arc::clone(&known)));
        Ok(known)
    }

    fn known_schemas(
        &self,
    ) -> MutexGuard<'_, HashMap<String, HashMap<SchemaId, Arc<WriterSchema>>>> {
        self.schemas.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Definitions for RemoteRegistry {
    async fn group(&self, id: &FeatureGroupId) -> Result<Arc<GroupDefinition>> {
        if let Some(definition) = self.known().await?.by_id.get(id) {
            return Ok(Arc::clone(definition));
        }
        // The registry knows best how to say what there is instead.
        let body: GroupRecordBody = self.registry.get(&path::group(id, "")).await?;
        Ok(Arc::new(definition(body)?))
    }

    async fn groups(&self) -> Result<Vec<Arc<GroupDefinition>>> {
        let known = self.known().await?;
        let mut groups: Vec<_> = known.by_id.values().cloned().collect();
        groups.sort_by(|a, b| a.group.id().cmp(b.group.id()));
        Ok(groups)
    }

    async fn schema(&self, id: SchemaId, resource: &str) -> Result<Option<Arc<WriterSchema>>> {
        let known = |known: &HashMap<SchemaId, Arc<WriterSchema>>| known.get(&id).cloned();
        if let Some(schema) = self.known_schemas().get(resource).and_then(known) {
            return Ok(Some(schema));
        }
        let path = format!("/v1/schemas/{}?resource={resource}", id.0);
        let body: SchemaBody = match self.registry.get(&path).await {
            Err(Error::NotFound { .. }) => return Ok(None),
            answer => answer?,
        };
        let schema = Arc::new(writer_schema(body));
        let mut schemas = self.known_schemas();
        let of_resource = schemas.entry(resource.to_owned()).or_default();
        of_resource.insert(id, Arc::clone(&schema));
        Ok(Some(schema))
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.newest.subscribe()
    }

    async fn pinned_commits(&self, group: &FeatureGroupId) -> Result<Vec<u64>> {
        let path = path::group(group, "pinned-commits");
        let body: PinnedCommitsBody = self.registry.get(&path).await?;
        Ok(body.commits)
    }

    async fn quarantine(&self, records: Vec<QuarantinedRecord>) -> Result<()> {
        for report in quarantine::reports(&records) {
            let bodies: Vec<_> = report.iter().map(QuarantinedRecordBody::from).collect();
            self.registry.post("/v1/quarantine", &bodies).await?;
        }
        Ok(())
    }
}

fn definition(body: GroupRecordBody) -> Result<GroupDefinition> {
    Ok(GroupDefinition {
        group: FeatureGroup::try_from(body.group)?,
        state: body.state.into(),
        resource: body.resource,
        schema: SchemaId(body.schema),
    })
}

fn writer_schema(body: SchemaBody) -> WriterSchema {
    WriterSchema {
        id: SchemaId(body.id),
        avro_json: body.avro_json,
    }
}
