use std::time::Duration;

use twinfold_model::{FeatureGroupId, ResourceState};
use twinfold_store_metadata::GroupRecord;

use crate::feature_groups::being_deleted;
use crate::{Error, Registry, Result};

impl Registry {
    /// Returns when the group is `Active`. A failed attempt is no end, because it is tried again; the
    /// timeout's error tells its reason.
    pub async fn wait_active(&self, id: &FeatureGroupId, timeout: Duration) -> Result<GroupRecord> {
        let mut feed = self.newest_change();
        let waiting = async {
            loop {
                feed.borrow_and_update();
                let record = self.feature_group(id).await?;
                match record.state {
                    ResourceState::Active => return Ok(record),
                    ResourceState::Deleting => return Err(being_deleted(id)),
                    ResourceState::Creating | ResourceState::Failed { .. } => {}
                }
                feed.changed().await.expect("self holds the sender");
            }
        };
        match tokio::time::timeout(timeout, waiting).await {
            Ok(answer) => answer,
            Err(_) => Err(self.not_ready(id, "active", timeout).await?),
        }
    }

    /// Returns when nothing of the group is left.
    pub async fn wait_removed(&self, id: &FeatureGroupId, timeout: Duration) -> Result<()> {
        let mut feed = self.newest_change();
        let waiting = async {
            loop {
                feed.borrow_and_update();
                if self.find_group(id).await?.is_none() {
                    return Ok::<(), Error>(());
                }
                feed.changed().await.expect("self holds the sender");
            }
        };
        match tokio::time::timeout(timeout, waiting).await {
            Ok(answer) => answer,
            Err(_) => Err(self.not_ready(id, "removed", timeout).await?),
        }
    }

    async fn not_ready(
        &self,
        group: &FeatureGroupId,
        wanted: &'static str,
        waited: Duration,
    ) -> Result<Error> {
        let state = self.find_group(group).await?.map(|record| record.state);
        let reason = match (self.last_failure(group), state) {
            (Some(reason), _) | (None, Some(ResourceState::Failed { reason })) => reason,
            (None, Some(ResourceState::Creating)) => "it is being created".to_owned(),
            (None, Some(ResourceState::Deleting)) => "it is being deleted".to_owned(),
            (None, Some(ResourceState::Active)) => "it is active".to_owned(),
            (None, None) => "it does not exist".to_owned(),
        };
        Ok(Error::NotReady {
            group: group.clone(),
            wanted,
            waited,
            reason,
        })
    }
}
