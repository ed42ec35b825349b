use async_trait::async_trait;
use sqlx::Row as _;
use twinfold_model::{EventTime, FeatureView, FeatureViewId, ProjectName};
use twinfold_wire::rest::FeatureViewBody;

use super::{Row, Store, changes, feature_groups};
use crate::columns::{from_json, to_json};
use crate::{ChangeSubject, Error, FeatureViews, Result};

const WHAT: &str = "feature view";

#[async_trait]
impl FeatureViews for Store {
    async fn create_view(&self, view: &FeatureView, at: EventTime) -> Result<()> {
        let mut transaction = self.write().await?;
        for group in view.query.groups() {
            feature_groups::referable(&mut transaction, group).await?;
        }
        let inserted = sqlx::query(
            "INSERT INTO feature_views (project, name, version, body, created_at_us)
             VALUES ($1, $2, $3, $4, $5) ON CONFLICT (project, name, version) DO NOTHING",
        )
        .bind(view.id.project.as_str())
        .bind(view.id.name.as_str())
        .bind(i64::from(view.id.version))
        .bind(to_json(&FeatureViewBody::from(view)))
        .bind(at.micros())
        .execute(&mut *transaction)
        .await?;
        if inserted.rows_affected() == 0 {
            return Err(Error::AlreadyExists {
                what: WHAT,
                name: view.id.to_string(),
            });
        }
        let change = ChangeSubject::FeatureView(view.id.clone());
        changes::record(&mut transaction, &change).await?;
        Ok(transaction.commit().await?)
    }

    async fn view(&self, id: &FeatureViewId) -> Result<Option<FeatureView>> {
        sqlx::query(
            "SELECT project, name, version, body FROM feature_views
             WHERE project = $1 AND name = $2 AND version = $3",
        )
        .bind(id.project.as_str())
        .bind(id.name.as_str())
        .bind(i64::from(id.version))
        .fetch_optional(&mut *self.read().await?)
        .await?
        .as_ref()
        .map(decode)
        .transpose()
    }

    async fn views(&self, project: Option<&ProjectName>) -> Result<Vec<FeatureView>> {
        sqlx::query(
            "SELECT project, name, version, body FROM feature_views
             WHERE $1 IS NULL OR project = $1 ORDER BY project, name, version",
        )
        .bind(project.map(ProjectName::as_str))
        .fetch_all(&mut *self.read().await?)
        .await?
        .iter()
        .map(decode)
        .collect()
    }

    async fn remove_view(&self, id: &FeatureViewId) -> Result<()> {
        let mut transaction = self.write().await?;
        let deleted = sqlx::query(
            "DELETE FROM feature_views WHERE project = $1 AND name = $2 AND version = $3",
        )
        .bind(id.project.as_str())
        .bind(id.name.as_str())
        .bind(i64::from(id.version))
        .execute(&mut *transaction)
        .await?;
        if deleted.rows_affected() == 0 {
            return Err(Error::NotFound {
                what: WHAT,
                name: id.to_string(),
            });
        }
        let change = ChangeSubject::FeatureView(id.clone());
        changes::record(&mut transaction, &change).await?;
        Ok(transaction.commit().await?)
    }
}

fn decode(row: &Row) -> Result<FeatureView> {
    let (project, name): (&str, &str) = (row.try_get("project")?, row.try_get("name")?);
    let version: i64 = row.try_get("version")?;
    let name = format!("{project}.{name}_{version}");
    from_json::<FeatureViewBody, _>(WHAT, name, row.try_get("body")?)
}
