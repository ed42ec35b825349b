use async_trait::async_trait;
use reqwest::{Method, RequestBuilder};
use twinfold_model::{
    AsOf, Commit, DatasetSpec, DatasetStatistics, FeatureGroupId, TrainingDataset,
};
use twinfold_wire::arrow_stream::with_request;
use twinfold_wire::rest::{
    CommitBody, DatasetCheckBody, DatasetSpecBody, DatasetStatisticsBody, PAGE_ITEMS_MAX, PageBody,
    ReadBody, TrainingDatasetBody,
};

use super::{RemotePlatform, WHAT, path};
use crate::remote::arrow_stream::{self, Outgoing};
use crate::statistics::if_kept;
use crate::{BatchStream, DatasetCheck, Error, ReadRequest, Reading, Result};

#[async_trait]
impl Reading for RemotePlatform {
    async fn read(&self, request: ReadRequest) -> Result<BatchStream> {
        let body = ReadBody::from(&request);
        let service = self.service()?;
        let post = service.long_request(Method::POST, "/reads");
        let Some(spine) = request.spine else {
            return self.receive(post.json(&body)).await;
        };
        let text = serde_json::to_string(&body).map_err(|error| {
            Error::Internal(format!("a request cannot be written as JSON: {error}"))
        })?;
        let rows = Outgoing {
            what: "a spine",
            schema: with_request(&spine.schema, text),
            batches: spine.batches,
            bytes_max: self.limits.rows_bytes_max,
        };
        let answer = arrow_stream::send(service, post, rows).await?;
        arrow_stream::receive(WHAT, answer).await
    }

    async fn read_online(&self, group: &FeatureGroupId) -> Result<BatchStream> {
        let path = path::group(group, "online");
        let request = self.service()?.long_request(Method::GET, &path);
        self.receive(request).await
    }

    async fn read_changes(
        &self,
        group: &FeatureGroupId,
        after: Option<AsOf>,
        up_to: Option<AsOf>,
    ) -> Result<BatchStream> {
        let path = path::group(group, "changes");
        let request = self.service()?.long_request(Method::GET, &path);
        let request = bounded(request, after, ("after_commit", "after_us"));
        let request = bounded(request, up_to, ("up_to_commit", "up_to_us"));
        self.receive(request).await
    }

    async fn commits(
        &self,
        group: &FeatureGroupId,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<Commit>> {
        let service = self.service()?;
        let request = service.request(Method::GET, &path::group(group, "commits"));
        let mut request = request.query(&[("limit", limit.min(PAGE_ITEMS_MAX))]);
        if let Some(before) = before {
            request = request.query(&[("before", before)]);
        }
        let page: PageBody<CommitBody> = service.read(request).await?;
        Ok(page.items.into_iter().map(Commit::from).collect())
    }

    async fn create_dataset(&self, spec: DatasetSpec) -> Result<TrainingDataset> {
        let body = DatasetSpecBody::from(&spec);
        let service = self.service()?;
        let request = service.long_request(Method::POST, path::DATASETS);
        let made: TrainingDatasetBody = service.read(request.json(&body)).await?;
        Ok(made.try_into()?)
    }

    async fn dataset(&self, name: &str, version: Option<u32>) -> Result<TrainingDataset> {
        let path = path::named(path::DATASETS, "training dataset", name)?;
        let body: TrainingDatasetBody = self.versioned(&path, version).await?;
        Ok(body.try_into()?)
    }

    async fn datasets(&self) -> Result<Vec<TrainingDataset>> {
        let bodies: Vec<TrainingDatasetBody> = self.service()?.get(path::DATASETS).await?;
        let datasets = bodies.into_iter().map(TrainingDataset::try_from);
        Ok(datasets.collect::<Result<_, _>>()?)
    }

    async fn dataset_statistics(
        &self,
        name: &str,
        version: u32,
    ) -> Result<Option<DatasetStatistics>> {
        let path = path::dataset(name, version, "statistics")?;
        let answer = self.service()?.get::<DatasetStatisticsBody>(&path).await;
        Ok(if_kept(answer)?.map(Into::into))
    }

    async fn read_dataset(
        &self,
        name: &str,
        version: u32,
        split: Option<&str>,
    ) -> Result<BatchStream> {
        let path = path::dataset(name, version, "rows")?;
        let request = self.service()?.long_request(Method::GET, &path);
        let request = match split {
            None => request,
            Some(split) => request.query(&[("split", split)]),
        };
        self.receive(request).await
    }

    async fn verify_dataset(&self, name: &str, version: u32) -> Result<DatasetCheck> {
        let path = path::dataset(name, version, "check")?;
        let service = self.service()?;
        let request = service.long_request(Method::GET, &path);
        let body: DatasetCheckBody = service.read(request).await?;
        Ok(body.into())
    }

    async fn delete_dataset(&self, name: &str, version: u32) -> Result<()> {
        let path = path::dataset(name, version, "")?;
        self.service()?.delete(&path).await
    }
}

impl RemotePlatform {
    async fn receive(&self, request: RequestBuilder) -> Result<BatchStream> {
        let answer = self.service()?.answer(request).await?;
        arrow_stream::receive(WHAT, answer).await
    }
}

/// Adds one end of a span of commits, by the names it has as a commit and as a time.
fn bounded(
    request: RequestBuilder,
    end: Option<AsOf>,
    (commit, time): (&str, &str),
) -> RequestBuilder {
    match end {
        None => request,
        Some(AsOf::Commit(id)) => request.query(&[(commit, id)]),
        Some(AsOf::Time(at)) => request.query(&[(time, at.micros())]),
    }
}
