use std::num::NonZeroU64;
use std::sync::Mutex;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use tokio::sync::watch;
use twinfold_client::WriterSchema;
use twinfold_model::{
    AsOf, Commit, EventTime, FeatureGroupId, Positions, QuarantinedRecord, SchemaId,
};
use twinfold_store_offline::{AppendRequest, OfflineStore, Snapshot};

use super::*;
use crate::UpkeepConfig;

/// Two groups whose every step fails, and what was tried. Cancels the token at one of them.
#[derive(Debug, Default)]
struct World {
    tried: Mutex<Vec<String>>,
    stop: Option<(&'static str, CancellationToken)>,
    /// The registry says nothing; who asks it is told to stop meanwhile.
    silent: Option<CancellationToken>,
}

const UNUSED: &str = "not for maintenance";
/// Long enough for a machine that is busy.
const DEADLINE: Duration = Duration::from_secs(30);

impl World {
    fn fail(&self, step: &str, resource: &str) -> std::io::Error {
        let tried = format!("{step} {resource}");
        if let Some((at, token)) = &self.stop
            && *at == tried
        {
            token.cancel();
        }
        self.tried.lock().unwrap().push(tried);
        std::io::Error::other("broken")
    }

    fn tried(&self) -> Vec<String> {
        self.tried.lock().unwrap().clone()
    }
}

#[async_trait]
impl Definitions for World {
    async fn groups(&self) -> twinfold_client::Result<Vec<Arc<GroupDefinition>>> {
        let states = [
            ("a", ResourceState::Active),
            ("b", ResourceState::Deleting),
            ("c", ResourceState::Active),
        ];
        let groups = states.map(|(resource, state)| {
            Arc::new(GroupDefinition {
                group: twinfold_testkit::weather_group(),
                state,
                resource: resource.to_owned(),
                schema: SchemaId(1),
            })
        });
        Ok(groups.to_vec())
    }
    async fn pinned_commits(&self, _: &FeatureGroupId) -> twinfold_client::Result<Vec<u64>> {
        if let Some(token) = &self.silent {
            token.cancel();
            std::future::pending::<()>().await;
        }
        Ok(Vec::new())
    }

    async fn group(&self, _: &FeatureGroupId) -> twinfold_client::Result<Arc<GroupDefinition>> {
        unreachable!("{UNUSED}")
    }
    async fn schema(
        &self,
        _: SchemaId,
        _: &str,
    ) -> twinfold_client::Result<Option<Arc<WriterSchema>>> {
        unreachable!("{UNUSED}")
    }
    fn changes(&self) -> watch::Receiver<u64> {
        unreachable!("{UNUSED}")
    }
    async fn quarantine(&self, _: &[QuarantinedRecord]) -> twinfold_client::Result<()> {
        unreachable!("{UNUSED}")
    }
}

#[async_trait]
impl OfflineStore for World {
    async fn commits(
        &self,
        _: &str,
        _: Option<u64>,
        _: usize,
    ) -> twinfold_store_offline::Result<Vec<Commit>> {
        Ok(vec![Commit {
            id: 9,
            committed_at: EventTime::from_micros(0),
            rows_upserted: 1,
            rows_deleted: 0,
            bytes: 1,
            positions: Positions::new(),
        }])
    }
    async fn compact(&self, table: &str) -> twinfold_store_offline::Result<Option<u64>> {
        Err(self.fail("compaction", table).into())
    }
    async fn vacuum(&self, table: &str, _: u64, _: &[u64]) -> twinfold_store_offline::Result<u64> {
        Err(self.fail("vacuum", table).into())
    }

    async fn create_table(&self, _: &str, _: SchemaRef) -> twinfold_store_offline::Result<()> {
        unreachable!("{UNUSED}")
    }
    async fn drop_table(&self, _: &str) -> twinfold_store_offline::Result<()> {
        unreachable!("{UNUSED}")
    }
    async fn append(&self, _: &str, _: AppendRequest) -> twinfold_store_offline::Result<Commit> {
        unreachable!("{UNUSED}")
    }
    async fn positions(&self, _: &str) -> twinfold_store_offline::Result<Positions> {
        unreachable!("{UNUSED}")
    }
    async fn snapshot(&self, _: &str, _: Option<AsOf>) -> twinfold_store_offline::Result<Snapshot> {
        unreachable!("{UNUSED}")
    }
}

fn history(world: &Arc<World>) -> HistoryMaintenance {
    let config = UpkeepConfig {
        compaction_commits: NonZeroU64::MIN,
        retention_hours: 1,
    };
    HistoryMaintenance {
        upkeep: Upkeep::new(Arc::clone(world) as _, config),
        definitions: Arc::clone(world) as _,
        interval: Duration::from_secs(3600),
    }
}

#[tokio::test]
async fn a_step_that_fails_keeps_no_other_from_its_turn() {
    let world = Arc::new(World::default());
    history(&world).pass(&CancellationToken::new()).await;
    let wanted = ["vacuum a", "compaction a", "vacuum c", "compaction c"];
    assert_eq!(world.tried(), wanted);
}

#[tokio::test]
async fn a_pass_ends_with_the_step_during_which_it_is_told_to() {
    for (at, steps) in [("vacuum a", 1), ("compaction a", 2), ("vacuum c", 3)] {
        let token = CancellationToken::new();
        let world = Arc::new(World {
            stop: Some((at, token.clone())),
            ..World::default()
        });
        let Ok(()) = history(&world).run(token).await;
        assert_eq!(world.tried().len(), steps, "{:?}", world.tried());
    }
}

#[tokio::test]
async fn a_registry_that_says_nothing_is_not_waited_for_at_the_end() {
    let token = CancellationToken::new();
    let world = Arc::new(World {
        silent: Some(token.clone()),
        ..World::default()
    });
    let mut history = history(&world);
    let pass = tokio::time::timeout(DEADLINE, history.pass(&token));
    pass.await.expect("it ends");
    assert!(world.tried().is_empty());
}
