use sqlx::Row as _;
use twinfold_model::{FeatureGroupId, FeatureViewId, ProjectName};

use super::{Connection, Row};
use crate::columns::{integer, limit, number};
use crate::{Change, ChangeSubject, Error, Result};

/// Changes after `sequence`, oldest first.
pub(crate) async fn since(
    connection: &mut Connection,
    sequence: u64,
    limit_rows: usize,
) -> Result<Vec<Change>> {
    sqlx::query(
        "SELECT sequence, subject, project, name, version FROM changes
         WHERE sequence > $1 ORDER BY sequence LIMIT $2",
    )
    .bind(integer("change sequence", sequence)?)
    .bind(limit(limit_rows))
    .fetch_all(connection)
    .await?
    .iter()
    .map(change)
    .collect()
}

/// The sequence of the newest change, 0 before the first.
pub(crate) async fn newest(connection: &mut Connection) -> Result<u64> {
    let newest: i64 = sqlx::query_scalar("SELECT coalesce(max(sequence), 0) FROM changes")
        .fetch_one(connection)
        .await?;
    number("change sequence", newest)
}

/// Appends to the feed, in the transaction that makes the change.
pub(super) async fn record(transaction: &mut Connection, subject: &ChangeSubject) -> Result<()> {
    let (kind, project, name, version) = match subject {
        ChangeSubject::FeatureGroup(id) => {
            ("feature_group", &id.project, id.name.as_str(), id.version)
        }
        ChangeSubject::FeatureView(id) => {
            ("feature_view", &id.project, id.name.as_str(), id.version)
        }
        ChangeSubject::TrainingDataset {
            project,
            name,
            version,
        } => ("training_dataset", project, name.as_str(), *version),
    };
    sqlx::query("INSERT INTO changes (subject, project, name, version) VALUES ($1, $2, $3, $4)")
        .bind(kind)
        .bind(project.as_str())
        .bind(name)
        .bind(i64::from(version))
        .execute(transaction)
        .await?;
    Ok(())
}

fn change(row: &Row) -> Result<Change> {
    let sequence: u64 = number("change", row.try_get("sequence")?)?;
    let project: &str = row.try_get("project")?;
    let name: &str = row.try_get("name")?;
    let version: u32 = number("change version", row.try_get("version")?)?;
    let corrupt = |error: twinfold_model::Error| Error::Corrupt {
        what: "change",
        name: sequence.to_string(),
        reason: error.to_string(),
    };
    let subject = match row.try_get::<&str, _>("subject")? {
        "feature_group" => ChangeSubject::FeatureGroup(
            FeatureGroupId::new(project, name, version).map_err(corrupt)?,
        ),
        "feature_view" => {
            ChangeSubject::FeatureView(FeatureViewId::new(project, name, version).map_err(corrupt)?)
        }
        _ => ChangeSubject::TrainingDataset {
            project: ProjectName::new(project).map_err(corrupt)?,
            name: name.to_owned(),
            version,
        },
    };
    Ok(Change { sequence, subject })
}
