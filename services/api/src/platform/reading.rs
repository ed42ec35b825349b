use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use futures::StreamExt;
use twinfold_client::{
    BatchStream, DatasetCheck, Error, GroupDefinition, ReadRequest, Reading, Result, Spine,
};
use twinfold_model::{
    AsOf, Commit, DatasetSpec, DatasetStatistics, EventTime, FeatureGroup, FeatureGroupId,
    PinnedTable, Positions, Query, SchemaId, TrainingDataset, Value,
};
use twinfold_store_offline::Snapshot;
use twinfold_training::{Options, Plan, Rows, Source, SpineSchema, changes, execute};
use twinfold_wire::record::field_names;

use super::StorePlatform;
use super::failure::{offline_failed, training_failed};
use super::queries::until_read;

#[async_trait]
impl Reading for StorePlatform {
    async fn read(&self, request: ReadRequest) -> Result<BatchStream> {
        let running = self.begin_query().await?;
        let sources = self.sources(&request.query, &[]).await?;
        let options = self.options(request.event_time_start, request.event_time_end);
        let run = Run {
            query: &request.query,
            defaults: &request.defaults,
            sources: &sources,
            spine: request.spine.as_ref(),
        };
        let rows = run.execute(&options).await?;
        Ok(until_read(running, into_stream(rows)))
    }

    async fn read_online(&self, group: &FeatureGroupId) -> Result<BatchStream> {
        self.check_open()?;
        let definition = self.definition(group).await?;
        if !definition.group.online_enabled() {
            return Err(Error::Invalid(twinfold_model::Error::InvalidQuery {
                reason: format!("feature group {group} is not online"),
            }));
        }
        let store = Arc::clone(&self.parts.online);
        crate::scan(store, self.definitions(), definition, self.now())
    }

    async fn read_changes(
        &self,
        group: &FeatureGroupId,
        after: Option<AsOf>,
        up_to: Option<AsOf>,
    ) -> Result<BatchStream> {
        let running = self.begin_query().await?;
        let definition = self.definition(group).await?;
        let contained = match after {
            None => Positions::new(),
            Some(_) => self.snapshot(&definition, after).await?.positions,
        };
        let source = Source {
            group: Arc::new(definition.group.clone()),
            snapshot: self.snapshot(&definition, up_to).await?,
            lacking: self.lacking(&definition.group).await?,
        };
        let rows = changes(&source, &contained, &self.options(None, None)).await;
        let rows = rows.map_err(training_failed)?;
        Ok(until_read(running, into_stream(rows)))
    }

    async fn commits(
        &self,
        group: &FeatureGroupId,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<Commit>> {
        self.check_open()?;
        let resource = &self.definition(group).await?.resource;
        let commits = self.parts.offline.commits(resource, before, limit);
        commits.await.map_err(offline_failed)
    }

    async fn create_dataset(&self, spec: DatasetSpec) -> Result<TrainingDataset> {
        let _running = self.begin_query().await?;
        self.build_dataset(spec).await
    }

    async fn dataset(&self, name: &str, version: Option<u32>) -> Result<TrainingDataset> {
        self.check_open()?;
        self.stored_dataset(name, version).await
    }

    async fn datasets(&self) -> Result<Vec<TrainingDataset>> {
        self.check_open()?;
        self.control_plane()
            .training_datasets(&self.parts.project)
            .await
    }

    async fn dataset_statistics(
        &self,
        name: &str,
        version: u32,
    ) -> Result<Option<DatasetStatistics>> {
        self.check_open()?;
        self.control_plane()
            .training_dataset_statistics(&self.parts.project, name, version)
            .await
    }

    async fn read_dataset(
        &self,
        name: &str,
        version: u32,
        split: Option<&str>,
    ) -> Result<BatchStream> {
        self.check_open()?;
        self.dataset_rows(name, version, split).await
    }

    async fn verify_dataset(&self, name: &str, version: u32) -> Result<DatasetCheck> {
        let _running = self.begin_query().await?;
        self.prove_dataset(name, version).await
    }

    async fn delete_dataset(&self, name: &str, version: u32) -> Result<()> {
        self.check_open()?;
        self.remove_dataset(name, version).await
    }
}

impl StorePlatform {
    pub(super) fn options(&self, start: Option<EventTime>, end: Option<EventTime>) -> Options {
        Options {
            memory_bytes_max: self.parts.memory_bytes_max,
            event_time_start: start,
            event_time_end: end,
            ..Options::default()
        }
    }

    /// Per feature with a default, the schemas whose writers did not have it.
    async fn lacking(&self, group: &FeatureGroup) -> Result<BTreeMap<String, Vec<SchemaId>>> {
        let schemas = self.control_plane().schemas(group.id()).await?;
        let mut lacking: BTreeMap<String, Vec<SchemaId>> = BTreeMap::new();
        for schema in schemas {
            let written = field_names(&schema.avro_json)
                .map_err(|error| Error::Internal(format!("stored schema: {error}")))?;
            let features = group.features().iter();
            for feature in features.filter(|feature| feature.default.is_some()) {
                let name = feature.name.as_str();
                if !written.iter().any(|field| field == name) {
                    lacking.entry(name.to_owned()).or_default().push(schema.id);
                }
            }
        }
        Ok(lacking)
    }

    async fn snapshot(
        &self,
        definition: &GroupDefinition,
        as_of: Option<AsOf>,
    ) -> Result<Snapshot> {
        let snapshot = self.parts.offline.snapshot(&definition.resource, as_of);
        snapshot.await.map_err(offline_failed)
    }

    /// One snapshot per group of the query: at its pin, else at the query's `as_of`, else the newest.
    pub(super) async fn sources(&self, query: &Query, pins: &[PinnedTable]) -> Result<Vec<Source>> {
        let asked = std::iter::once(query.left.as_of)
            .chain(query.joins.iter().map(|join| join.right.as_of));
        let mut newest: BTreeMap<&FeatureGroupId, u64> = BTreeMap::new();
        let mut sources: Vec<Source> = Vec::new();
        for (index, (id, as_of)) in query.groups().zip(asked).enumerate() {
            // A group that stands twice in a query is read at one commit.
            let as_of = match pins.get(index) {
                Some(pin) => Some(AsOf::Commit(pin.commit)),
                None => as_of.or_else(|| newest.get(id).map(|commit| AsOf::Commit(*commit))),
            };
            let definition = self.definition(id).await?;
            if let Some(pin) = pins.get(index) {
                check_life(pin, &definition)?;
            }
            let snapshot = self.snapshot(&definition, as_of).await?;
            if as_of.is_none() {
                newest.insert(id, snapshot.commit);
            }
            sources.push(Source {
                group: Arc::new(definition.group.clone()),
                snapshot,
                lacking: self.lacking(&definition.group).await?,
            });
        }
        Ok(sources)
    }
}

/// The commits of another life of the group hold other rows.
fn check_life(pin: &PinnedTable, definition: &GroupDefinition) -> Result<()> {
    match pin.replaced_by(&definition.resource) {
        None => Ok(()),
        Some(hint) => Err(Error::NotFound {
            what: "history table".into(),
            name: pin.resource.clone(),
            hint,
        }),
    }
}

/// What one run reads, and how.
pub(super) struct Run<'a> {
    pub query: &'a Query,
    pub defaults: &'a BTreeMap<String, Value>,
    pub sources: &'a [Source],
    pub spine: Option<&'a Spine>,
}

impl Run<'_> {
    pub fn plan(&self) -> Result<Plan> {
        let groups = self.sources.iter().map(|source| Arc::clone(&source.group));
        let spine = match self.spine {
            None => SpineSchema::LeftGroup,
            Some(spine) => SpineSchema::Dataframe {
                schema: &spine.schema,
                event_time: spine.event_time.as_deref(),
            },
        };
        Plan::new(self.query, &groups.collect::<Vec<_>>(), spine)
            .and_then(|plan| plan.with_defaults(self.defaults))
            .map_err(training_failed)
    }

    pub async fn execute(&self, options: &Options) -> Result<Rows> {
        let spine = match self.spine {
            None => twinfold_training::Spine::LeftGroup,
            Some(spine) => twinfold_training::Spine::Dataframe(spine.batches.clone()),
        };
        execute(&self.plan()?, self.sources, &spine, options)
            .await
            .map_err(training_failed)
    }
}

pub(super) fn into_stream(rows: Rows) -> BatchStream {
    BatchStream {
        schema: Arc::clone(rows.schema()),
        batches: rows.map(|batch| batch.map_err(training_failed)).boxed(),
    }
}

#[cfg(test)]
mod tests {
    use twinfold_model::ResourceState;
    use twinfold_testkit::weather_group;

    use super::*;

    #[test]
    fn a_pin_of_another_life_of_its_group_is_refused_by_name() {
        let group = weather_group();
        let pin = |life| PinnedTable {
            group: group.id().clone(),
            resource: group.id().resource_name(life),
            commit: 3,
        };
        let definition = GroupDefinition {
            resource: group.id().resource_name(2),
            group: group.clone(),
            state: ResourceState::Active,
            schema: SchemaId(1),
        };
        check_life(&pin(2), &definition).expect("of this life");
        let error = check_life(&pin(1), &definition).expect_err("of the one before");
        assert_eq!(
            error.to_string(),
            "history table `default.weather_1` does not exist; feature group `default.weather_1` was \
             deleted and created again since, its history is `default.weather_1-2` now"
        );
    }
}
