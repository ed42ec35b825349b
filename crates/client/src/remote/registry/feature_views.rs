use async_trait::async_trait;
use twinfold_model::{FeatureView, FeatureViewId, ProjectName};
use twinfold_wire::rest::FeatureViewBody;

use super::{RemoteRegistry, path};
use crate::{FeatureViews, Result};

#[async_trait]
impl FeatureViews for RemoteRegistry {
    async fn create_feature_view(&self, view: &FeatureView) -> Result<FeatureView> {
        let body = FeatureViewBody::from(view);
        let stored: FeatureViewBody = self.registry.create(path::FEATURE_VIEWS, &body).await?;
        Ok(stored.try_into()?)
    }

    async fn feature_view(&self, id: &FeatureViewId) -> Result<FeatureView> {
        let body: FeatureViewBody = self.registry.get(&path::view(id)).await?;
        Ok(body.try_into()?)
    }

    async fn newest_feature_view(&self, project: &ProjectName, name: &str) -> Result<FeatureView> {
        let path = path::named_in(project, path::FEATURE_VIEWS, "feature view", name)?;
        let body: FeatureViewBody = self.registry.get(&path).await?;
        Ok(body.try_into()?)
    }

    async fn feature_views(&self, project: &ProjectName) -> Result<Vec<FeatureView>> {
        let filter = [("project", project.as_str())];
        let bodies: Vec<FeatureViewBody> = self.registry.list(path::FEATURE_VIEWS, &filter).await?;
        let views = bodies.into_iter().map(FeatureView::try_from);
        Ok(views.collect::<Result<_, _>>()?)
    }

    async fn delete_feature_view(&self, id: &FeatureViewId) -> Result<()> {
        self.registry.delete(&path::view(id)).await
    }
}
