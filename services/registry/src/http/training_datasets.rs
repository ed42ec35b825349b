use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use schemars::JsonSchema;
use serde::Deserialize;
use twinfold_client::no_statistics;
use twinfold_http_kit::{Failure, Operation, Paging, Routes, extract};
use twinfold_model::{
    DatasetSpec, DatasetStatistics, Error as ModelError, ProjectName, TrainingDataset,
};
use twinfold_wire::rest::{
    DatasetSpecBody, DatasetStatisticsBody, PageBody, ReservationBody, ReserveDatasetBody,
    ResolvedDatasetBody, TrainingDatasetBody,
};

use super::{Answer, Listing, VersionPath};
use crate::Registry;

const DATASETS: &str = "/training-datasets";
const DATASET: &str = "/training-datasets/{project}/{name}/{version}";
const RESERVATIONS: &str = "/reservations";

pub(super) fn routes(routes: Routes<Registry>) -> Routes<Registry> {
    let routes = routes
        .get(
            DATASETS,
            list,
            Operation::new("Every finished training dataset")
                .query::<Listing>()
                .answers::<PageBody<TrainingDatasetBody>>(),
        )
        .post(
            "/training-datasets/resolve",
            resolve,
            Operation::new("Check what a training dataset shall be, and find its query")
                .asks::<DatasetSpecBody>()
                .answers::<ResolvedDatasetBody>(),
        )
        .get(
            "/training-datasets/{project}/{name}",
            show_newest,
            Operation::new("The newest finished version of a training dataset")
                .answers::<TrainingDatasetBody>(),
        )
        .get(
            DATASET,
            show,
            Operation::new("One training dataset").answers::<TrainingDatasetBody>(),
        )
        .get(
            &format!("{DATASET}/statistics"),
            show_statistics,
            Operation::new("What the columns of a training dataset hold")
                .answers::<DatasetStatisticsBody>(),
        )
        .put(
            DATASET,
            put,
            Operation::new("Finish a reserved version").asks::<TrainingDatasetBody>(),
        )
        .delete(
            DATASET,
            delete,
            Operation::new("Forget a training dataset, or give up a reservation"),
        );
    reservation_routes(routes)
}

fn reservation_routes(routes: Routes<Registry>) -> Routes<Registry> {
    routes
        .get(
            RESERVATIONS,
            reservations,
            Operation::new("Versions of training datasets that are being made")
                .query::<Reservations>()
                .answers::<PageBody<ReservationBody>>(),
        )
        .post(
            RESERVATIONS,
            reserve,
            Operation::new("Reserve a version of a training dataset")
                .asks::<ReserveDatasetBody>()
                .answers::<ReservationBody>(),
        )
        .post(
            "/reservations/{project}/{name}/{version}",
            renew,
            Operation::new("Renew a reservation"),
        )
}

async fn list(
    State(registry): State<Registry>,
    extract::Query(listing): extract::Query<Listing>,
) -> Answer<PageBody<TrainingDatasetBody>> {
    let (project, paging) = listing.parts()?;
    let datasets = registry.training_datasets(project.as_ref()).await?;
    let id = |dataset: &TrainingDataset| {
        let name = dataset.name.to_string();
        (dataset.project.to_string(), name, dataset.version)
    };
    Listing::page(&paging, &datasets, id, |dataset| dataset.into())
}

/// Stores nothing: whoever builds a dataset asks for its query first.
async fn resolve(
    State(registry): State<Registry>,
    extract::Json(spec): extract::Json<DatasetSpecBody>,
) -> Answer<ResolvedDatasetBody> {
    let spec = DatasetSpec::try_from(spec)?;
    let (spec, query) = registry.resolve_dataset(spec).await?;
    Ok(Json(ResolvedDatasetBody {
        spec: (&spec).into(),
        query: (&query).into(),
    }))
}

async fn show_newest(
    State(registry): State<Registry>,
    extract::Path((project, name)): extract::Path<(String, String)>,
) -> Answer<TrainingDatasetBody> {
    let project = ProjectName::new(project)?;
    let dataset = registry.training_dataset(&project, &name, None).await?;
    Ok(Json((&dataset).into()))
}

async fn show(
    State(registry): State<Registry>,
    extract::Path((project, name, version)): VersionPath,
) -> Answer<TrainingDatasetBody> {
    let project = ProjectName::new(project)?;
    let dataset = registry.training_dataset(&project, &name, Some(version));
    Ok(Json((&dataset.await?).into()))
}

async fn show_statistics(
    State(registry): State<Registry>,
    extract::Path((project, name, version)): VersionPath,
) -> Answer<DatasetStatisticsBody> {
    let project = ProjectName::new(project)?;
    let statistics = registry.training_dataset_statistics(&project, &name, version);
    match statistics.await? {
        Some(statistics) => Ok(Json((&statistics).into())),
        None => Err(no_statistics(project.as_str(), &name, version).into()),
    }
}

/// Finishes a reserved version.
async fn put(
    State(registry): State<Registry>,
    extract::Path(path): VersionPath,
    extract::Json(mut dataset): extract::Json<TrainingDatasetBody>,
) -> Result<StatusCode, Failure> {
    let named = (&dataset.project, &dataset.name, &dataset.version);
    if named != (&path.0, &path.1, &path.2) {
        return Err(Failure::from(ModelError::InvalidDataset {
            dataset: format!("{}.{}_{}", dataset.project, dataset.name, dataset.version),
            reason: format!("wanted {}.{}_{}, as its path says", path.0, path.1, path.2),
        }));
    }
    let statistics = dataset.statistics.take().map(DatasetStatistics::from);
    let dataset = TrainingDataset::try_from(dataset)?;
    let stored = registry.put_training_dataset(&dataset, statistics.as_ref());
    stored.await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Forgets a dataset or gives up a reservation.
async fn delete(
    State(registry): State<Registry>,
    extract::Path((project, name, version)): VersionPath,
) -> Result<StatusCode, Failure> {
    let project = ProjectName::new(project)?;
    let deleted = registry.delete_training_dataset(&project, &name, version);
    deleted.await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Reservations {
    project: String,
    limit: Option<usize>,
    page_token: Option<String>,
}

async fn reservations(
    State(registry): State<Registry>,
    extract::Query(asked): extract::Query<Reservations>,
) -> Answer<PageBody<ReservationBody>> {
    let Reservations {
        project,
        limit,
        page_token,
    } = asked;
    let (project, paging) = (ProjectName::new(project)?, Paging { limit, page_token });
    let reserved = registry.reserved_training_datasets(&project).await?;
    let page = paging.page(
        &reserved,
        |reservation| (reservation.name.clone(), reservation.version),
        |reservation| ReservationBody {
            project: reservation.project.to_string(),
            name: reservation.name.clone(),
            version: reservation.version,
            has_lapsed: reservation.has_lapsed,
        },
    );
    Ok(Json(page?))
}

async fn reserve(
    State(registry): State<Registry>,
    extract::Json(wanted): extract::Json<ReserveDatasetBody>,
) -> Answer<ReservationBody> {
    let project = ProjectName::new(wanted.project)?;
    let reserved = registry.reserve_training_dataset(&project, &wanted.name, wanted.version);
    Ok(Json(ReservationBody {
        version: reserved.await?,
        project: project.to_string(),
        name: wanted.name,
        has_lapsed: false,
    }))
}

async fn renew(
    State(registry): State<Registry>,
    extract::Path((project, name, version)): VersionPath,
) -> Result<StatusCode, Failure> {
    let project = ProjectName::new(project)?;
    let renewed = registry.renew_training_dataset(&project, &name, version);
    renewed.await?;
    Ok(StatusCode::NO_CONTENT)
}
