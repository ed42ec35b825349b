use std::collections::BTreeSet;

use twinfold_model::{FeatureGroupId, FeatureView, FeatureViewId, ProjectName, Query};
use twinfold_wire::rest::FeatureViewBody;

use crate::query_check::{Groups, check_query, check_view};
use crate::{Error, Registry, Result, suggestion};

impl Registry {
    /// Checks the view against its groups and stores it, with its defaults and literals brought to the
    /// types of their columns.
    pub async fn create_feature_view(&self, view: FeatureView) -> Result<FeatureView> {
        let groups = self.groups_of(&view.query).await?;
        // Through its stored form, so that what cannot be read back is not stored.
        let view = check_view(view, &groups)?;
        let view = FeatureView::try_from(FeatureViewBody::from(&view))?;
        if let Err(error) = self.metadata().create_view(&view, self.now()).await {
            // When a group went meanwhile, this says which.
            self.groups_of(&view.query).await?;
            return Err(error.into());
        }
        self.announce().await;
        Ok(view)
    }

    /// The view, or [`Error::NotFound`] with what there is instead.
    pub async fn feature_view(&self, id: &FeatureViewId) -> Result<FeatureView> {
        match self.metadata().view(id).await? {
            Some(view) => Ok(view),
            None => Err(self
                .unknown_view(&id.project, id.name.as_str(), Some(id.version))
                .await?),
        }
    }

    pub async fn newest_feature_view(
        &self,
        project: &ProjectName,
        name: &str,
    ) -> Result<FeatureView> {
        let views = self.feature_views(Some(project)).await?;
        let newest = views
            .into_iter()
            .filter(|view| view.id.name.as_str() == name)
            .max_by_key(|view| view.id.version);
        match newest {
            Some(view) => Ok(view),
            None => Err(self.unknown_view(project, name, None).await?),
        }
    }

    /// Every view of the project, or of all projects, ordered by id.
    pub async fn feature_views(&self, project: Option<&ProjectName>) -> Result<Vec<FeatureView>> {
        Ok(self.metadata().views(project).await?)
    }

    /// Training datasets made from the view stay: they keep its query.
    pub async fn delete_feature_view(&self, id: &FeatureViewId) -> Result<()> {
        self.feature_view(id).await?;
        self.metadata().remove_view(id).await?;
        self.announce().await;
        Ok(())
    }

    /// Checks a query against its groups: features exist, joins are on whole keys of equal types, the
    /// filter names columns of the result. Returns it with the literals of the filter brought to the
    /// types of their columns.
    pub async fn check_query(&self, query: Query) -> Result<Query> {
        let groups = self.groups_of(&query).await?;
        Ok(check_query(query, &groups)?)
    }

    async fn groups_of(&self, query: &Query) -> Result<Groups> {
        let ids: BTreeSet<&FeatureGroupId> = query.groups().collect();
        let mut groups = Groups::new();
        for id in ids {
            groups.insert(id.clone(), self.changeable(id).await?.group);
        }
        Ok(groups)
    }

    async fn unknown_view(
        &self,
        project: &ProjectName,
        name: &str,
        version: Option<u32>,
    ) -> Result<Error> {
        let views = self.feature_views(Some(project)).await?;
        let known = views
            .iter()
            .map(|view| (view.id.name.as_str(), view.id.version));
        let what = "feature view";
        Ok(suggestion::not_found(what, project, name, version, known))
    }
}
