use std::collections::BTreeSet;

use twinfold_client::{DatasetReservation, RESERVED_FOR};
use twinfold_model::{
    DatasetSource, DatasetSpec, DatasetStatistics, Error as Invalid, EventTime, FeatureGroupId,
    PinnedTable, ProjectName, Query, TrainingDataset,
};
use twinfold_store_metadata::Reservation;

use crate::{Error, Registry, Result, suggestion};

impl Registry {
    /// Checks a specification and finds the query to run: that of its view, whose defaults
    /// count, and whose labels do when the specification names none; or its own.
    pub async fn resolve_dataset(&self, mut spec: DatasetSpec) -> Result<(DatasetSpec, Query)> {
        spec.validate()?;
        let query = match &spec.source {
            DatasetSource::Query(query) => {
                let query = self.check_query(query.clone()).await?;
                spec.source = DatasetSource::Query(query.clone());
                query
            }
            DatasetSource::View(id) => {
                let view = self.feature_view(id).await?;
                if spec.labels.is_empty() {
                    spec.labels = view.labels;
                }
                spec.defaults = view.defaults;
                self.check_query(view.query).await?
            }
        };
        let columns = query.output_names()?;
        if let Some(label) = spec.labels.iter().find(|label| !columns.contains(label)) {
            return Err(Error::Invalid(Invalid::UnknownFeature {
                feature: label.clone(),
                owner: format!("training dataset {}", spec.name),
                known: columns,
            }));
        }
        Ok((spec, query))
    }

    /// The next free version of `name`, or the one asked for ([`Error::AlreadyExists`] when it is taken
    /// or was). Reserved before the files are written, for [`RESERVED_FOR`] at first; given up with
    /// [`delete_training_dataset`](Self::delete_training_dataset).
    pub async fn reserve_training_dataset(
        &self,
        project: &ProjectName,
        name: &str,
        version: Option<u32>,
    ) -> Result<u32> {
        let until = self.reserved_until();
        let reserved = self
            .metadata()
            .reserve_dataset(project, name, version, until);
        Ok(reserved.await?)
    }

    /// Reserves a version for [`RESERVED_FOR`] from now on; one that has lapsed is over for good.
    pub async fn renew_training_dataset(
        &self,
        project: &ProjectName,
        name: &str,
        version: u32,
    ) -> Result<()> {
        let reservation = Reservation {
            project: project.clone(),
            name: name.to_owned(),
            version,
            until: self.reserved_until(),
        };
        let now = self.now();
        Ok(self.metadata().renew_dataset(&reservation, now).await?)
    }

    fn reserved_until(&self) -> EventTime {
        let micros = i64::try_from(RESERVED_FOR.as_micros()).unwrap_or(i64::MAX);
        EventTime::from_micros(self.now().micros().saturating_add(micros))
    }

    /// Stores the finished dataset under its reserved version; from then on it pins its commits. A group
    /// that was deleted while the dataset was made has none left to pin.
    pub async fn put_training_dataset(
        &self,
        dataset: &TrainingDataset,
        statistics: Option<&DatasetStatistics>,
    ) -> Result<()> {
        self.check_pins(dataset).await?;
        let put = self.metadata().put_dataset(dataset, statistics, self.now());
        if let Err(error) = put.await {
            // When a group went meanwhile, this says which.
            self.check_pins(dataset).await?;
            return Err(error.into());
        }
        self.announce().await;
        Ok(())
    }

    /// The dataset, the newest finished version when `None`; or [`Error::NotFound`] with what there is
    /// instead.
    pub async fn training_dataset(
        &self,
        project: &ProjectName,
        name: &str,
        version: Option<u32>,
    ) -> Result<TrainingDataset> {
        match self.metadata().dataset(project, name, version).await? {
            Some(dataset) => Ok(dataset),
            None => Err(self.unknown_dataset(project, name, version).await?),
        }
    }

    /// What the columns of a dataset hold; `None` when it was finished without, as all were before statistics
    /// were kept.
    pub async fn training_dataset_statistics(
        &self,
        project: &ProjectName,
        name: &str,
        version: u32,
    ) -> Result<Option<DatasetStatistics>> {
        let stored = self.metadata().dataset_statistics(project, name, version);
        let statistics = stored.await?;
        if statistics.is_none() {
            // Which of the two is not there.
            self.training_dataset(project, name, Some(version)).await?;
        }
        Ok(statistics)
    }

    /// Every finished dataset of the project, or of all projects, ordered by name and version.
    pub async fn training_datasets(
        &self,
        project: Option<&ProjectName>,
    ) -> Result<Vec<TrainingDataset>> {
        Ok(self.metadata().datasets(project).await?)
    }

    /// Versions of datasets of the project that are being made, or whose making was cut short.
    pub async fn reserved_training_datasets(
        &self,
        project: &ProjectName,
    ) -> Result<Vec<DatasetReservation>> {
        let now = self.now();
        let reservations = self.metadata().reserved_datasets().await?;
        let ours = reservations
            .into_iter()
            .filter(|reservation| reservation.project == *project);
        let reservations = ours.map(|reservation| DatasetReservation {
            project: reservation.project,
            name: reservation.name,
            version: reservation.version,
            has_lapsed: reservation.until <= now,
        });
        Ok(reservations.collect())
    }

    /// Forgets a dataset, whose version is not given again, or gives up a reserved version, which may be
    /// unless it had lapsed. Its files are the caller's.
    pub async fn delete_training_dataset(
        &self,
        project: &ProjectName,
        name: &str,
        version: u32,
    ) -> Result<()> {
        self.metadata()
            .remove_dataset(project, name, version, self.now())
            .await?;
        self.announce().await;
        Ok(())
    }

    /// The commits of a group's history that training datasets were read from, in order: vacuum keeps
    /// them. Commits of an earlier life of the group went with its history.
    pub async fn pinned_commits(&self, group: &FeatureGroupId) -> Result<Vec<u64>> {
        let Some(record) = self.find_group(group).await? else {
            return Ok(Vec::new());
        };
        let datasets = self.metadata().datasets(None).await?;
        let commits: BTreeSet<u64> = datasets
            .iter()
            .flat_map(|dataset| &dataset.pins)
            .filter(|pin| pin.resource == record.resource)
            .map(|pin| pin.commit)
            .collect();
        Ok(commits.into_iter().collect())
    }

    async fn check_pins(&self, dataset: &TrainingDataset) -> Result<()> {
        for pin in &dataset.pins {
            self.check_pin(pin).await?;
        }
        Ok(())
    }

    /// The table that a pin names belongs to the group as it is now, and is not about to go.
    async fn check_pin(&self, pin: &PinnedTable) -> Result<()> {
        let record = self.changeable(&pin.group).await?;
        match pin.replaced_by(&record.resource) {
            None => Ok(()),
            Some(hint) => Err(Error::NotFound {
                what: "history table",
                name: pin.resource.clone(),
                hint,
            }),
        }
    }

    async fn unknown_dataset(
        &self,
        project: &ProjectName,
        name: &str,
        version: Option<u32>,
    ) -> Result<Error> {
        let datasets = self.training_datasets(Some(project)).await?;
        let known = datasets
            .iter()
            .map(|dataset| (dataset.name.as_str(), dataset.version));
        let what = "training dataset";
        Ok(suggestion::not_found(what, project, name, version, known))
    }
}
