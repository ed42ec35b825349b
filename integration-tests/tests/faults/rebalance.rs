//! Consumers that come and go.

use std::time::Duration;

use twinfold_integration_tests::lasting;
use twinfold_store_topic::{Event, FetchLimits, Subscription};

use crate::stage::{RECOVERY_MAX, Stage};

const CHANGES: u32 = 16;
const PAUSE: Duration = Duration::from_secs(1);
/// Nothing is read of what comes.
const LIMITS: FetchLimits = FetchLimits {
    bytes_max: 1,
    wait_max: RECOVERY_MAX,
};

/// Another member joins both consumer groups, holds what it is given without reading it, and leaves.
pub async fn a_rebalance_each_second(stage: &mut Stage) {
    for _ in 0..CHANGES / 2 {
        let members = join(stage).await;
        lasting(PAUSE).await;
        drop(members);
        lasting(PAUSE).await;
    }
    // A second may be too short for a partition to come. It comes to who stays.
    for mut member in join(stage).await {
        let given = tokio::time::timeout(RECOVERY_MAX, given(&mut *member));
        given.await.expect("a partition moves");
    }
}

async fn join(stage: &Stage) -> Vec<Box<dyn Subscription>> {
    let mut members = Vec::new();
    for consumer in ["onlinefs", "offlinefs"] {
        let member = stage.client.topics.subscribe(&stage.topic, consumer).await;
        members.push(member.expect("it joins"));
    }
    members
}

/// Returns when a member has a partition.
async fn given(member: &mut dyn Subscription) {
    loop {
        let event = member.next(LIMITS).await.expect("it is a member");
        if matches!(event, Event::Assigned(partitions) if !partitions.is_empty()) {
            return;
        }
    }
}
