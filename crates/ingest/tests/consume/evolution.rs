use twinfold_ingest::Budget;
use twinfold_testkit::eventually;

use crate::world::{DEADLINE, World};

#[tokio::test]
async fn a_group_that_evolved_is_noticed_though_its_writers_go_on_as_before() {
    let world = World::new(&["group"], Budget::new(1 << 20)).await;
    let gate = world.start(0, usize::MAX >> 4);
    world.append(0, 1, 3).await;
    eventually(DEADLINE, || async { gate.rows() == 3 }).await;
    gate.is_defined_with(2).await;

    world.evolve(0);
    gate.is_defined_with(3).await;
    world.stop().await;
}
