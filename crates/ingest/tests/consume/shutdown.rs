//! A consumer that is told to stop waits for nobody, and tells of nothing that it has not written.

use std::sync::Arc;

use bytes::Bytes;
use twinfold_ingest::{Budget, SinkFactory};
use twinfold_model::{Offset, PartitionId, Positions};
use twinfold_store_topic::Event;

use crate::restart::{Sinks, until};
use crate::script::Script;
use crate::world::World;

fn at(next: u64) -> Positions {
    Positions::from_iter([(PartitionId(0), Offset(next))])
}

async fn world() -> World {
    World::new(&["group"], Budget::new(1 << 20)).await
}

#[tokio::test]
async fn rows_that_cannot_be_judged_are_left() {
    let world = world().await;
    let gate = world.start(0, usize::MAX >> 4);
    world.silence_the_registry();
    world.append(0, 1, 3).await;
    world.is_fetched(0).await;
    world.stop().await;
    assert_eq!(gate.rows(), 0);
    assert!(!world.progress(0).await.covers(&at(1)));
}

#[tokio::test]
async fn bad_records_that_nobody_keeps_are_left() {
    let world = world().await;
    let sinks = Arc::new(Sinks::new());
    let statuses = world.supervise(sinks as Arc<dyn SinkFactory>);
    let mut status = statuses.watch(&world.id(0));
    until(&mut status, |status| status.positions == at(0)).await;
    world.silence_the_registry();
    let cut_short = Bytes::from_static(b"\0");
    world.append_values(0, vec![cut_short]).await;
    world.is_reported().await;
    world.stop().await;
    assert!(!world.progress(0).await.covers(&at(1)));
}

#[tokio::test]
async fn partitions_whose_progress_nobody_tells_are_left() {
    let world = world().await;
    let script = Script::without_progress();
    world.start_over(script.clone(), 0, 0);
    script.bring(Event::Assigned(vec![PartitionId(0)])).await;
    script.has_taken(1).await;
    world.stop().await;
    assert!(script.commits().is_empty());
}
