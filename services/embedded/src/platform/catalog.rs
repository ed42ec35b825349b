use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use twinfold_client::{Catalog, GroupDefinition, Result};
use twinfold_model::{Feature, FeatureGroup, FeatureGroupId, FeatureView, FeatureViewId};

use super::EmbeddedPlatform;
use crate::failure::registry_failed;
use twinfold_registry::Deletion;

#[async_trait]
impl Catalog for EmbeddedPlatform {
    fn project(&self) -> &str {
        self.project.as_str()
    }

    fn partitions_default(&self) -> u32 {
        self.config.topic.partitions
    }

    async fn create_feature_group(&self, group: FeatureGroup) -> Result<Arc<GroupDefinition>> {
        self.check_open()?;
        let id = group.id().clone();
        self.registry
            .create_feature_group(group)
            .await
            .map_err(registry_failed)?;
        self.active(&id).await
    }

    async fn feature_group(
        &self,
        name: &str,
        version: Option<u32>,
    ) -> Result<Arc<GroupDefinition>> {
        self.check_open()?;
        let Some(version) = version else {
            let newest = self
                .registry
                .newest_feature_group(&self.project, name)
                .await;
            return self
                .definition(newest.map_err(registry_failed)?.group.id())
                .await;
        };
        let id = FeatureGroupId::new(self.project.as_str(), name, version)?;
        self.definition(&id).await
    }

    async fn feature_groups(&self) -> Result<Vec<Arc<GroupDefinition>>> {
        self.check_open()?;
        self.definitions.groups().await
    }

    async fn append_features(
        &self,
        id: &FeatureGroupId,
        features: Vec<Feature>,
    ) -> Result<Arc<GroupDefinition>> {
        self.check_open()?;
        self.registry
            .append_features(id, features)
            .await
            .map_err(registry_failed)?;
        self.active(id).await
    }

    async fn delete_feature_group(&self, id: &FeatureGroupId) -> Result<()> {
        self.check_open()?;
        self.registry
            .delete_feature_group(id, Deletion::RefuseIfUsed)
            .await
            .map_err(registry_failed)?;
        let gone = self
            .registry
            .wait_removed(id, self.reconcile_timeout())
            .await;
        gone.map_err(registry_failed)
    }

    async fn create_feature_view(&self, view: FeatureView) -> Result<()> {
        self.check_open()?;
        self.registry
            .create_feature_view(view)
            .await
            .map(drop)
            .map_err(registry_failed)
    }

    async fn feature_view(&self, name: &str, version: Option<u32>) -> Result<FeatureView> {
        self.check_open()?;
        let view = match version {
            None => self.registry.newest_feature_view(&self.project, name).await,
            Some(version) => {
                let id = FeatureViewId::new(self.project.as_str(), name, version)?;
                self.registry.feature_view(&id).await
            }
        };
        view.map_err(registry_failed)
    }

    async fn feature_views(&self) -> Result<Vec<FeatureView>> {
        self.check_open()?;
        self.registry
            .feature_views(Some(&self.project))
            .await
            .map_err(registry_failed)
    }

    async fn delete_feature_view(&self, id: &FeatureViewId) -> Result<()> {
        self.check_open()?;
        self.registry
            .delete_feature_view(id)
            .await
            .map_err(registry_failed)
    }
}

impl EmbeddedPlatform {
    async fn active(&self, id: &FeatureGroupId) -> Result<Arc<GroupDefinition>> {
        let active = self
            .registry
            .wait_active(id, self.reconcile_timeout())
            .await;
        active.map_err(registry_failed)?;
        self.definition(id).await
    }

    fn reconcile_timeout(&self) -> Duration {
        Duration::from_millis(self.config.platform.reconcile_timeout_ms_max)
    }
}
