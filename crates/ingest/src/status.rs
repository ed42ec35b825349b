use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;
use twinfold_model::{FeatureGroupId, Positions};

/// How far one loop has come.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Status {
    /// Per partition, the first offset whose row is not yet readable in the sink.
    pub positions: Positions,
    /// The failure that is being retried, if there is one.
    pub failing: Option<String>,
}

/// The status of every loop of one materializer, by feature group. Clones share the same map.
#[derive(Debug, Clone, Default)]
pub struct Statuses {
    by_group: Arc<Mutex<HashMap<FeatureGroupId, watch::Sender<Status>>>>,
}

impl Statuses {
    pub fn new() -> Self {
        Self::default()
    }

    /// Follows one group. Works before its loop has started.
    pub fn watch(&self, group: &FeatureGroupId) -> watch::Receiver<Status> {
        self.sender(group).subscribe()
    }

    pub(crate) fn sender(&self, group: &FeatureGroupId) -> watch::Sender<Status> {
        let mut by_group = self.by_group.lock().unwrap_or_else(PoisonError::into_inner);
        by_group.entry(group.clone()).or_default().clone()
    }

    pub(crate) fn forget(&self, group: &FeatureGroupId) {
        let mut by_group = self.by_group.lock().unwrap_or_else(PoisonError::into_inner);
        by_group.remove(group);
    }
}
