use async_trait::async_trait;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};
use twinfold_model::{FeatureGroupId, FeatureViewId, ProjectName};

use super::{SqliteMetadata, integer, limit, number};
use crate::{Change, ChangeSubject, Error, MetadataStore, Result};

#[async_trait]
impl MetadataStore for SqliteMetadata {
    async fn changes(&self, after: u64, limit_rows: usize) -> Result<Vec<Change>> {
        sqlx::query(
            "SELECT sequence, subject, project, name, version FROM changes
             WHERE sequence > ? ORDER BY sequence LIMIT ?",
        )
        .bind(integer("change sequence", after)?)
        .bind(limit(limit_rows))
        .fetch_all(&mut *self.read().await?)
        .await?
        .iter()
        .map(change)
        .collect()
    }

    async fn newest_change(&self) -> Result<u64> {
        let newest: i64 = sqlx::query_scalar("SELECT coalesce(max(sequence), 0) FROM changes")
            .fetch_one(&mut *self.read().await?)
            .await?;
        number("change sequence", newest)
    }

    async fn close(&self) -> Result<()> {
        self.close_all().await;
        Ok(())
    }
}

/// Appends to the feed, in the transaction that makes the change.
pub(super) async fn record(
    transaction: &mut SqliteConnection,
    subject: &ChangeSubject,
) -> Result<()> {
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
    sqlx::query("INSERT INTO changes (subject, project, name, version) VALUES (?, ?, ?, ?)")
        .bind(kind)
        .bind(project.as_str())
        .bind(name)
        .bind(version)
        .execute(transaction)
        .await?;
    Ok(())
}

fn change(row: &SqliteRow) -> Result<Change> {
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
