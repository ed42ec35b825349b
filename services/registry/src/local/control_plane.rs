//! The rest of the control plane: what is asked seldom is not remembered.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use twinfold_client::{
    DatasetReservation, Deletion, Expected, FeatureGroups, FeatureViews, GroupDefinition,
    Quarantine, Result, TrainingDatasets, WriterSchema,
};
use twinfold_model::{
    DatasetSpec, DatasetStatistics, Feature, FeatureGroup, FeatureGroupId, FeatureView,
    FeatureViewId, GroupDescription, Position, ProjectName, QuarantinedRecord, Query,
    TrainingDataset,
};

use super::{LocalRegistry, writer_schema};
use crate::definition;

#[async_trait]
impl FeatureGroups for LocalRegistry {
    async fn create_feature_group(
        &self,
        group: &FeatureGroup,
        wait: Duration,
    ) -> Result<Arc<GroupDefinition>> {
        self.registry.create_feature_group(group.clone()).await?;
        self.active(group.id(), wait).await
    }

    async fn feature_group(&self, id: &FeatureGroupId) -> Result<Arc<GroupDefinition>> {
        let found = definition(self.registry.feature_group(id).await?);
        self.known.compare(id, Some(&found));
        Ok(Arc::new(found))
    }

    async fn newest_feature_group(
        &self,
        project: &ProjectName,
        name: &str,
    ) -> Result<Arc<GroupDefinition>> {
        let newest = self.registry.newest_feature_group(project, name).await?;
        Ok(Arc::new(definition(newest)))
    }

    async fn append_features(
        &self,
        id: &FeatureGroupId,
        features: Vec<Feature>,
        expected: &Expected,
        wait: Duration,
    ) -> Result<Arc<GroupDefinition>> {
        let appended = self.registry.append_features(id, features, expected);
        appended.await?;
        self.active(id, wait).await
    }

    async fn describe_feature_group(
        &self,
        id: &FeatureGroupId,
        description: &GroupDescription,
        expected: &Expected,
    ) -> Result<Arc<GroupDefinition>> {
        let registry = &self.registry;
        let described = registry.describe_feature_group(id, description, expected);
        Ok(Arc::new(definition(described.await?)))
    }

    async fn delete_feature_group(
        &self,
        id: &FeatureGroupId,
        deletion: Deletion,
        expected: &Expected,
        wait: Duration,
    ) -> Result<()> {
        let deleted = self.registry.delete_feature_group(id, deletion, expected);
        deleted.await?;
        Ok(self.registry.wait_removed(id, wait).await?)
    }

    async fn schemas(&self, id: &FeatureGroupId) -> Result<Vec<WriterSchema>> {
        let records = self.registry.schemas(id).await?;
        Ok(records.into_iter().map(writer_schema).collect())
    }
}

impl LocalRegistry {
    async fn active(&self, id: &FeatureGroupId, wait: Duration) -> Result<Arc<GroupDefinition>> {
        let record = self.registry.wait_active(id, wait).await?;
        Ok(Arc::new(definition(record)))
    }
}

#[async_trait]
impl FeatureViews for LocalRegistry {
    async fn create_feature_view(&self, view: &FeatureView) -> Result<FeatureView> {
        Ok(self.registry.create_feature_view(view.clone()).await?)
    }

    async fn feature_view(&self, id: &FeatureViewId) -> Result<FeatureView> {
        Ok(self.registry.feature_view(id).await?)
    }

    async fn newest_feature_view(&self, project: &ProjectName, name: &str) -> Result<FeatureView> {
        Ok(self.registry.newest_feature_view(project, name).await?)
    }

    async fn feature_views(&self, project: &ProjectName) -> Result<Vec<FeatureView>> {
        Ok(self.registry.feature_views(Some(project)).await?)
    }

    async fn delete_feature_view(&self, id: &FeatureViewId) -> Result<()> {
        Ok(self.registry.delete_feature_view(id).await?)
    }
}

#[async_trait]
impl TrainingDatasets for LocalRegistry {
    async fn resolve_dataset(&self, spec: DatasetSpec) -> Result<(DatasetSpec, Query)> {
        Ok(self.registry.resolve_dataset(spec).await?)
    }

    async fn reserve_training_dataset(
        &self,
        project: &ProjectName,
        name: &str,
        version: Option<u32>,
    ) -> Result<u32> {
        let reserved = self
            .registry
            .reserve_training_dataset(project, name, version);
        Ok(reserved.await?)
    }

    async fn renew_training_dataset(
        &self,
        project: &ProjectName,
        name: &str,
        version: u32,
    ) -> Result<()> {
        let renewed = self.registry.renew_training_dataset(project, name, version);
        Ok(renewed.await?)
    }

    async fn put_training_dataset(
        &self,
        dataset: &TrainingDataset,
        statistics: &DatasetStatistics,
    ) -> Result<()> {
        let stored = self
            .registry
            .put_training_dataset(dataset, Some(statistics));
        Ok(stored.await?)
    }

    async fn training_dataset(
        &self,
        project: &ProjectName,
        name: &str,
        version: Option<u32>,
    ) -> Result<TrainingDataset> {
        let dataset = self.registry.training_dataset(project, name, version);
        Ok(dataset.await?)
    }

    async fn training_dataset_statistics(
        &self,
        project: &ProjectName,
        name: &str,
        version: u32,
    ) -> Result<Option<DatasetStatistics>> {
        let statistics = self
            .registry
            .training_dataset_statistics(project, name, version);
        Ok(statistics.await?)
    }

    async fn training_datasets(&self, project: &ProjectName) -> Result<Vec<TrainingDataset>> {
        Ok(self.registry.training_datasets(Some(project)).await?)
    }

    async fn reserved_training_datasets(
        &self,
        project: &ProjectName,
    ) -> Result<Vec<DatasetReservation>> {
        Ok(self.registry.reserved_training_datasets(project).await?)
    }

    async fn delete_training_dataset(
        &self,
        project: &ProjectName,
        name: &str,
        version: u32,
    ) -> Result<()> {
        let deleted = self
            .registry
            .delete_training_dataset(project, name, version);
        Ok(deleted.await?)
    }
}

#[async_trait]
impl Quarantine for LocalRegistry {
    async fn quarantined(
        &self,
        group: &FeatureGroupId,
        after: Option<Position>,
        limit: usize,
    ) -> Result<Vec<QuarantinedRecord>> {
        Ok(self.registry.quarantined(group, after, limit).await?)
    }

    async fn claim_replay(&self, group: &FeatureGroupId, replay: &str) -> Result<()> {
        Ok(self.registry.claim_replay(group, replay).await?)
    }

    async fn end_replay(&self, group: &FeatureGroupId, replay: &str) -> Result<()> {
        Ok(self.registry.end_replay(group, replay).await?)
    }

    async fn mark_replayed(
        &self,
        group: &FeatureGroupId,
        resource: &str,
        positions: &[Position],
    ) -> Result<()> {
        let marked = self.registry.mark_replayed(group, resource, positions);
        Ok(marked.await?)
    }
}
