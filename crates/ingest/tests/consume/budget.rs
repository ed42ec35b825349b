use twinfold_ingest::Budget;
use twinfold_testkit::eventually;

use crate::world::{DEADLINE, World};

const HOT: usize = 0;
const TRICKLE: usize = 1;
const BACKLOG: usize = 40;
const ROWS: usize = 50;

/// Every fetch takes the whole of so small a budget: only one group at a time has rows in hand.
const BYTES: usize = 1;

#[tokio::test]
async fn a_row_waits_for_one_batch_of_a_group_with_a_backlog() {
    let world = World::new(&["hot", "trickle"], Budget::new(BYTES)).await;
    world.append(HOT, BACKLOG, ROWS).await;
    let hot = world.start(HOT, 0);
    hot.is_waited_for().await;

    world.append(TRICKLE, 1, 1).await;
    let trickle = world.start(TRICKLE, usize::MAX >> 4);
    world.is_fetched(TRICKLE).await;
    assert_eq!(trickle.rows(), 0, "nothing is left of the budget");

    hot.allow(1);
    eventually(DEADLINE, || async { trickle.rows() == 1 }).await;
    assert_eq!(hot.batches(), 1);

    hot.allow(BACKLOG);
    eventually(DEADLINE, || async { hot.rows() == BACKLOG * ROWS }).await;
    world.stop().await;
}

#[tokio::test]
async fn a_sink_that_hangs_holds_its_share_and_no_more() {
    let world = World::new(&["hot", "trickle"], Budget::new(1 << 20)).await;
    world.append(HOT, BACKLOG, ROWS).await;
    let hot = world.start(HOT, 0);
    hot.is_waited_for().await;

    let trickle = world.start(TRICKLE, usize::MAX >> 4);
    world.append(TRICKLE, 3, 1).await;
    eventually(DEADLINE, || async { trickle.rows() == 3 }).await;
    assert_eq!(hot.rows(), 0);

    hot.allow(BACKLOG);
    eventually(DEADLINE, || async { hot.rows() == BACKLOG * ROWS }).await;
    world.stop().await;
}
