//! The services as processes: rows flow through them. What they outlive is in `faults`.

use std::collections::HashSet;
use std::process::Command;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;
use twinfold_client::{FeatureGroups as _, Writer};
use twinfold_integration_tests::{
    Client, Deployment, Processes, WAIT_MAX, column_i64, history, latest,
};
use twinfold_model::{EventTime, FeatureGroup, Positions};
use twinfold_testkit::{bench_group, bench_rows, eventually, program};

const CREATE_MAX: Duration = Duration::from_secs(30);
/// Fast enough that rows are always under way, and slow enough that a busy machine keeps up.
const PAUSE: Duration = Duration::from_millis(20);
const ROWS_PER_PAUSE: usize = 20;
/// Between two changes of the instances.
const ROWS_BETWEEN: i64 = 1_000;

async fn insert(client: &Client, group: &FeatureGroup, first: i64, count: usize) -> Positions {
    let rows = vec![bench_rows(first, count, 0)];
    let now = EventTime::from_micros(0);
    let inserted = client.writer.insert(group.id(), rows, now, &|_| ()).await;
    inserted.expect("insert").end
}

/// What of a flow of rows was acknowledged.
#[derive(Clone, Default)]
struct Acknowledged {
    rows: i64,
    end: Positions,
}

/// Rows that are inserted in the background.
struct Flow {
    stop: watch::Sender<bool>,
    acknowledged: watch::Receiver<Acknowledged>,
    /// One; it ends with this.
    task: JoinSet<()>,
}

impl Flow {
    fn begin(writer: Writer, group: FeatureGroup) -> Self {
        let (stop, stopped) = watch::channel(false);
        let (progress, acknowledged) = watch::channel(Acknowledged::default());
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut pace = tokio::time::interval(PAUSE);
            pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
            while !*stopped.borrow() {
                let first = progress.borrow().rows;
                let rows = vec![bench_rows(first, ROWS_PER_PAUSE, 0)];
                let now = EventTime::from_micros(0);
                let inserted = writer.insert(group.id(), rows, now, &|_| ()).await;
                let receipt = inserted.expect("insert");
                progress.send_modify(|acknowledged| {
                    acknowledged.rows += ROWS_PER_PAUSE as i64;
                    acknowledged.end.merge(&receipt.end);
                });
                pace.tick().await;
            }
        });
        Self {
            stop,
            acknowledged,
            task,
        }
    }

    /// Returns when there are so many rows more.
    async fn goes_on(&mut self) -> Acknowledged {
        let wanted = self.acknowledged.borrow().rows + ROWS_BETWEEN;
        let reached = self.acknowledged.wait_for(|seen| seen.rows >= wanted);
        let reached = tokio::time::timeout(WAIT_MAX, reached).await;
        let reached = reached.expect("rows flow").expect("the writer lives");
        reached.clone()
    }

    async fn end(mut self) -> Acknowledged {
        self.stop.send_replace(true);
        let ended = self.task.join_next().await.expect("a writer");
        ended.expect("the writer lives");
        self.acknowledged.borrow().clone()
    }
}

/// Both materializers have committed that they passed these positions.
async fn passed(client: &Client, group: &FeatureGroup, end: &Positions) {
    let topic = group.id().resource_name(1);
    let has_passed = async |consumer| {
        let progress = client.topics.progress(&topic, consumer).await;
        progress.is_ok_and(|progress| progress.covers(end))
    };
    eventually(WAIT_MAX, || async {
        has_passed("onlinefs").await && has_passed("offlinefs").await
    })
    .await;
}

/// Every row once in history and once online, read by a process of its own.
async fn verify(processes: &Processes, group: &FeatureGroup, rows: i64) {
    let reader = Deployment::over(processes.stores.clone(), |_| ()).await;
    let offline = column_i64(&history(reader.platform(), group, None).await, "id");
    let distinct: HashSet<i64> = offline.iter().copied().collect();
    assert_eq!((offline.len() as i64, distinct.len() as i64), (rows, rows));
    let online = column_i64(&latest(reader.platform(), group.id()).await, "id");
    assert_eq!(online, Vec::from_iter(0..rows));
    reader.platform().close().await.expect("close");
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_flow_through_the_services() {
    let mut processes = Processes::start(2, 2).await;
    let client = processes.client().await;
    let group = bench_group();
    let created = client.registry.create_feature_group(&group, CREATE_MAX);
    created.await.expect("create");
    let end = insert(&client, &group, 0, 5_000).await;
    passed(&client, &group, &end).await;
    processes.stop();
    verify(&processes, &group, 5_000).await;
}

/// Rows go on while the partitions are shared with instances that join, and left to them.
#[tokio::test(flavor = "multi_thread")]
async fn instances_join_and_leave_while_rows_flow() {
    let mut processes = Processes::start(1, 1).await;
    let client = processes.client().await;
    let group = bench_group();
    let created = client.registry.create_feature_group(&group, CREATE_MAX);
    created.await.expect("create");
    let mut flow = Flow::begin(client.writer.clone(), group.clone());
    passed(&client, &group, &flow.goes_on().await.end).await;

    let mut joining = [processes.onlinefs[0].twin(), processes.offlinefs[0].twin()];
    for service in &mut joining {
        service.start().await;
    }
    passed(&client, &group, &flow.goes_on().await.end).await;

    processes.onlinefs[0].stop();
    processes.offlinefs[0].stop();
    passed(&client, &group, &flow.goes_on().await.end).await;

    let written = flow.end().await;
    passed(&client, &group, &written.end).await;
    for service in &mut joining {
        service.stop();
    }
    processes.stop();
    verify(&processes, &group, written.rows).await;
}

#[test]
fn a_configuration_that_is_not_valid_has_an_exit_code_of_its_own() {
    for name in ["registry", "onlinefs", "offlinefs", "api"] {
        let mut service = Command::new(program(&format!("twinfold-{name}")));
        let settings = [
            ("PROCESS__COLOUR", "red"),
            ("PROCESS__DRAIN_MS", "soon"),
            ("PROCESS__ADMIN_ADDRESS", "here"),
            ("PROCESS__LOG_FILTER", "twinfold=loud"),
            ("TOPIC__URL", "redis://a:1"),
        ];
        for (key, value) in settings {
            service.env(format!("TWINFOLD__{key}"), value);
        }
        let ended = service.output().expect("it runs");
        assert_eq!(ended.status.code(), Some(64), "{name}: {ended:?}");
        let said = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(said.lines().count(), 1 + settings.len(), "{said}");
        for (key, _) in settings {
            assert!(said.contains(key), "{key} is not in:\n{said}");
        }
    }
}
