//! Consumers that come and go.

use std::time::Duration;

use twinfold_integration_tests::lasting;

use crate::stage::Stage;

const CHANGES: u32 = 16;
const PAUSE: Duration = Duration::from_secs(1);

/// Another member joins both consumer groups, holds what it is given without reading it, and leaves.
pub async fn a_rebalance_each_second(stage: &mut Stage) {
    let topics = stage.client.topics.as_ref();
    for _ in 0..CHANGES / 2 {
        let mut members = Vec::new();
        for consumer in ["onlinefs", "offlinefs"] {
            let member = topics.subscribe(&stage.topic, consumer).await;
            members.push(member.expect("it joins"));
        }
        lasting(PAUSE).await;
        drop(members);
        lasting(PAUSE).await;
    }
}
