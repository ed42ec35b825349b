use std::sync::Arc;

use bytes::Bytes;
use twinfold_ingest::Budget;
use twinfold_model::{EventTime, Offset, PartitionId};
use twinfold_store_topic::{Event, Record, RecordBatch};
use twinfold_testkit::eventually;
use twinfold_wire::record::Headers;

use crate::script::Script;
use crate::world::{DEADLINE, Gate, World};

const ONE: PartitionId = PartitionId(0);
const OTHER: PartitionId = PartitionId(1);

/// A consumer of one partition, with a row of it before the gate.
async fn writing() -> (World, Arc<Script>, Arc<Gate>) {
    let world = World::new(&["group"], Budget::new(1 << 20)).await;
    let script = Script::new();
    let gate = world.start_over(script.clone(), 0, 0);
    script.bring(Event::Assigned(vec![ONE])).await;
    script.bring(rows(&world, 0, 1)).await;
    gate.is_waited_for().await;
    (world, script, gate)
}

/// So many rows, the first at this offset.
fn rows(world: &World, first: u64, count: usize) -> Event {
    let values = world.values(0, first, count).into_iter().zip(first..);
    let record = |(value, offset)| Record {
        offset: Offset(offset),
        key: Bytes::new(),
        value,
    };
    Event::Records(vec![RecordBatch {
        partition: ONE,
        first: Offset(first),
        appended_at: EventTime::from_micros(0),
        headers: Ok(Headers::default()),
        records: values.map(record).collect(),
    }])
}

#[tokio::test]
async fn rows_are_taken_in_while_others_are_written() {
    let (world, script, gate) = writing().await;
    script.bring(rows(&world, 1, 2)).await;
    script.has_taken(3).await;
    assert_eq!(gate.batches(), 0, "the first batch is still being written");

    gate.allow(2);
    eventually(DEADLINE, || async { gate.sizes() == [1, 2] }).await;
    world.stop().await;
}

#[tokio::test]
async fn a_partition_is_let_go_after_the_write_under_way() {
    let (world, script, gate) = writing().await;
    script.bring(Event::Revoked(vec![ONE])).await;
    script.has_taken(3).await;

    gate.allow(1);
    let is_told = |partition, next| {
        let mut commits = script.commits().into_iter();
        commits.any(|positions| positions.get(partition) == Some(next))
    };
    eventually(DEADLINE, || async { is_told(ONE, Offset(1)) }).await;
    assert_eq!(gate.sizes(), [1]);

    script.bring(Event::Assigned(vec![OTHER])).await;
    eventually(DEADLINE, || async { is_told(OTHER, Offset(0)) }).await;
    let last = script.commits().pop().expect("it was told");
    assert_eq!(last.get(ONE), None, "another member counts for it now");
    world.stop().await;
}
