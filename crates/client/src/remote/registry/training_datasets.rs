use async_trait::async_trait;
use reqwest::Method;
use twinfold_model::{DatasetSpec, DatasetStatistics, ProjectName, Query, TrainingDataset};
use twinfold_wire::rest::{
    DatasetSpecBody, DatasetStatisticsBody, ReservationBody, ReserveDatasetBody,
    ResolvedDatasetBody, TrainingDatasetBody,
};

use super::{RemoteRegistry, path};
use crate::statistics::if_kept;
use crate::{DatasetReservation, Result, TrainingDatasets};

const WHAT: &str = "training dataset";

#[async_trait]
impl TrainingDatasets for RemoteRegistry {
    async fn resolve_dataset(&self, spec: DatasetSpec) -> Result<(DatasetSpec, Query)> {
        let path = format!("{}/resolve", path::TRAINING_DATASETS);
        let body = DatasetSpecBody::from(&spec);
        let resolved: ResolvedDatasetBody = self.registry.post_for(&path, &body).await?;
        Ok((resolved.spec.try_into()?, resolved.query.try_into()?))
    }

    async fn reserve_training_dataset(
        &self,
        project: &ProjectName,
        name: &str,
        version: Option<u32>,
    ) -> Result<u32> {
        let body = ReserveDatasetBody {
            project: project.to_string(),
            name: name.to_owned(),
            version,
        };
        let reserved: ReservationBody = self.registry.create(path::RESERVATIONS, &body).await?;
        Ok(reserved.version)
    }

    async fn renew_training_dataset(
        &self,
        project: &ProjectName,
        name: &str,
        version: u32,
    ) -> Result<()> {
        let path = path::named_in(project, path::RESERVATIONS, WHAT, name)?;
        let path = format!("{path}/{version}");
        let request = self.registry.request(Method::POST, &path);
        self.registry.answer(request).await.map(drop)
    }

    async fn put_training_dataset(
        &self,
        dataset: &TrainingDataset,
        statistics: &DatasetStatistics,
    ) -> Result<()> {
        let (project, name) = (&dataset.project, dataset.name.as_str());
        let path = path::named_in(project, path::TRAINING_DATASETS, WHAT, name)?;
        let path = format!("{path}/{}", dataset.version);
        let body = TrainingDatasetBody::from(dataset).with_statistics(Some(statistics));
        let request = self.registry.request(Method::PUT, &path).json(&body);
        self.registry.answer(request).await.map(drop)
    }

    async fn training_dataset(
        &self,
        project: &ProjectName,
        name: &str,
        version: Option<u32>,
    ) -> Result<TrainingDataset> {
        let mut path = path::named_in(project, path::TRAINING_DATASETS, WHAT, name)?;
        if let Some(version) = version {
            path = format!("{path}/{version}");
        }
        let body: TrainingDatasetBody = self.registry.get(&path).await?;
        Ok(body.try_into()?)
    }

    async fn training_dataset_statistics(
        &self,
        project: &ProjectName,
        name: &str,
        version: u32,
    ) -> Result<Option<DatasetStatistics>> {
        let path = path::named_in(project, path::TRAINING_DATASETS, WHAT, name)?;
        let path = format!("{path}/{version}/statistics");
        let answer = self.registry.get::<DatasetStatisticsBody>(&path).await;
        Ok(if_kept(answer)?.map(Into::into))
    }

    async fn training_datasets(&self, project: &ProjectName) -> Result<Vec<TrainingDataset>> {
        let filter = [("project", project.as_str())];
        let bodies: Vec<TrainingDatasetBody> =
            self.registry.list(path::TRAINING_DATASETS, &filter).await?;
        let datasets = bodies.into_iter().map(TrainingDataset::try_from);
        Ok(datasets.collect::<Result<_, _>>()?)
    }

    async fn reserved_training_datasets(
        &self,
        project: &ProjectName,
    ) -> Result<Vec<DatasetReservation>> {
        let filter = [("project", project.as_str())];
        let bodies: Vec<ReservationBody> = self.registry.list(path::RESERVATIONS, &filter).await?;
        let reservations = bodies.into_iter().map(|body| {
            Ok(DatasetReservation {
                project: ProjectName::new(body.project)?,
                name: body.name,
                version: body.version,
                has_lapsed: body.has_lapsed,
            })
        });
        reservations.collect()
    }

    async fn delete_training_dataset(
        &self,
        project: &ProjectName,
        name: &str,
        version: u32,
    ) -> Result<()> {
        let path = path::named_in(project, path::TRAINING_DATASETS, WHAT, name)?;
        self.registry.delete(&format!("{path}/{version}")).await
    }
}
