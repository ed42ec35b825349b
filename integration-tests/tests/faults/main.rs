//! Faults while rows flow. After each: every record of the topic is in history once, the online store has
//! the newest of each key, nothing that was acknowledged is missing, and nothing stands still.
//!
//! Settings are variables of the environment, which `make test-faults` gives for the full run:
//! `TWINFOLD_FAULT_ROUNDS` (1), `TWINFOLD_FAULT_SECONDS` (5) that a stall lasts, `TWINFOLD_FAULT_SEED` (any).
//! What stands on the command line chooses faults by parts of their names.

mod check;
mod clock;
mod engines;
mod ledger;
mod links;
mod rebalance;
mod s3;
mod services;
mod settings;
mod stage;

use std::panic::AssertUnwindSafe;
use std::process::ExitCode;

use futures::FutureExt;
use futures::future::LocalBoxFuture;

use settings::Settings;
use stage::Stage;

/// Breaks something at a random moment and mends it. Rows are written meanwhile.
type Fault = for<'a> fn(&'a mut Stage) -> LocalBoxFuture<'a, ()>;

macro_rules! faults {
    ($($module:ident: $($name:ident),+;)+) => {
        &[$($((stringify!($name), |stage| $module::$name(stage).boxed_local())),+),+]
    };
}

const FAULTS: &[(&str, Fault)] = faults! {
    services: registry_killed, registry_silent, onlinefs_killed, offlinefs_killed, onlinefs_paused,
        offlinefs_paused;
    engines: kafka_broker_restarted, kafka_broker_killed, kafka_broker_down, kafka_killed,
        cassandra_down, postgres_restarted, postgres_killed;
    s3: s3_fails, s3_is_unavailable, s3_is_slow, s3_loses_answers;
    links: kafka_resets, kafka_stalls, kafka_crawls, cassandra_resets, cassandra_stalls,
        cassandra_crawls, postgres_resets, postgres_stalls, postgres_crawls, s3_resets, s3_stalls,
        s3_crawls;
    rebalance: a_rebalance_each_second;
    clock: producer_an_hour_behind, producer_an_hour_ahead;
};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let filters = arguments
        .iter()
        .filter(|argument| !argument.starts_with('-'));
    let filters: Vec<&str> = filters.map(String::as_str).collect();
    let is_wanted =
        |name: &str| filters.is_empty() || filters.iter().any(|part| name.contains(part));
    let wanted = FAULTS.iter().filter(|(name, _)| is_wanted(name));
    let wanted: Vec<(&'static str, Fault)> = wanted.copied().collect();
    if arguments.iter().any(|argument| argument == "--list") {
        wanted.iter().for_each(|(name, _)| println!("{name}: test"));
        return ExitCode::SUCCESS;
    }
    if wanted.is_empty() {
        return ExitCode::SUCCESS;
    }
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let failed = runtime.block_on(run(&wanted, &Settings::from_env()));
    match failed.as_slice() {
        [] => ExitCode::SUCCESS,
        names => {
            println!("\nfailed: {}", names.join(", "));
            ExitCode::FAILURE
        }
    }
}

/// One fault after the other; gives the names of those that something did not outlive.
async fn run(wanted: &[(&'static str, Fault)], settings: &Settings) -> Vec<&'static str> {
    let mut failed = Vec::new();
    let mut stage = None;
    println!("running {} faults, {settings}", wanted.len());
    for (name, fault) in wanted {
        let mut ready = match stage.take() {
            Some(ready) => ready,
            None => Stage::set(settings).await,
        };
        let rounds = AssertUnwindSafe(ready.play(name, *fault, settings));
        let outcome = rounds.catch_unwind().await;
        match outcome {
            Ok(()) => {
                println!("fault {name} ... ok");
                stage = Some(ready);
            }
            // What is left of this stage is in an unknown state.
            Err(_panic) => {
                println!("fault {name} ... FAILED");
                ready.print_logs();
                failed.push(*name);
            }
        }
    }
    failed
}
