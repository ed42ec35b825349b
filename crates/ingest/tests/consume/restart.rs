use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use tokio::sync::{Semaphore, watch};
use twinfold_client::GroupDefinition;
use twinfold_ingest::{Batch, Budget, Sink, SinkError, SinkFactory, Status};
use twinfold_model::{Offset, PartitionId, Positions, ResourceState};
use twinfold_testkit::eventually;

use crate::script::Script;
use crate::world::{DEADLINE, World};

/// Makes a sink that takes one batch and then fails for good; another one when it is let.
#[derive(Debug)]
pub struct Sinks {
    opened: watch::Sender<usize>,
    another: Semaphore,
    forgotten: Mutex<Vec<String>>,
}

impl Sinks {
    pub fn new() -> Self {
        Self {
            opened: watch::Sender::new(0),
            another: Semaphore::new(0),
            forgotten: Mutex::default(),
        }
    }

    /// Returns when so many sinks were made.
    async fn have_opened(&self, sinks: usize) {
        let mut opened = self.opened.subscribe();
        let seen = tokio::time::timeout(DEADLINE, opened.wait_for(|opened| *opened == sinks));
        drop(seen.await.expect("in time").expect("the sinks stay"));
    }
}

#[async_trait]
impl SinkFactory for Sinks {
    fn wants(&self, _: &GroupDefinition) -> bool {
        true
    }

    async fn open(&self, _: &GroupDefinition) -> Result<Box<dyn Sink>, SinkError> {
        let is_first = *self.opened.borrow() == 0;
        self.opened.send_modify(|opened| *opened += 1);
        if is_first {
            return Ok(Box::new(Brittle { batches_left: 1 }));
        }
        let permit = self.another.acquire().await;
        permit.expect("open").forget();
        let batches_left = usize::MAX;
        Ok(Box::new(Brittle { batches_left }))
    }

    fn forget(&self, resource: &str) {
        let mut forgotten = self.forgotten.lock().expect("whole");
        forgotten.push(resource.to_owned());
    }
}

struct Brittle {
    batches_left: usize,
}

#[async_trait]
impl Sink for Brittle {
    async fn define(&mut self, _: &GroupDefinition) -> Result<(), SinkError> {
        Ok(())
    }

    async fn positions(&mut self) -> Result<Option<Positions>, SinkError> {
        Ok(None)
    }

    async fn write(&mut self, _: &Batch) -> Result<(), SinkError> {
        let left = self.batches_left.checked_sub(1);
        self.batches_left = left.ok_or_else(|| SinkError::new("sink", false, "broken"))?;
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), SinkError> {
        Ok(())
    }
}

/// The status once it is as wanted.
pub async fn until(
    status: &mut watch::Receiver<Status>,
    wanted: impl FnMut(&Status) -> bool,
) -> Status {
    let seen = tokio::time::timeout(DEADLINE, status.wait_for(wanted)).await;
    seen.expect("in time").expect("it is told").clone()
}

#[tokio::test]
async fn what_is_told_as_written_stays_so_when_a_loop_starts_again() {
    let world = World::new(&["group"], Budget::new(1 << 20)).await;
    let sinks = Arc::new(Sinks::new());
    let statuses = world.supervise(Arc::clone(&sinks) as Arc<dyn SinkFactory>);
    let mut status = statuses.watch(&world.id(0));
    let at = |next| Positions::from_iter([(PartitionId(0), Offset(next))]);
    world.append(0, 1, 3).await;
    until(&mut status, |status| status.positions == at(3)).await;

    world.append(0, 1, 1).await;
    sinks.have_opened(2).await;
    let told = status.borrow().clone();
    assert_eq!(told.positions, at(3));
    assert_eq!(told.failing.as_deref(), Some("sink: broken"));

    sinks.another.add_permits(1);
    let told = until(&mut status, |status| status.positions == at(4)).await;
    assert_eq!(told.failing, None);
    world.stop().await;
}

#[tokio::test]
async fn a_group_whose_topic_nobody_could_tell_of_is_looked_at_again() {
    let world = World::new(&["group"], Budget::new(1 << 20)).await;
    let reason = "no room".to_owned();
    world.set_state(ResourceState::Failed { reason });
    let sinks = Arc::new(Sinks::new());
    let topics = Script::with_bounds_at_the_second_time();
    world.supervise_over(topics, Arc::clone(&sinks) as Arc<dyn SinkFactory>);
    sinks.have_opened(1).await;
    world.stop().await;
}

#[tokio::test]
async fn what_is_remembered_of_a_group_goes_when_its_consumer_has_ended() {
    let world = World::new(&["group"], Budget::new(1 << 20)).await;
    let sinks = Arc::new(Sinks::new());
    world.supervise(Arc::clone(&sinks) as Arc<dyn SinkFactory>);
    sinks.have_opened(1).await;
    let resource = world.id(0).resource_name(1);
    let is_forgotten = || async {
        // The supervisor looks at each change.
        world.set_state(ResourceState::Deleting);
        let forgotten = sinks.forgotten.lock().expect("whole");
        *forgotten == [resource.as_str()]
    };
    eventually(DEADLINE, is_forgotten).await;
    world.stop().await;
}
