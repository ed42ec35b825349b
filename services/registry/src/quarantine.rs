use twinfold_model::{FeatureGroupId, Position, QuarantinedRecord};

use crate::{Registry, Result};

impl Registry {
    /// Keeps records that could not be applied. Reporting one twice keeps the first report.
    pub async fn quarantine(&self, records: &[QuarantinedRecord]) -> Result<()> {
        Ok(self.metadata().quarantine(records).await?)
    }

    /// Records of a group that were not replayed yet, by position, after `after`, at most `limit`.
    pub async fn quarantined(
        &self,
        group: &FeatureGroupId,
        after: Option<Position>,
        limit: usize,
    ) -> Result<Vec<QuarantinedRecord>> {
        self.feature_group(group).await?;
        Ok(self.metadata().quarantined(group, after, limit).await?)
    }

    /// How many records of a group were not replayed yet.
    pub async fn quarantine_count(&self, group: &FeatureGroupId) -> Result<u64> {
        Ok(self.metadata().quarantine_count(group).await?)
    }

    pub async fn mark_replayed(
        &self,
        group: &FeatureGroupId,
        positions: &[Position],
    ) -> Result<()> {
        let now = self.now();
        Ok(self.metadata().mark_replayed(group, positions, now).await?)
    }
}
