//! Training datasets: their files beside the histories, what they are in the registry.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::{StreamExt, TryStreamExt};
use tracing::{info, warn};
use twinfold_client::{BatchStream, ControlPlane, DatasetCheck, Error, RESERVED_FOR, Result};
use twinfold_model::{DatasetSpec, DatasetStatistics, PinnedTable, ProjectName, TrainingDataset};
use twinfold_service_kit::TaskGroup;
use twinfold_training::{DatasetPlace, Source, WHOLE_SPLIT, Written, digest_rows};

use super::StorePlatform;
use super::failure::training_failed;
use super::reading::{Run, into_stream};

/// The folder of training datasets, below the place of files.
const DATASETS: &str = "datasets";
/// A reservation is renewed so often that some failures in a row do no harm.
const RENEWALS_PER_RESERVATION: u32 = 20;

/// Which datasets that were never finished are given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leftovers {
    /// All: nobody but this process makes datasets, and it makes none yet.
    All,
    /// Those whose reservation has lapsed: others may be made by other processes.
    Lapsed,
}

impl StorePlatform {
    /// Reserves a version, runs the query, writes the files, stores what they are. Whatever ends this
    /// early, also a caller that waits no longer, leaves neither files nor a version taken.
    pub(super) async fn build_dataset(&self, spec: DatasetSpec) -> Result<TrainingDataset> {
        let (spec, query) = self.control_plane().resolve_dataset(spec).await?;
        let sources = self.sources(&query, &[]).await?;
        let run = Run {
            query: &query,
            defaults: &spec.defaults,
            sources: &sources,
            spine: None,
        };
        let features = run.plan()?.features();
        let mut reservation = self.reserve(&spec).await?;
        let location =
            dataset_location(&self.parts.project, spec.name.as_str(), reservation.version);
        let place = DatasetPlace::below(&self.parts.files, &location);
        place.check_free().await.map_err(training_failed)?;
        reservation.place = Some(place.clone());
        let written = tokio::select! {
            written = self.write_dataset(&run, &spec, &place) => written?,
            lost = reservation.keep() => return Err(lost),
        };
        let dataset = TrainingDataset {
            project: self.parts.project.clone(),
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
        self.store_dataset(&dataset, &written.statistics, &mut reservation)
            .await?;
        Ok(dataset)
    }

    /// Stores what a dataset is. When the answer is lost, whether it is stored decides over its files; while
    /// that cannot be known they stay, and a sweep gives up what was not stored.
    async fn store_dataset(
        &self,
        dataset: &TrainingDataset,
        statistics: &DatasetStatistics,
        reservation: &mut Reservation,
    ) -> Result<()> {
        let control_plane = self.control_plane();
        let stored = control_plane.put_training_dataset(dataset, statistics);
        let error = match stored.await {
            Ok(()) => {
                reservation.is_over = true;
                return Ok(());
            }
            Err(error) => error,
        };
        if !error.retry() {
            return Err(error);
        }
        let (name, version) = (dataset.name.as_str(), dataset.version);
        match self.stored_dataset(name, Some(version)).await {
            Ok(stored) if stored.digest == dataset.digest => {
                reservation.is_over = true;
                Ok(())
            }
            Err(unknown) if unknown.retry() => {
                reservation.is_over = true;
                Err(error)
            }
            _ => Err(error),
        }
    }

    async fn write_dataset(
        &self,
        run: &Run<'_>,
        spec: &DatasetSpec,
        place: &DatasetPlace,
    ) -> Result<Written> {
        let options = self.options(spec.event_time_start, spec.event_time_end);
        let rows = run.execute(&options).await?;
        place.write(rows, spec).await.map_err(training_failed)
    }

    /// Gives up what was being made when an earlier process ended. What cannot be removed now, because
    /// the disk is full perhaps, is left to the next attempt: nothing else needs it gone.
    pub async fn sweep_datasets(&self, leftovers: Leftovers) {
        if let Err(error) = self.try_sweep_datasets(leftovers).await {
            warn!(%error, "unfinished training datasets are still there");
        }
    }

    async fn try_sweep_datasets(&self, leftovers: Leftovers) -> Result<()> {
        let project = &self.parts.project;
        let reserved = self.control_plane().reserved_training_datasets(project);
        for reservation in reserved.await? {
            if leftovers == Leftovers::Lapsed && !reservation.has_lapsed {
                continue;
            }
            let (name, version) = (&reservation.name, reservation.version);
            let location = dataset_location(project, name, version);
            let place = DatasetPlace::below(&self.parts.files, &location);
            // Files first: while the reservation is there, they are not forgotten.
            place.remove().await.map_err(training_failed)?;
            let released = self
                .control_plane()
                .delete_training_dataset(project, name, version);
            match released.await {
                Ok(()) => info!(%place, "unfinished training dataset removed"),
                // Another process was as quick.
                Err(Error::NotFound { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    async fn reserve(&self, spec: &DatasetSpec) -> Result<Reservation> {
        let name = spec.name.to_string();
        let reserved =
            self.control_plane()
                .reserve_training_dataset(&self.parts.project, &name, spec.version);
        Ok(Reservation {
            version: reserved.await?,
            control_plane: Arc::clone(&self.parts.control_plane),
            tasks: self.parts.tasks.clone(),
            project: self.parts.project.clone(),
            name,
            place: None,
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
        let place = self.dataset_place(&dataset);
        let mut parts = Vec::with_capacity(splits.len());
        for split in &splits {
            let rows = place.read(dataset.spec.format, split, &dataset.features);
            let rows = into_stream(rows.await.map_err(training_failed)?);
            let wanted = dataset.rows.get(split).copied().unwrap_or_default();
            parts.push(checked(rows, wanted, format!("{place}/{split}")));
        }
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
        let files = self.dataset_place(&dataset).digest(&dataset).await;
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
        let removed = self.dataset_place(&dataset).remove().await;
        removed.map_err(training_failed)?;
        self.control_plane()
            .delete_training_dataset(&self.parts.project, name, version)
            .await
    }

    pub(super) async fn stored_dataset(
        &self,
        name: &str,
        version: Option<u32>,
    ) -> Result<TrainingDataset> {
        self.control_plane()
            .training_dataset(&self.parts.project, name, version)
            .await
    }

    fn dataset_place(&self, dataset: &TrainingDataset) -> DatasetPlace {
        DatasetPlace::below(&self.parts.files, &dataset.location)
    }
}

/// A version that is taken while its dataset is being made, and given up unless that ends well.
struct Reservation {
    control_plane: Arc<dyn ControlPlane>,
    tasks: TaskGroup,
    project: ProjectName,
    name: String,
    version: u32,
    /// Where files of ours may be.
    place: Option<DatasetPlace>,
    /// Not to be given up any more, at least not by who made it.
    is_over: bool,
}

impl Reservation {
    /// Renews the reservation for as long as it is waited for; returns when it is lost.
    async fn keep(&self) -> Error {
        loop {
            tokio::time::sleep(RESERVED_FOR / RENEWALS_PER_RESERVATION).await;
            let renewed =
                self.control_plane
                    .renew_training_dataset(&self.project, &self.name, self.version);
            match renewed.await {
                Ok(()) => {}
                Err(error) if error.retry() => {
                    warn!(dataset = self.name, %error, "a reservation is not renewed");
                }
                Err(error) => return error,
            }
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        let (control_plane, project) = (Arc::clone(&self.control_plane), self.project.clone());
        let (name, version, place) = (self.name.clone(), self.version, self.place.take());
        self.tasks.spawn("give up a dataset", |_| async move {
            // The caller hears of what went wrong first, not of this. While files are left, the
            // version stays reserved: a later sweep takes both.
            if let Some(place) = place
                && let Err(error) = place.remove().await
            {
                warn!(%place, %error, "files of a failed dataset stay");
                return Ok::<(), Infallible>(());
            }
            let released = control_plane.delete_training_dataset(&project, &name, version);
            if let Err(error) = released.await {
                warn!(dataset = name, version, %error, "a reserved version stays taken");
            }
            Ok(())
        });
    }
}

/// Below the place of files. Versions count within a project, so its name belongs there.
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

/// The rows of a split, and an error behind them when they are not as many as were written.
fn checked(stream: BatchStream, wanted: u64, place: String) -> BatchStream {
    let seen = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&seen);
    let counted = stream.batches.inspect_ok(move |batch| {
        counter.fetch_add(batch.num_rows() as u64, Ordering::Relaxed);
    });
    let verdict = futures::stream::once(async move {
        let found = seen.load(Ordering::Relaxed);
        let reason = format!(
            "{place} has {found} rows, wanted {wanted}: its files are not those that were written"
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
