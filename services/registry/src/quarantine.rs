use twinfold_client::REPLAY_CLAIMED_FOR;
use twinfold_model::{EventTime, FeatureGroupId, Position, QuarantinedRecord};
use twinfold_store_metadata::ReplayClaim;

use crate::{Error, Registry, Result};

impl Registry {
    /// Keeps records that could not be applied. Reporting one twice keeps the first report. None is kept when
    /// one is of a life of its group that is over.
    pub async fn quarantine(&self, records: &[QuarantinedRecord]) -> Result<()> {
        Ok(self.metadata().quarantine(records).await?)
    }

    /// A page of records of a group that were not replayed yet, by position, after `after`: at most `limit`,
    /// fewer when they are large, none when there are no more.
    pub async fn quarantined(
        &self,
        group: &FeatureGroupId,
        after: Option<Position>,
        limit: usize,
    ) -> Result<Vec<QuarantinedRecord>> {
        self.feature_group(group).await?;
        Ok(self.metadata().quarantined(group, after, limit).await?)
    }

    /// Lets one replay of a group go on for [`REPLAY_CLAIMED_FOR`]; the others are refused so long.
    pub async fn claim_replay(&self, group: &FeatureGroupId, replay: &str) -> Result<()> {
        let now = self.now();
        let micros = i64::try_from(REPLAY_CLAIMED_FOR.as_micros()).unwrap_or(i64::MAX);
        let claim = ReplayClaim {
            group,
            replay,
            now,
            until: EventTime::from_micros(now.micros().saturating_add(micros)),
        };
        match self.metadata().claim_replay(claim).await? {
            true => Ok(()),
            false => Err(Error::BeingReplayed {
                group: group.clone(),
            }),
        }
    }

    pub async fn end_replay(&self, group: &FeatureGroupId, replay: &str) -> Result<()> {
        Ok(self.metadata().end_replay(group, replay).await?)
    }

    pub async fn mark_replayed(
        &self,
        group: &FeatureGroupId,
        resource: &str,
        positions: &[Position],
    ) -> Result<()> {
        let now = self.now();
        let metadata = self.metadata();
        let marked = metadata.mark_replayed(group, resource, positions, now);
        Ok(marked.await?)
    }
}
