use std::sync::Arc;

use async_trait::async_trait;
use reqwest::Method;
use serde::de::DeserializeOwned;
use twinfold_model::{
    Feature, FeatureGroup, FeatureGroupId, FeatureView, FeatureViewId, GroupDescription,
};
use twinfold_wire::rest::{
    FeatureBody, FeatureGroupBody, FeatureViewBody, GroupDefinitionBody, GroupDescriptionBody,
};

use super::{RemotePlatform, path};
use crate::remote::preconditions::tied;
use crate::{Catalog, Deletion, Expected, GroupDefinition, Result};

#[async_trait]
impl Catalog for RemotePlatform {
    fn project(&self) -> &str {
        &self.project
    }

    fn partitions_default(&self) -> u32 {
        self.partitions_default
    }

    async fn create_feature_group(&self, group: FeatureGroup) -> Result<Arc<GroupDefinition>> {
        let body = FeatureGroupBody::from(&group);
        let service = self.service()?;
        definition(service.post_for(path::FEATURE_GROUPS, &body).await?)
    }

    async fn feature_group(
        &self,
        name: &str,
        version: Option<u32>,
    ) -> Result<Arc<GroupDefinition>> {
        let path = path::named(path::FEATURE_GROUPS, "feature group", name)?;
        definition(self.versioned(&path, version).await?)
    }

    async fn feature_groups(&self) -> Result<Vec<Arc<GroupDefinition>>> {
        let service = self.service()?;
        let bodies: Vec<GroupDefinitionBody> = service.get(path::FEATURE_GROUPS).await?;
        bodies.into_iter().map(definition).collect()
    }

    async fn append_features(
        &self,
        id: &FeatureGroupId,
        features: Vec<Feature>,
        expected: &Expected,
    ) -> Result<Arc<GroupDefinition>> {
        let bodies: Vec<_> = features.iter().map(FeatureBody::from).collect();
        let service = self.service()?;
        let request = service.request(Method::POST, &path::group(id, "features"));
        let request = tied(request, expected).json(&bodies);
        definition(service.read(request).await?)
    }

    async fn describe_feature_group(
        &self,
        id: &FeatureGroupId,
        description: &GroupDescription,
        expected: &Expected,
    ) -> Result<Arc<GroupDefinition>> {
        let body = GroupDescriptionBody::from(description);
        let service = self.service()?;
        let request = service.request(Method::PATCH, &path::group(id, ""));
        let request = tied(request, expected).json(&body);
        definition(service.read(request).await?)
    }

    async fn delete_feature_group(
        &self,
        id: &FeatureGroupId,
        deletion: Deletion,
        expected: &Expected,
    ) -> Result<()> {
        let path = path::group_deletion(id, deletion);
        let service = self.service()?;
        let request = tied(service.request(Method::DELETE, &path), expected);
        service.answer(request).await.map(drop)
    }

    async fn create_feature_view(&self, view: FeatureView) -> Result<()> {
        let body = FeatureViewBody::from(&view);
        self.service()?.post(path::FEATURE_VIEWS, &body).await
    }

    async fn feature_view(&self, name: &str, version: Option<u32>) -> Result<FeatureView> {
        let path = path::named(path::FEATURE_VIEWS, "feature view", name)?;
        let body: FeatureViewBody = self.versioned(&path, version).await?;
        Ok(body.try_into()?)
    }

    async fn feature_views(&self) -> Result<Vec<FeatureView>> {
        let bodies: Vec<FeatureViewBody> = self.service()?.get(path::FEATURE_VIEWS).await?;
        let views = bodies.into_iter().map(FeatureView::try_from);
        Ok(views.collect::<Result<_, _>>()?)
    }

    async fn delete_feature_view(&self, id: &FeatureViewId) -> Result<()> {
        self.service()?.delete(&path::view(id)).await
    }
}

impl RemotePlatform {
    /// A named resource; its newest version when `None`.
    pub(super) async fn versioned<T: DeserializeOwned>(
        &self,
        path: &str,
        version: Option<u32>,
    ) -> Result<T> {
        let service = self.service()?;
        let request = service.request(Method::GET, path);
        let request = match version {
            None => request,
            Some(version) => request.query(&[("version", version)]),
        };
        service.read(request).await
    }
}

fn definition(body: GroupDefinitionBody) -> Result<Arc<GroupDefinition>> {
    Ok(Arc::new(body.try_into()?))
}
