use std::sync::Arc;

use async_trait::async_trait;
use tempfile::TempDir;
use twinfold_store_topic::conformance::Harness;
use twinfold_store_topic::{EmbeddedOptions, EmbeddedTopics, Result, SyncPolicy, TopicStore};

struct Embedded {
    folder: TempDir,
    options: EmbeddedOptions,
}

impl Embedded {
    fn new(sync: SyncPolicy, segment_bytes_max: u64) -> Self {
        Self {
            folder: tempfile::tempdir().expect("a temporary folder"),
            options: EmbeddedOptions {
                sync,
                segment_bytes_max,
            },
        }
    }
}

#[async_trait]
impl Harness for Embedded {
    async fn open(&self) -> Result<Arc<dyn TopicStore>> {
        let store = EmbeddedTopics::open_with(self.folder.path(), self.options).await?;
        Ok(Arc::new(store))
    }

    fn keeps_appends_together(&self) -> bool {
        true
    }
}

mod as_configured_by_default {
    use super::*;
    twinfold_store_topic::topic_store_conformance!(Embedded::new(SyncPolicy::OnSync, 256 << 20));
}

/// Every few appends a new segment.
mod with_small_segments {
    use super::*;
    twinfold_store_topic::topic_store_conformance!(Embedded::new(SyncPolicy::OnSync, 4_000));
}

mod with_a_sync_for_every_append {
    use super::*;
    twinfold_store_topic::topic_store_conformance!(Embedded::new(SyncPolicy::EveryAppend, 50_000));
}

mod without_syncs {
    use super::*;
    twinfold_store_topic::topic_store_conformance!(Embedded::new(SyncPolicy::Never, 50_000));
}
