use std::sync::Arc;

use async_trait::async_trait;
use twinfold_client::{Catalog, Deletion, Expected, GroupDefinition, Result};
use twinfold_model::{
    Feature, FeatureGroup, FeatureGroupId, FeatureView, FeatureViewId, GroupDescription,
};

use super::StorePlatform;

#[async_trait]
impl Catalog for StorePlatform {
    fn project(&self) -> &str {
        self.parts.project.as_str()
    }

    fn partitions_default(&self) -> u32 {
        self.parts.partitions_default
    }

    async fn create_feature_group(&self, group: FeatureGroup) -> Result<Arc<GroupDefinition>> {
        self.check_open()?;
        let wait = self.parts.reconcile_timeout;
        self.control_plane()
            .create_feature_group(&group, wait)
            .await
    }

    async fn feature_group(
        &self,
        name: &str,
        version: Option<u32>,
    ) -> Result<Arc<GroupDefinition>> {
        self.check_open()?;
        let project = &self.parts.project;
        match version {
            None => {
                self.control_plane()
                    .newest_feature_group(project, name)
                    .await
            }
            Some(version) => {
                // Not as it is remembered here: it may have been changed through another api.
                let id = FeatureGroupId::new(project.as_str(), name, version)?;
                self.control_plane().feature_group(&id).await
            }
        }
    }

    async fn feature_groups(&self) -> Result<Vec<Arc<GroupDefinition>>> {
        self.check_open()?;
        let mut groups = self.control_plane().groups().await?;
        groups.retain(|definition| definition.group.id().project == self.parts.project);
        Ok(groups)
    }

    async fn append_features(
        &self,
        id: &FeatureGroupId,
        features: Vec<Feature>,
        expected: &Expected,
    ) -> Result<Arc<GroupDefinition>> {
        self.check_open()?;
        let wait = self.parts.reconcile_timeout;
        self.control_plane()
            .append_features(id, features, expected, wait)
            .await
    }

    async fn describe_feature_group(
        &self,
        id: &FeatureGroupId,
        description: &GroupDescription,
        expected: &Expected,
    ) -> Result<Arc<GroupDefinition>> {
        self.check_open()?;
        self.control_plane()
            .describe_feature_group(id, description, expected)
            .await
    }

    async fn delete_feature_group(
        &self,
        id: &FeatureGroupId,
        deletion: Deletion,
        expected: &Expected,
    ) -> Result<()> {
        self.check_open()?;
        let wait = self.parts.reconcile_timeout;
        self.control_plane()
            .delete_feature_group(id, deletion, expected, wait)
            .await
    }

    async fn create_feature_view(&self, view: FeatureView) -> Result<()> {
        self.check_open()?;
        let created = self.control_plane().create_feature_view(&view);
        created.await.map(drop)
    }

    async fn feature_view(&self, name: &str, version: Option<u32>) -> Result<FeatureView> {
        self.check_open()?;
        let project = &self.parts.project;
        match version {
            None => {
                self.control_plane()
                    .newest_feature_view(project, name)
                    .await
            }
            Some(version) => {
                let id = FeatureViewId::new(project.as_str(), name, version)?;
                self.control_plane().feature_view(&id).await
            }
        }
    }

    async fn feature_views(&self) -> Result<Vec<FeatureView>> {
        self.check_open()?;
        self.control_plane()
            .feature_views(&self.parts.project)
            .await
    }

    async fn delete_feature_view(&self, id: &FeatureViewId) -> Result<()> {
        self.check_open()?;
        self.control_plane().delete_feature_view(id).await
    }
}
