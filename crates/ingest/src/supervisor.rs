use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;

use futures::future::BoxFuture;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};
use twinfold_client::{Definitions, GroupDefinition};
use twinfold_model::{FeatureGroupId, ResourceState};
use twinfold_service_kit::{Clock, Task, TaskGroup};
use twinfold_store_topic::TopicStore;

use crate::plan::{self, Limits};
use crate::{Budget, Consumer, Result, Sink, SinkFactory, Status, Statuses};

/// Keeps one [`Consumer`] running for every active feature group that the materializer wants.
pub struct Supervisor {
    /// The name under which progress is committed: "onlinefs" or "offlinefs".
    pub name: &'static str,
    pub topics: Arc<dyn TopicStore>,
    pub definitions: Arc<dyn Definitions>,
    pub sinks: Arc<dyn SinkFactory>,
    pub limits: Limits,
    pub budget: Budget,
    pub clock: Arc<dyn Clock>,
    pub statuses: Statuses,
    pub tasks: TaskGroup,
}

/// The consumer of one resource: a group that was deleted and created again has another.
struct Running {
    group: FeatureGroupId,
    task: Task,
}

/// What runs, and what the definitions were when it was last looked.
struct Consumers {
    running: HashMap<String, Running>,
    /// By resource.
    stopping: Vec<(String, Task)>,
    /// Whether every group that is not active was looked at once.
    has_looked: bool,
    /// Counts how often definitions were read; the consumers look then whether theirs is another.
    definitions_read: watch::Sender<u64>,
}

impl Supervisor {
    /// Follows the definitions until told to stop, then stops its consumers and waits for them.
    pub fn run(self, shutdown: CancellationToken) -> BoxFuture<'static, Result<(), Infallible>> {
        // Boxed: with it all of the consumers is compiled here, and not by each materializer.
        Box::pin(self.follow(shutdown))
    }

    async fn follow(self, shutdown: CancellationToken) -> Result<(), Infallible> {
        let mut changes = self.definitions.changes();
        let mut consumers = Consumers {
            running: HashMap::new(),
            stopping: Vec::new(),
            has_looked: false,
            definitions_read: watch::Sender::new(0),
        };
        let mut failures = 0;
        loop {
            changes.mark_unchanged();
            self.forget_gone(&mut consumers);
            // A registry that does not answer for a while, or says what this version does not understand,
            // is no reason to stop what runs.
            let adjusted = tokio::select! {
                () = shutdown.cancelled() => break,
                adjusted = self.adjust(&mut consumers) => adjusted,
            };
            let pause = match adjusted {
                Ok(()) => {
                    failures = 0;
                    None
                }
                Err(error) => {
                    failures += 1;
                    warn!(consumer = self.name, %error, "feature groups cannot be looked at, trying again");
                    Some(plan::backoff(failures, &self.limits))
                }
            };
            tokio::select! {
                () = shutdown.cancelled() => break,
                () = tokio::time::sleep(pause.unwrap_or_default()), if pause.is_some() => {}
                changed = changes.changed() => if changed.is_err() { break },
            }
        }
        let running = || consumers.running.values().map(|running| &running.task);
        for task in running() {
            task.cancel();
        }
        for task in running().chain(consumers.stopping.iter().map(|(_, task)| task)) {
            task.ended().await;
        }
        Ok(())
    }

    /// What the stores remember of groups that are gone goes when their consumers have ended, which would ask
    /// for it again.
    fn forget_gone(&self, consumers: &mut Consumers) {
        let ended = consumers
            .stopping
            .extract_if(.., |(_, task)| task.has_ended());
        for (resource, _) in ended {
            self.topics.forget(&resource);
            self.sinks.forget(&resource);
        }
    }

    /// Starts what should run and does not; stops what runs and should not, without waiting for its end:
    /// a consumer that is slow to stop keeps no new group waiting. Fails when it is not known of a group
    /// whether it should run, and is to be called again.
    async fn adjust(&self, consumers: &mut Consumers) -> Result<()> {
        let definitions = self.definitions.groups().await?;
        // A group in `Creating` is only being changed: its consumer goes on.
        let is_kept = |resource: &str| {
            definitions.iter().any(|definition| {
                definition.resource == resource && definition.state != ResourceState::Deleting
            })
        };
        let gone = consumers
            .running
            .extract_if(|resource, _| !is_kept(resource));
        for (resource, Running { group, task }) in gone {
            info!(consumer = self.name, feature_group = %group, "stopping");
            task.cancel();
            // At once: a group of the same name must not inherit its positions.
            self.statuses.forget(&group);
            consumers.stopping.push((resource, task));
        }
        let mut unknown = None;
        let wanted = definitions
            .iter()
            .filter(|definition| self.sinks.wants(definition));
        for definition in wanted {
            if consumers.running.contains_key(&definition.resource) {
                continue;
            }
            match self.is_startable(definition, consumers.has_looked).await {
                Ok(true) => {
                    let started = self.start(definition, consumers.definitions_read.subscribe());
                    consumers
                        .running
                        .insert(definition.resource.clone(), started);
                }
                Ok(false) => {}
                // The others are started all the same.
                Err(error) => unknown = Some(error),
            }
        }
        consumers.definitions_read.send_modify(|count| *count += 1);
        consumers.has_looked |= unknown.is_none();
        unknown.map_or(Ok(()), Err)
    }

    /// Whether a group has everything that its consumer needs. One that is not active had it before this
    /// process began, if it has a topic, which is made last: that it cannot be changed at the moment stops
    /// no rows. An error when nobody says at the moment whether there is one.
    async fn is_startable(&self, definition: &GroupDefinition, has_looked: bool) -> Result<bool> {
        match definition.state {
            ResourceState::Active => Ok(true),
            ResourceState::Deleting => Ok(false),
            ResourceState::Creating | ResourceState::Failed { .. } if has_looked => Ok(false),
            ResourceState::Creating | ResourceState::Failed { .. } => {
                match self.topics.bounds(&definition.resource).await {
                    Ok(_) => Ok(true),
                    Err(error) if error.retry() => Err(error.into()),
                    Err(_) => Ok(false),
                }
            }
        }
    }

    fn start(
        &self,
        definition: &GroupDefinition,
        definitions_read: watch::Receiver<u64>,
    ) -> Running {
        let group = definition.group.id().clone();
        let status = self.statuses.sender(&group);
        // Positions that were true for another life of the group must not be taken for this one's.
        status.send_replace(Status::default());
        let consumer = Consumer {
            name: self.name,
            status,
            group: group.clone(),
            resource: definition.resource.clone(),
            topics: Arc::clone(&self.topics),
            definitions: Arc::clone(&self.definitions),
            limits: self.limits,
            budget: self.budget.clone(),
            clock: Arc::clone(&self.clock),
            definitions_read,
        };
        let sinks = Arc::clone(&self.sinks);
        let name = format!("{} {}", self.name, consumer.resource);
        let task = self.tasks.spawn(name, |token| async move {
            keep_running(&consumer, sinks.as_ref(), token).await;
            Ok::<(), Infallible>(())
        });
        Running { group, task }
    }
}

/// A loop that ends with an error is started again: another group must not suffer for it, and a
/// restart goes on from committed positions. What was told as readable before stays so.
async fn keep_running(consumer: &Consumer, sinks: &dyn SinkFactory, shutdown: CancellationToken) {
    let mut failures = plan::Failures::default();
    while !shutdown.is_cancelled() {
        let Err(error) = run_once(consumer, sinks, shutdown.clone()).await else {
            return;
        };
        let definition = consumer.definition_at_last(&shutdown).await;
        if matches!(definition, Some(Ok(None))) {
            debug!(consumer = consumer.name, feature_group = %consumer.group, %error, "the group is gone");
            return;
        }
        let attempt = failures.count(&consumer.status.borrow().positions);
        error!(consumer = consumer.name, feature_group = %consumer.group, attempt, %error, "stopped by an error");
        consumer
            .status
            .send_modify(|status| status.failing = Some(error.to_string()));
        let pause = tokio::time::sleep(plan::backoff(attempt, &consumer.limits));
        shutdown.run_until_cancelled(pause).await;
    }
}

async fn run_once(
    consumer: &Consumer,
    sinks: &dyn SinkFactory,
    shutdown: CancellationToken,
) -> Result<()> {
    let opened = shutdown.run_until_cancelled(open(consumer, sinks)).await;
    match opened.transpose()?.flatten() {
        Some((definition, mut sink)) => consumer.run(definition, sink.as_mut(), shutdown).await,
        None => Ok(()),
    }
}

/// The group and a sink for it; `None` when the consumer's resources are gone.
async fn open(
    consumer: &Consumer,
    sinks: &dyn SinkFactory,
) -> Result<Option<(Arc<GroupDefinition>, Box<dyn Sink>)>> {
    let Some(definition) = consumer.definition().await? else {
        return Ok(None);
    };
    let sink = sinks.open(&definition).await?;
    Ok(Some((definition, sink)))
}
