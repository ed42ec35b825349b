use twinfold_model::ProjectName;

use crate::{Error, Registry, Result, suggestion};

impl Registry {
    /// Makes a project known before anything is defined in it.
    pub async fn create_project(&self, project: &ProjectName) -> Result<()> {
        Ok(self.metadata().create_project(project).await?)
    }

    /// Every project that was created or that something is defined in, in order.
    pub async fn projects(&self) -> Result<Vec<ProjectName>> {
        Ok(self.metadata().projects().await?)
    }

    /// The project, or [`Error::NotFound`] with what there is instead.
    pub async fn project(&self, name: &str) -> Result<ProjectName> {
        let mut projects = self.projects().await?;
        if let Some(place) = projects.iter().position(|known| known.as_str() == name) {
            return Ok(projects.swap_remove(place));
        }
        let known = projects.iter().map(ToString::to_string);
        Err(Error::NotFound {
            what: "project",
            name: name.to_owned(),
            hint: suggestion::names(name, known, "the registry"),
        })
    }
}
