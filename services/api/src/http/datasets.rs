use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use schemars::JsonSchema;
use serde::Deserialize;
use twinfold_client::no_statistics;
use twinfold_http_kit::{Failure, Operation, Routes, extract};
use twinfold_model::DatasetSpec;
use twinfold_wire::rest::{
    DatasetCheckBody, DatasetSpecBody, DatasetStatisticsBody, TrainingDatasetBody,
};

use super::arrow_stream::answer;
use super::catalog::Version;
use super::{Answer, Api};

pub(super) fn routes(routes: Routes<Api>) -> Routes<Api> {
    let dataset = "/datasets/{name}/{version}";
    routes
        .get(
            "/datasets",
            list,
            Operation::new("Every training dataset").answers::<Vec<TrainingDatasetBody>>(),
        )
        .post(
            "/datasets",
            create,
            Operation::new("Make a training dataset")
                .asks::<DatasetSpecBody>()
                .answers::<TrainingDatasetBody>(),
        )
        .get(
            "/datasets/{name}",
            show,
            Operation::new("One training dataset")
                .query::<Version>()
                .answers::<TrainingDatasetBody>(),
        )
        .delete(
            dataset,
            delete,
            Operation::new("Delete a training dataset with its files"),
        )
        .get(
            &format!("{dataset}/rows"),
            read,
            Operation::new("Rows of a training dataset")
                .query::<Part>()
                .answers_rows(),
        )
        .get(
            &format!("{dataset}/statistics"),
            show_statistics,
            Operation::new("What the columns of a training dataset hold")
                .answers::<DatasetStatisticsBody>(),
        )
        .get(
            &format!("{dataset}/check"),
            verify,
            Operation::new("Digests of the files and of the query run again")
                .answers::<DatasetCheckBody>(),
        )
}

async fn list(State(api): State<Api>) -> Answer<Vec<TrainingDatasetBody>> {
    let datasets = api.platform.datasets().await?;
    let bodies = datasets.iter().map(TrainingDatasetBody::from);
    Ok(Json(bodies.collect()))
}

async fn create(
    State(api): State<Api>,
    extract::Json(spec): extract::Json<DatasetSpecBody>,
) -> Answer<TrainingDatasetBody> {
    let spec = DatasetSpec::try_from(spec)?;
    let dataset = api.platform.create_dataset(spec).await?;
    Ok(Json((&dataset).into()))
}

async fn show(
    State(api): State<Api>,
    extract::Path(name): extract::Path<String>,
    extract::Query(asked): extract::Query<Version>,
) -> Answer<TrainingDatasetBody> {
    let dataset = api.platform.dataset(&name, asked.version).await?;
    Ok(Json((&dataset).into()))
}

type DatasetPath = extract::Path<(String, u32)>;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Part {
    /// Every row when absent.
    split: Option<String>,
}

async fn read(
    State(api): State<Api>,
    extract::Path((name, version)): DatasetPath,
    extract::Query(part): extract::Query<Part>,
) -> Result<Response, Failure> {
    let split = part.split.as_deref();
    answer(api.platform.read_dataset(&name, version, split).await?).await
}

async fn show_statistics(
    State(api): State<Api>,
    extract::Path((name, version)): DatasetPath,
) -> Answer<DatasetStatisticsBody> {
    match api.platform.dataset_statistics(&name, version).await? {
        Some(statistics) => Ok(Json((&statistics).into())),
        None => Err(no_statistics(api.platform.project(), &name, version).into()),
    }
}

async fn verify(
    State(api): State<Api>,
    extract::Path((name, version)): DatasetPath,
) -> Answer<DatasetCheckBody> {
    let check = api.platform.verify_dataset(&name, version).await?;
    Ok(Json((&check).into()))
}

async fn delete(
    State(api): State<Api>,
    extract::Path((name, version)): DatasetPath,
) -> Result<StatusCode, Failure> {
    api.platform.delete_dataset(&name, version).await?;
    Ok(StatusCode::NO_CONTENT)
}
