//! Processes of the platform that end or stand still.

use std::time::Duration;

use twinfold_integration_tests::lasting;
use twinfold_testkit::{ServiceProcess, Signal, SplitMix};

use crate::stage::{SESSION_TIMEOUT, Stage};

/// Rows that come while a materializer is away wait for it, or go to another.
const AWAY: Duration = Duration::from_secs(1);
/// So many batches are acknowledged with the definitions known.
const WITHOUT_REGISTRY: u64 = 20;

/// Rows do not wait for it.
pub async fn registry_killed(stage: &mut Stage) {
    stage.processes.registry.kill();
    stage.acknowledged.goes_on(WITHOUT_REGISTRY).await;
    stage.processes.registry.start().await;
}

/// It takes connections and says nothing.
pub async fn registry_silent(stage: &mut Stage) {
    stage.processes.registry.signal(Signal::Stop);
    stage.acknowledged.goes_on(WITHOUT_REGISTRY).await;
    lasting(stage.fault).await;
    stage.acknowledged.goes_on(WITHOUT_REGISTRY).await;
    stage.processes.registry.signal(Signal::Continue);
}

pub async fn onlinefs_killed(stage: &mut Stage) {
    killed(one_of(&mut stage.processes.onlinefs, &mut stage.random)).await;
}

pub async fn offlinefs_killed(stage: &mut Stage) {
    killed(one_of(&mut stage.processes.offlinefs, &mut stage.random)).await;
}

pub async fn onlinefs_paused(stage: &mut Stage) {
    paused(one_of(&mut stage.processes.onlinefs, &mut stage.random)).await;
}

pub async fn offlinefs_paused(stage: &mut Stage) {
    paused(one_of(&mut stage.processes.offlinefs, &mut stage.random)).await;
}

fn one_of<'a>(
    processes: &'a mut [ServiceProcess],
    random: &mut SplitMix,
) -> &'a mut ServiceProcess {
    let at = random.below(processes.len() as u64) as usize;
    &mut processes[at]
}

async fn killed(process: &mut ServiceProcess) {
    process.kill();
    lasting(AWAY).await;
    process.start().await;
}

/// Until its partitions are another's. Then it goes on with what it holds of them.
async fn paused(process: &mut ServiceProcess) {
    process.signal(Signal::Stop);
    lasting(SESSION_TIMEOUT + SESSION_TIMEOUT / 2).await;
    process.signal(Signal::Continue);
}
