use async_trait::async_trait;
use twinfold_model::ProjectName;

use super::Store;
use crate::{Error, Projects, Result};

const WHAT: &str = "project";

/// Created as such, or named by something that is defined.
const PROJECTS: &str = "SELECT name FROM projects UNION SELECT project FROM feature_groups
     UNION SELECT project FROM feature_views
     UNION SELECT project FROM training_datasets WHERE state <> 'removed' ORDER BY 1";

#[async_trait]
impl Projects for Store {
    async fn create_project(&self, project: &ProjectName) -> Result<()> {
        let mut transaction = self.write().await?;
        let known: Vec<String> = sqlx::query_scalar(PROJECTS)
            .fetch_all(&mut *transaction)
            .await?;
        if known.iter().any(|name| name == project.as_str()) {
            return Err(Error::AlreadyExists {
                what: WHAT,
                name: project.to_string(),
            });
        }
        sqlx::query("INSERT INTO projects (name) VALUES ($1)")
            .bind(project.as_str())
            .execute(&mut *transaction)
            .await?;
        Ok(transaction.commit().await?)
    }

    async fn projects(&self) -> Result<Vec<ProjectName>> {
        let names: Vec<String> = sqlx::query_scalar(PROJECTS)
            .fetch_all(&mut *self.read().await?)
            .await?;
        let projects = names.into_iter().map(|name| {
            ProjectName::new(name.as_str()).map_err(|error| Error::Corrupt {
                what: WHAT,
                name,
                reason: error.to_string(),
            })
        });
        projects.collect()
    }
}
