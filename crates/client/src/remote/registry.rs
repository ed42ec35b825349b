mod feature_groups;
mod feature_views;
mod quarantine;
mod training_datasets;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::future::BoxFuture;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::warn;
use twinfold_model::{FeatureGroup, FeatureGroupId, QuarantinedRecord, SchemaId};
use twinfold_wire::rest::{GroupRecordBody, NewestChangeBody, PinnedCommitsBody, SchemaBody};

use super::http::Service;
use super::path;
use crate::known::{KnownDefinitions, KnownGroups};
use crate::{Definitions, Error, GroupDefinition, Result, WriterSchema};

/// Where all of it lies.
const ROOT: &str = "/v1";
/// One question after the newest change is held open for this long.
const WAIT: Duration = Duration::from_secs(20);
/// Between questions while the registry does not answer.
const PAUSE: Duration = Duration::from_millis(500);

/// The registry of a deployment, with what it said remembered until its change feed moves.
#[derive(Debug)]
pub struct RemoteRegistry {
    registry: Service,
    newest: watch::Sender<u64>,
    /// How often the registry has answered the question after the newest change.
    answers: watch::Sender<u64>,
    known: KnownDefinitions,
}

impl RemoteRegistry {
    /// Asks the registry at `url` (`http://host:port`) once, so that a wrong address shows at once.
    pub fn connect(url: &str) -> BoxFuture<'_, Result<Self>> {
        // Boxed: compiled here, and not by all who connect.
        Box::pin(async move {
            let registry = Service::new("registry", url, ROOT)?;
            let newest: NewestChangeBody = registry.get("/changes/newest").await?;
            Ok(Self {
                registry,
                newest: watch::Sender::new(newest.sequence),
                answers: watch::Sender::new(1),
                known: KnownDefinitions::default(),
            })
        })
    }

    /// Follows the change feed until told to stop. While the registry does not answer, what it said last
    /// goes on being true.
    pub async fn follow(&self, shutdown: CancellationToken) {
        while !shutdown.is_cancelled() {
            let known = *self.newest.borrow();
            let answer = tokio::select! {
                () = shutdown.cancelled() => return,
                answer = self.newest_change(known, WAIT) => answer,
            };
            match answer {
                Ok(newest) => {
                    self.answers.send_modify(|count| *count += 1);
                    self.newest.send_if_modified(|known| {
                        let is_new = newest != *known;
                        *known = newest;
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
    pub(super) fn answers(&self) -> watch::Receiver<u64> {
        self.answers.subscribe()
    }

    /// What was changed through this client is asked for anew, without waiting for the feed to tell of it.
    fn forget_groups(&self) {
        self.known.forget_groups();
    }

    /// The sequence of the newest change once it is another than `after`, or after `wait`.
    async fn newest_change(&self, after: u64, wait: Duration) -> Result<u64> {
        let wait_ms = wait.as_millis();
        let path = format!("/changes/newest?after={after}&wait_ms={wait_ms}");
        let newest: NewestChangeBody = self.registry.get(&path).await?;
        Ok(newest.sequence)
    }

    async fn known_groups(&self) -> Result<Arc<KnownGroups>> {
        let sequence = *self.newest.borrow();
        self.known.groups(sequence, self.listed_groups()).await
    }

    async fn listed_groups(&self) -> Result<Vec<GroupDefinition>> {
        let listed: Vec<serde_json::Value> = self.registry.list(path::FEATURE_GROUPS, &[]).await?;
        Ok(understood(listed))
    }

    /// One group among those known, or what the registry says of it.
    async fn among(
        &self,
        known: &KnownGroups,
        id: &FeatureGroupId,
    ) -> Result<Arc<GroupDefinition>> {
        if let Some(definition) = known.get(id) {
            return Ok(definition);
        }
        // The registry knows best how to say what there is instead.
        let body: GroupRecordBody = self.registry.get(&path::group(id, "")).await?;
        Ok(Arc::new(definition(body)?))
    }
}

#[async_trait]
impl Definitions for RemoteRegistry {
    async fn group(&self, id: &FeatureGroupId) -> Result<Arc<GroupDefinition>> {
        let known = self.known_groups().await?;
        self.among(&known, id).await
    }

    async fn known_group(&self, id: &FeatureGroupId) -> Result<Arc<GroupDefinition>> {
        let sequence = *self.newest.borrow();
        let known = self.known.groups_or_older(sequence, self.listed_groups());
        let known = known.await?;
        self.among(&known, id).await
    }

    async fn groups(&self) -> Result<Vec<Arc<GroupDefinition>>> {
        Ok(self.known_groups().await?.ordered())
    }

    async fn schema(&self, id: SchemaId, resource: &str) -> Result<Option<Arc<WriterSchema>>> {
        if let Some(schema) = self.known.schema(id, resource) {
            return Ok(Some(schema));
        }
        let path = format!("/schemas/{}?resource={resource}", id.0);
        let body: SchemaBody = match self.registry.get(&path).await {
            Err(Error::NotFound { .. }) => return Ok(None),
            answer => answer?,
        };
        let schema = self.known.remember_schema(resource, writer_schema(body));
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

    async fn quarantine(&self, records: &[QuarantinedRecord]) -> Result<()> {
        for report in quarantine::reports(records) {
            let bodies: Vec<_> = report.iter().map(quarantine::reported).collect();
            self.registry.post("/quarantine", &bodies).await?;
        }
        Ok(())
    }
}

/// The groups among those listed that this version understands: one that a newer registry has stored must
/// not keep the others waiting.
fn understood(listed: Vec<serde_json::Value>) -> Vec<GroupDefinition> {
    let mut groups = Vec::new();
    for item in listed {
        let resource = item["resource"].as_str().unwrap_or("?").to_owned();
        let body = serde_json::from_value(item).map_err(|error| error.to_string());
        match body.and_then(|body| definition(body).map_err(|error| error.to_string())) {
            Ok(definition) => groups.push(definition),
            Err(error) => warn!(
                resource,
                error, "a feature group is not understood and left out"
            ),
        }
    }
    groups
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

#[cfg(test)]
mod tests {
    use twinfold_testkit::weather_group;
    use twinfold_wire::rest::{FeatureGroupBody, StateBody};

    use super::*;

    fn listed(resource: &str) -> serde_json::Value {
        let body = GroupRecordBody {
            group: FeatureGroupBody::from(&weather_group()),
            state: StateBody::Active,
            resource: resource.to_owned(),
            schema: 1,
            revision: 1,
            created_at_us: 0,
        };
        serde_json::to_value(body).expect("serializable")
    }

    #[test]
    fn a_group_that_is_not_understood_keeps_no_other_back() {
        let mut of_another_type = listed("newer");
        of_another_type["group"]["features"][0]["type"] = "colour".into();
        let mut without_a_name = listed("nameless");
        without_a_name["group"]["name"] = "".into();
        let groups = understood(vec![of_another_type, listed("known"), without_a_name]);
        let resources: Vec<_> = groups.iter().map(|group| &group.resource).collect();
        assert_eq!(resources, ["known"]);
    }
}
