use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use futures::StreamExt;
use tracing::warn;
use twinfold_client::{BatchStream, DatasetCheck, Error, ReadRequest, Reading, Result, Spine};
use twinfold_model::{
    AsOf, Commit, DatasetSpec, EventTime, FeatureGroup, FeatureGroupId, FeatureType, PinnedTable,
    Query, SchemaId, TrainingDataset,
};
use twinfold_training::{
    Options, Plan, Rows, Source, SpineSchema, WHOLE_SPLIT, digest_files, digest_rows, execute,
    read_dataset, write_dataset,
};
use twinfold_wire::record::field_names;

use super::EmbeddedPlatform;
use crate::failure::{offline_failed, registry_failed, training_failed};

#[async_trait]
impl Reading for EmbeddedPlatform {
    async fn read(&self, request: ReadRequest) -> Result<BatchStream> {
        self.check_open()?;
        let sources = self.sources(&request.query, &[]).await?;
        let options = self.options(request.event_time_start, request.event_time_end);
        let rows = run(&request.query, &sources, request.spine.as_ref(), &options).await?;
        Ok(into_stream(rows))
    }

    async fn read_online(&self, group: &FeatureGroupId) -> Result<BatchStream> {
        self.check_open()?;
        let definition = self.definition(group).await?;
        if !definition.group.online_enabled() {
            return Err(Error::Invalid(twinfold_model::Error::InvalidQuery {
                reason: format!("feature group {group} is not online"),
            }));
        }
        let (store, definitions) = (Arc::clone(&self.online), Arc::clone(&self.definitions));
        twinfold_api::scan(store, definitions, definition, self.now())
    }

    async fn commits(&self, group: &FeatureGroupId, limit: usize) -> Result<Vec<Commit>> {
        self.check_open()?;
        self.definition(group).await?;
        self.offline
            .commits(&group.resource_name(), limit)
            .await
            .map_err(offline_failed)
    }

    async fn create_dataset(&self, spec: DatasetSpec) -> Result<TrainingDataset> {
        self.check_open()?;
        let resolved = self.registry.resolve_dataset(spec).await;
        let (spec, query) = resolved.map_err(registry_failed)?;
        let sources = self.sources(&query, &[]).await?;
        let features = plan(&query, &sources, None)?.features();
        let name = spec.name.to_string();
        let reserved = self
            .registry
            .reserve_training_dataset(&self.project, &name, spec.version);
        let version = reserved.await.map_err(registry_failed)?;
        let made = self
            .make_dataset(spec, query, &sources, features, version)
            .await;
        if made.is_err() {
            self.give_up_dataset(&name, version).await;
        }
        made
    }

    async fn dataset(&self, name: &str, version: Option<u32>) -> Result<TrainingDataset> {
        self.check_open()?;
        self.stored_dataset(name, version).await
    }

    async fn datasets(&self) -> Result<Vec<TrainingDataset>> {
        self.check_open()?;
        self.registry
            .training_datasets(Some(&self.project))
            .await
            .map_err(registry_failed)
    }

    async fn read_dataset(
        &self,
        name: &str,
        version: u32,
        split: Option<&str>,
    ) -> Result<BatchStream> {
        self.check_open()?;
        let dataset = self.stored_dataset(name, Some(version)).await?;
        let splits: Vec<String> = match split {
            Some(split) => vec![split.to_owned()],
            None if dataset.spec.splits.is_empty() => vec![WHOLE_SPLIT.to_owned()],
            None => dataset
                .spec
                .splits
                .iter()
                .map(|split| split.name.clone())
                .collect(),
        };
        let folder = self.dataset_folder(&dataset);
        let open =
            |split: &String| read_dataset(&folder, dataset.spec.format, split, &dataset.features);
        let parts = splits
            .iter()
            .map(open)
            .collect::<twinfold_training::Result<Vec<Rows>>>();
        let mut parts = parts.map_err(training_failed)?.into_iter().map(into_stream);
        let Some(mut all) = parts.next() else {
            return Err(Error::Internal("a dataset without splits".to_owned()));
        };
        for part in parts {
            all.batches = all.batches.chain(part.batches).boxed();
        }
        Ok(all)
    }

    async fn verify_dataset(&self, name: &str, version: u32) -> Result<DatasetCheck> {
        self.check_open()?;
        let dataset = self.stored_dataset(name, Some(version)).await?;
        let files = digest_files(&self.dataset_folder(&dataset), &dataset).await;
        let spec = &dataset.spec;
        let sources = self.sources(&dataset.query, &dataset.pins).await?;
        let options = self.options(spec.event_time_start, spec.event_time_end);
        let rows = run(&dataset.query, &sources, None, &options).await?;
        let rebuilt = digest_rows(rows, &spec.splits, spec.seed).await;
        Ok(DatasetCheck {
            recorded: dataset.digest.clone(),
            files: files.map_err(training_failed)?.combined(),
            rebuilt: rebuilt.map_err(training_failed)?.combined(),
        })
    }

    async fn delete_dataset(&self, name: &str, version: u32) -> Result<()> {
        self.check_open()?;
        let dataset = self.stored_dataset(name, Some(version)).await?;
        let folder = self.dataset_folder(&dataset);
        // Files first: a crash in between leaves a dataset that can be deleted again.
        match tokio::fs::remove_dir_all(&folder).await {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::dependency("training dataset", error));
            }
            _ => {}
        }
        let removed = self
            .registry
            .delete_training_dataset(&self.project, name, version)
            .await;
        removed.map_err(registry_failed)
    }
}

impl EmbeddedPlatform {
    /// Runs the query, writes the files and stores what they are.
    async fn make_dataset(
        &self,
        spec: DatasetSpec,
        query: Query,
        sources: &[Source],
        features: Vec<(String, FeatureType)>,
        version: u32,
    ) -> Result<TrainingDataset> {
        let options = self.options(spec.event_time_start, spec.event_time_end);
        let rows = run(&query, sources, None, &options).await?;
        let location = dataset_location(spec.name.as_str(), version);
        let written = write_dataset(rows, &spec, &self.folder.root().join(&location)).await;
        let written = written.map_err(training_failed)?;
        let pin = |source: &Source| PinnedTable {
            group: source.group.id().clone(),
            commit: source.snapshot.commit,
        };
        let dataset = TrainingDataset {
            project: self.project.clone(),
            name: spec.name.clone(),
            version,
            pins: sources.iter().map(pin).collect(),
            features,
            rows: written.rows,
            location,
            digest: written.digest,
            created_at: self.now(),
            query,
            spec,
        };
        let stored = self.registry.put_training_dataset(&dataset).await;
        stored.map_err(registry_failed)?;
        Ok(dataset)
    }

    /// Removes what a dataset that failed has left. The caller hears of the first failure, not of these.
    async fn give_up_dataset(&self, name: &str, version: u32) {
        let folder = self.folder.root().join(dataset_location(name, version));
        match tokio::fs::remove_dir_all(&folder).await {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                warn!(folder = %folder.display(), %error, "files of a failed dataset stay");
            }
            _ => {}
        }
        let released = self
            .registry
            .delete_training_dataset(&self.project, name, version);
        if let Err(error) = released.await {
            warn!(dataset = name, version, %error, "a reserved version stays taken");
        }
    }

    pub(super) async fn stored_dataset(
        &self,
        name: &str,
        version: Option<u32>,
    ) -> Result<TrainingDataset> {
        let dataset = self
            .registry
            .training_dataset(&self.project, name, version)
            .await;
        dataset.map_err(registry_failed)
    }

    fn dataset_folder(&self, dataset: &TrainingDataset) -> PathBuf {
        self.folder.root().join(&dataset.location)
    }

    fn options(&self, start: Option<EventTime>, end: Option<EventTime>) -> Options {
        Options {
            memory_bytes_max: self.config.training.memory_bytes_max,
            event_time_start: start,
            event_time_end: end,
            ..Options::default()
        }
    }

    /// Per feature with a default, the schemas whose writers did not have it.
    async fn lacking(&self, group: &FeatureGroup) -> Result<BTreeMap<String, Vec<SchemaId>>> {
        let schemas = self.registry.schemas(group.id()).await;
        let mut lacking: BTreeMap<String, Vec<SchemaId>> = BTreeMap::new();
        for schema in schemas.map_err(registry_failed)? {
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

    /// One snapshot per group of the query: at its pin, else at the query's `as_of`, else the newest.
    async fn sources(&self, query: &Query, pins: &[PinnedTable]) -> Result<Vec<Source>> {
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
            let snapshot = self.offline.snapshot(&id.resource_name(), as_of).await;
            let snapshot = snapshot.map_err(offline_failed)?;
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

/// Below the platform's folder.
fn dataset_location(name: &str, version: u32) -> String {
    format!("datasets/{name}_{version}")
}

fn plan(query: &Query, sources: &[Source], spine: Option<&Spine>) -> Result<Plan> {
    let groups: Vec<Arc<FeatureGroup>> = sources
        .iter()
        .map(|source| Arc::clone(&source.group))
        .collect();
    let empty = arrow::datatypes::Schema::empty();
    let spine = match spine {
        None => SpineSchema::LeftGroup,
        Some(spine) => SpineSchema::Dataframe {
            schema: spine
                .batches
                .first()
                .map_or(&empty, |batch| batch.schema_ref().as_ref()),
            event_time: spine.event_time.as_deref(),
        },
    };
    Plan::new(query, &groups, spine).map_err(training_failed)
}

async fn run(
    query: &Query,
    sources: &[Source],
    spine: Option<&Spine>,
    options: &Options,
) -> Result<Rows> {
    let plan = plan(query, sources, spine)?;
    let spine = match spine {
        None => twinfold_training::Spine::LeftGroup,
        Some(spine) => twinfold_training::Spine::Dataframe(spine.batches.clone()),
    };
    execute(&plan, sources, &spine, options)
        .await
        .map_err(training_failed)
}

fn into_stream(rows: Rows) -> BatchStream {
    BatchStream {
        schema: Arc::clone(rows.schema()),
        batches: rows.map(|batch| batch.map_err(training_failed)).boxed(),
    }
}
