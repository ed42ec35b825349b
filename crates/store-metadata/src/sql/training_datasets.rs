use async_trait::async_trait;
use sqlx::Row as _;
use twinfold_model::{DatasetStatistics, EventTime, ProjectName, TrainingDataset};
use twinfold_wire::rest::TrainingDatasetBody;

use super::{Connection, Row, Store, changes, feature_groups};
use crate::columns::{from_json, number, to_json};
use crate::{ChangeSubject, Error, Reservation, Result, TrainingDatasets};

const WHAT: &str = "training dataset";

#[async_trait]
impl TrainingDatasets for Store {
    async fn reserve_dataset(
        &self,
        project: &ProjectName,
        name: &str,
        version: Option<u32>,
        until: EventTime,
    ) -> Result<u32> {
        let mut transaction = self.write().await?;
        let version = match version {
            Some(version) => version,
            None => next_version(&mut transaction, project, name).await?,
        };
        let inserted = sqlx::query(
            "INSERT INTO training_datasets (project, name, version, state, reserved_until_us)
             VALUES ($1, $2, $3, 'reserved', $4) ON CONFLICT (project, name, version) DO NOTHING",
        )
        .bind(project.as_str())
        .bind(name)
        .bind(i64::from(version))
        .bind(until.micros())
        .execute(&mut *transaction)
        .await?;
        if inserted.rows_affected() == 0 {
            return Err(Error::AlreadyExists {
                what: WHAT,
                name: full_name(project, name, version),
            });
        }
        transaction.commit().await?;
        Ok(version)
    }

    async fn renew_dataset(&self, reservation: &Reservation, now: EventTime) -> Result<()> {
        let Reservation {
            project,
            name,
            version,
            until,
        } = reservation;
        let mut transaction = self.write().await?;
        let renewed = sqlx::query(
            "UPDATE training_datasets SET reserved_until_us = $1
             WHERE project = $2 AND name = $3 AND version = $4 AND state = 'reserved'
                   AND reserved_until_us > $5",
        )
        .bind(until.micros())
        .bind(project.as_str())
        .bind(name.as_str())
        .bind(i64::from(*version))
        .bind(now.micros())
        .execute(&mut *transaction)
        .await?;
        if renewed.rows_affected() == 0 {
            return Err(not_found(project, name, *version));
        }
        Ok(transaction.commit().await?)
    }

    async fn put_dataset(
        &self,
        dataset: &TrainingDataset,
        statistics: Option<&DatasetStatistics>,
        now: EventTime,
    ) -> Result<()> {
        let (project, name, version) = (&dataset.project, dataset.name.as_str(), dataset.version);
        let mut transaction = self.write().await?;
        match state(&mut transaction, project, name, version).await? {
            Some(State::Reserved { until }) if until > now => {}
            Some(State::Finished) => {
                return Err(Error::AlreadyExists {
                    what: WHAT,
                    name: full_name(project, name, version),
                });
            }
            _ => return Err(not_found(project, name, version)),
        }
        for pin in &dataset.pins {
            let group = feature_groups::referable(&mut transaction, &pin.group).await?;
            if group.resource != pin.resource {
                return Err(Error::NotFound {
                    what: "history table",
                    name: pin.resource.clone(),
                });
            }
        }
        let body = TrainingDatasetBody::from(dataset).with_statistics(statistics);
        sqlx::query(
            "UPDATE training_datasets SET state = 'finished', body = $1
             WHERE project = $2 AND name = $3 AND version = $4",
        )
        .bind(to_json(&body))
        .bind(project.as_str())
        .bind(name)
        .bind(i64::from(version))
        .execute(&mut *transaction)
        .await?;
        changes::record(&mut transaction, &subject(project, name, version)).await?;
        Ok(transaction.commit().await?)
    }

    async fn dataset(
        &self,
        project: &ProjectName,
        name: &str,
        version: Option<u32>,
    ) -> Result<Option<TrainingDataset>> {
        sqlx::query(
            "SELECT project, name, version, body FROM training_datasets
             WHERE project = $1 AND name = $2 AND ($3 IS NULL OR version = $3)
                   AND state = 'finished'
             ORDER BY version DESC LIMIT 1",
        )
        .bind(project.as_str())
        .bind(name)
        .bind(version.map(i64::from))
        .fetch_optional(&mut *self.read().await?)
        .await?
        .as_ref()
        .map(decode)
        .transpose()
    }

    async fn dataset_statistics(
        &self,
        project: &ProjectName,
        name: &str,
        version: u32,
    ) -> Result<Option<DatasetStatistics>> {
        let found = sqlx::query(
            "SELECT project, name, version, body FROM training_datasets
             WHERE project = $1 AND name = $2 AND version = $3 AND state = 'finished'",
        )
        .bind(project.as_str())
        .bind(name)
        .bind(i64::from(version))
        .fetch_optional(&mut *self.read().await?)
        .await?;
        let Some(found) = found else {
            return Ok(None);
        };
        let body: TrainingDatasetBody = decode(&found)?;
        Ok(body.statistics.map(Into::into))
    }

    async fn datasets(&self, project: Option<&ProjectName>) -> Result<Vec<TrainingDataset>> {
        sqlx::query(
            "SELECT project, name, version, body FROM training_datasets
             WHERE ($1 IS NULL OR project = $1) AND state = 'finished'
             ORDER BY project, name, version",
        )
        .bind(project.map(ProjectName::as_str))
        .fetch_all(&mut *self.read().await?)
        .await?
        .iter()
        .map(decode)
        .collect()
    }

    async fn reserved_datasets(&self) -> Result<Vec<Reservation>> {
        sqlx::query(
            "SELECT project, name, version, reserved_until_us FROM training_datasets
             WHERE state = 'reserved' ORDER BY project, name, version",
        )
        .fetch_all(&mut *self.read().await?)
        .await?
        .iter()
        .map(|row| {
            let project: String = row.try_get("project")?;
            let project = ProjectName::new(project.as_str()).map_err(|error| Error::Corrupt {
                what: WHAT,
                name: project,
                reason: error.to_string(),
            })?;
            Ok(Reservation {
                project,
                name: row.try_get("name")?,
                version: number("training dataset version", row.try_get("version")?)?,
                until: EventTime::from_micros(row.try_get("reserved_until_us")?),
            })
        })
        .collect()
    }

    async fn remove_dataset(
        &self,
        project: &ProjectName,
        name: &str,
        version: u32,
        now: EventTime,
    ) -> Result<()> {
        let mut transaction = self.write().await?;
        let statement = match state(&mut transaction, project, name, version).await? {
            None | Some(State::Removed) => return Err(not_found(project, name, version)),
            // Given up by who reserved it, it never was a dataset: it may be given again.
            Some(State::Reserved { until }) if until > now => {
                "DELETE FROM training_datasets WHERE project = $1 AND name = $2 AND version = $3"
            }
            Some(State::Reserved { .. } | State::Finished) => {
                "UPDATE training_datasets SET state = 'removed', body = NULL
                 WHERE project = $1 AND name = $2 AND version = $3"
            }
        };
        sqlx::query(statement)
            .bind(project.as_str())
            .bind(name)
            .bind(i64::from(version))
            .execute(&mut *transaction)
            .await?;
        changes::record(&mut transaction, &subject(project, name, version)).await?;
        Ok(transaction.commit().await?)
    }
}

async fn next_version(
    transaction: &mut Connection,
    project: &ProjectName,
    name: &str,
) -> Result<u32> {
    let last: i64 = sqlx::query_scalar(
        "SELECT coalesce(max(version), 0) FROM training_datasets WHERE project = $1 AND name = $2",
    )
    .bind(project.as_str())
    .bind(name)
    .fetch_one(transaction)
    .await?;
    number("training dataset version", last + 1)
}

enum State {
    Reserved { until: EventTime },
    Finished,
    Removed,
}

async fn state(
    transaction: &mut Connection,
    project: &ProjectName,
    name: &str,
    version: u32,
) -> Result<Option<State>> {
    let found = sqlx::query(
        "SELECT state, reserved_until_us FROM training_datasets
         WHERE project = $1 AND name = $2 AND version = $3",
    )
    .bind(project.as_str())
    .bind(name)
    .bind(i64::from(version))
    .fetch_optional(transaction)
    .await?;
    let Some(found) = found else {
        return Ok(None);
    };
    Ok(Some(match found.try_get::<&str, _>("state")? {
        "reserved" => State::Reserved {
            until: EventTime::from_micros(found.try_get("reserved_until_us")?),
        },
        "finished" => State::Finished,
        _ => State::Removed,
    }))
}

fn full_name(project: &ProjectName, name: &str, version: u32) -> String {
    format!("{project}.{name}_{version}")
}

fn not_found(project: &ProjectName, name: &str, version: u32) -> Error {
    Error::NotFound {
        what: WHAT,
        name: full_name(project, name, version),
    }
}

fn subject(project: &ProjectName, name: &str, version: u32) -> ChangeSubject {
    ChangeSubject::TrainingDataset {
        project: project.clone(),
        name: name.to_owned(),
        version,
    }
}

/// The body that is stored, or the dataset that it says.
fn decode<T>(row: &Row) -> Result<T>
where
    T: TryFrom<TrainingDatasetBody>,
    T::Error: ToString,
{
    let (project, name): (&str, &str) = (row.try_get("project")?, row.try_get("name")?);
    let version: i64 = row.try_get("version")?;
    let name = format!("{project}.{name}_{version}");
    from_json::<TrainingDatasetBody, _>(WHAT, name, row.try_get("body")?)
}
