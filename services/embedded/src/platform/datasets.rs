//! Training datasets: files below the platform's folder, definitions in the registry.

use std::convert::Infallible;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::{StreamExt, TryStreamExt};
use tracing::warn;
use twinfold_client::{BatchStream, DatasetCheck, Error, Result};
use twinfold_model::{DatasetSpec, PinnedTable, ProjectName, TrainingDataset};
use twinfold_registry::Registry;
use twinfold_service_kit::TaskGroup;
use twinfold_training::{
    Source, WHOLE_SPLIT, digest_files, digest_rows, read_dataset, sweep_unfinished, write_dataset,
};

use super::EmbeddedPlatform;
use super::reading::{Run, into_stream};
use crate::failure::{registry_failed, training_failed};

/// The folder of training datasets, below the platform's.
const DATASETS: &str = "datasets";

impl EmbeddedPlatform {
    /// Reserves a version, runs the query, writes the files, stores what they are. Whatever ends this
    /// early, also a caller that waits no longer, leaves neither files nor a version taken.
    pub(super) async fn build_dataset(&self, spec: DatasetSpec) -> Result<TrainingDataset> {
        let resolved = self.registry.resolve_dataset(spec).await;
        let (spec, query) = resolved.map_err(registry_failed)?;
        let sources = self.sources(&query, &[]).await?;
        let run = Run {
            query: &query,
            defaults: &spec.defaults,
            sources: &sources,
            spine: None,
        };
        let features = run.plan()?.features();
        let mut reservation = self.reserve(&spec).await?;
        let options = self.options(spec.event_time_start, spec.event_time_end);
        let rows = run.execute(&options).await?;
        let location = dataset_location(&self.project, spec.name.as_str(), reservation.version);
        let folder = self.folder.root().join(&location);
        let written = write_dataset(rows, &spec, &folder).await;
        let written = written.map_err(training_failed)?;
        reservation.folder = Some(folder);
        let dataset = TrainingDataset {
            project: self.project.clone(),
            name: spec.name.clone(),
            version: reservation.version,
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
        reservation.is_over = true;
        Ok(dataset)
    }

    /// Gives up what was being made when an earlier process ended. What cannot be removed now, because
    /// the disk is full perhaps, is tried again at the next opening: nothing else needs it gone.
    pub(super) async fn sweep_datasets(&self) {
        if let Err(error) = self.try_sweep_datasets().await {
            warn!(%error, "unfinished training datasets are still there");
        }
    }

    async fn try_sweep_datasets(&self) -> Result<()> {
        let root = self.folder.root();
        let swept = sweep_unfinished(&root.join(DATASETS)).await;
        swept.map_err(training_failed)?;
        let reserved = self.registry.reserved_training_datasets().await;
        for (project, name, version) in reserved.map_err(registry_failed)? {
            let folder = root.join(dataset_location(&project, &name, version));
            let removed = remove_folder(&folder).await;
            removed.map_err(|error| Error::dependency("training dataset", true, error))?;
            let released = self
                .registry
                .delete_training_dataset(&project, &name, version);
            released.await.map_err(registry_failed)?;
        }
        Ok(())
    }

    async fn reserve(&self, spec: &DatasetSpec) -> Result<Reservation> {
        let name = spec.name.to_string();
        let reserved = self
            .registry
            .reserve_training_dataset(&self.project, &name, spec.version)
            .await;
        Ok(Reservation {
            registry: self.registry.clone(),
            tasks: self.background.clone(),
            project: self.project.clone(),
            name,
            version: reserved.map_err(registry_failed)?,
            folder: None,
            is_over: false,
        })
    }

    pub(super) async fn dataset_rows(
        &self,
        name: &str,
        version: u32,
        split: Option<&str>,
    ) -> Result<BatchStream> {
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
        let open = |split: &String| {
            let rows = read_dataset(&folder, dataset.spec.format, split, &dataset.features);
            let wanted = dataset.rows.get(split).copied().unwrap_or_default();
            Ok(checked(
                into_stream(rows.map_err(training_failed)?),
                wanted,
                folder.join(split),
            ))
        };
        let parts = splits.iter().map(open).collect::<Result<Vec<_>>>()?;
        let mut parts = parts.into_iter();
        let Some(mut all) = parts.next() else {
            return Err(Error::Internal("a dataset without splits".to_owned()));
        };
        for part in parts {
            all.batches = all.batches.chain(part.batches).boxed();
        }
        Ok(all)
    }

    /// Digests of the files as they are and of the query run again, beside the one recorded.
    pub(super) async fn prove_dataset(&self, name: &str, version: u32) -> Result<DatasetCheck> {
        let dataset = self.stored_dataset(name, Some(version)).await?;
        let files = digest_files(&self.dataset_folder(&dataset), &dataset).await;
        let spec = &dataset.spec;
        let run = Run {
            query: &dataset.query,
            defaults: &spec.defaults,
            sources: &self.sources(&dataset.query, &dataset.pins).await?,
            spine: None,
        };
        let options = self.options(spec.event_time_start, spec.event_time_end);
        let rebuilt = digest_rows(run.execute(&options).await?, &spec.splits, spec.seed).await;
        Ok(DatasetCheck {
            recorded: dataset.digest.clone(),
            files: files.map_err(training_failed)?.combined(),
            rebuilt: rebuilt.map_err(training_failed)?.combined(),
        })
    }

    pub(super) async fn remove_dataset(&self, name: &str, version: u32) -> Result<()> {
        let dataset = self.stored_dataset(name, Some(version)).await?;
        // Files first: a crash in between leaves a dataset that can be deleted again.
        let removed = remove_folder(&self.dataset_folder(&dataset)).await;
        removed.map_err(|error| Error::dependency("training dataset", true, error))?;
        let removed = self
            .registry
            .delete_training_dataset(&self.project, name, version)
            .await;
        removed.map_err(registry_failed)
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
}

/// A version that is taken while its dataset is being made, and given up unless that ends well.
struct Reservation {
    registry: Registry,
    tasks: TaskGroup,
    project: ProjectName,
    name: String,
    version: u32,
    /// The files, once they are written.
    folder: Option<PathBuf>,
    is_over: bool,
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        let (registry, project) = (self.registry.clone(), self.project.clone());
        let (name, version, folder) = (self.name.clone(), self.version, self.folder.take());
        self.tasks.spawn("give up a dataset", |_| async move {
            // The caller hears of what went wrong first, not of this.
            if let Some(folder) = folder
                && let Err(error) = remove_folder(&folder).await
            {
                warn!(folder = %folder.display(), %error, "files of a failed dataset stay");
            }
            let released = registry.delete_training_dataset(&project, &name, version);
            if let Err(error) = released.await {
                warn!(dataset = name, version, %error, "a reserved version stays taken");
            }
            Ok::<(), Infallible>(())
        });
    }
}

/// Below the platform's folder. Versions count within a project, so its name belongs there.
fn dataset_location(project: &ProjectName, name: &str, version: u32) -> String {
    format!("{DATASETS}/{project}.{name}_{version}")
}

fn pin(source: &Source) -> PinnedTable {
    PinnedTable {
        group: source.group.id().clone(),
        resource: source.snapshot.name.clone(),
        commit: source.snapshot.commit,
    }
}

async fn remove_folder(folder: &Path) -> std::io::Result<()> {
    match tokio::fs::remove_dir_all(folder).await {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The rows of a split, and an error behind them when they are not as many as were written.
fn checked(stream: BatchStream, wanted: u64, folder: PathBuf) -> BatchStream {
    let seen = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&seen);
    let counted = stream.batches.inspect_ok(move |batch| {
        counter.fetch_add(batch.num_rows() as u64, Ordering::Relaxed);
    });
    let verdict = futures::stream::once(async move {
        let found = seen.load(Ordering::Relaxed);
        let reason = format!(
            "{} has {found} rows, wanted {wanted}: its files are not those that were written",
            folder.display()
        );
        (found != wanted).then(|| {
            Err(Error::dependency(
                "training dataset",
                false,
                std::io::Error::other(reason),
            ))
        })
    });
    BatchStream {
        schema: stream.schema,
        batches: counted
            .chain(verdict.filter_map(std::future::ready))
            .boxed(),
    }
}
