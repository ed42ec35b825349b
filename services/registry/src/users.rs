use twinfold_model::FeatureGroupId;

use crate::{Error, Registry, Result};

/// Names of users of a group that an error lists.
const USERS_LISTED_MAX: usize = 10;

impl Registry {
    /// [`Error::InUse`] when feature views or training datasets refer to the group.
    pub(crate) async fn require_unused(&self, id: &FeatureGroupId) -> Result<()> {
        let users = self.users(id).await?;
        if users.is_empty() {
            return Ok(());
        }
        Err(Error::InUse {
            group: id.clone(),
            users,
        })
    }

    /// What refers to the group, in words; the list is cut.
    async fn users(&self, id: &FeatureGroupId) -> Result<Vec<String>> {
        let views = self.metadata().views(None).await?;
        let datasets = self.metadata().datasets(None).await?;
        let views = views
            .iter()
            .filter(|view| view.query.groups().any(|group| group == id))
            .map(|view| format!("feature view `{}`", view.id));
        let datasets = datasets
            .iter()
            .filter(|dataset| {
                let mut pinned = dataset.pins.iter().map(|pin| &pin.group);
                pinned.any(|group| group == id) || dataset.query.groups().any(|group| group == id)
            })
            .map(|dataset| {
                let (project, name, version) = (&dataset.project, &dataset.name, dataset.version);
                format!("training dataset `{project}.{name}_{version}`")
            });
        let mut users: Vec<String> = views.chain(datasets).collect();
        if users.len() > USERS_LISTED_MAX {
            let more = users.len() - USERS_LISTED_MAX;
            users.truncate(USERS_LISTED_MAX);
            users.push(format!("{more} more"));
        }
        Ok(users)
    }
}
