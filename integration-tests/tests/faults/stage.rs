//! The deployed platform, everything that it needs, and what stands between them.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

use tokio_util::sync::{CancellationToken, DropGuard};
use twinfold_client::{Definitions, Deletion, Error, Expected, FeatureGroups as _};
use twinfold_embedded::{Options, StoresConfig};
use twinfold_integration_tests::{Client, Network, OwnServers, Processes, S3Proxy, engines_of};
use twinfold_model::{FeatureGroup, Positions, ResourceState};
use twinfold_testkit::{SplitMix, eventually};

use crate::Fault;
use crate::check;
use crate::ledger::{Acknowledged, Ledger, Writing, fault_group};
use crate::settings::Settings;

/// Within this everything has to be as before; most of it takes seconds.
pub const RECOVERY_MAX: Duration = Duration::from_secs(180);
/// After this much silence a consumer's partitions go to the others.
pub const SESSION_TIMEOUT: Duration = Duration::from_secs(6);
/// Short, so that some inserts fail and are made again.
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(5);
/// Before and after a fault at most this many batches are written.
const BATCHES_MAX: u64 = 20;
const LOG_LINES_MAX: usize = 60;

/// What uses a server stands before it: fields end in their order.
pub struct Stage {
    pub processes: Processes,
    pub client: Client,
    pub network: Network,
    pub s3: S3Proxy,
    pub servers: OwnServers,
    pub random: SplitMix,
    /// What lasts, lasts this long.
    pub fault: Duration,
    /// By which the producer's clock is wrong.
    pub skew_us: Arc<AtomicI64>,
    /// Whose rows are being written.
    pub topic: String,
    /// What was written of them in this round.
    pub acknowledged: Acknowledged,
    /// Without anything in between.
    direct: StoresConfig,
    logs: PathBuf,
    groups: u64,
    _following: DropGuard,
}

impl Stage {
    pub async fn set(settings: &Settings) -> Self {
        let servers = ["kafka=3", "cassandra", "postgres", "s3", "toxiproxy"];
        let servers = OwnServers::start(&servers);
        let mut seen = servers.servers.clone();
        let s3 = S3Proxy::start(&seen.s3.endpoint).await;
        seen.s3.endpoint = s3.endpoint();
        let network = Network::between(&seen).await;
        let mut stores = engines_of(network.servers());
        let session = format!("&session_timeout_ms={}", SESSION_TIMEOUT.as_millis());
        stores.topic = format!("{}{session}", &*stores.topic).into();
        let direct = StoresConfig {
            metadata: network.direct(&stores.metadata).into(),
            topic: stores.topic.clone(),
            online: network.direct(&stores.online).into(),
            offline: network.direct(&stores.offline).into(),
        };
        let logs = servers.folder().join("services");
        std::fs::create_dir(&logs).expect("a folder for logs");
        let config = Options::from_env().expect("options").config;
        let processes = Processes::over(stores, &config, 2, 2, Some(&logs)).await;
        let delivery = format!("&delivery_timeout_ms={}", DELIVERY_TIMEOUT.as_millis());
        let topics = format!("{}{delivery}", &*processes.stores.topic);
        let client = processes.client_over(&topics).await;
        let following = CancellationToken::new();
        let (registry, told) = (Arc::clone(&client.registry), following.clone());
        tokio::spawn(async move { registry.follow(told).await });
        Self {
            processes,
            client,
            network,
            s3,
            servers,
            random: SplitMix::new(settings.seed),
            fault: settings.fault,
            skew_us: Arc::default(),
            topic: String::new(),
            acknowledged: Acknowledged::never(),
            direct,
            logs,
            groups: 0,
            _following: following.drop_guard(),
        }
    }

    /// The rounds of one fault, over a feature group of its own.
    pub async fn play(&mut self, name: &str, fault: Fault, settings: &Settings) {
        let group = self.define(name).await;
        self.topic = group.id().resource_name(1);
        let mut ledger = self.ledger(group);
        for _ in 0..settings.rounds {
            let writing = Writing::begin(ledger);
            self.acknowledged = writing.acknowledged();
            let before = 1 + self.random.below(BATCHES_MAX);
            self.acknowledged.goes_on(before).await;
            fault(self).await;
            let after = 1 + self.random.below(BATCHES_MAX);
            self.acknowledged.goes_on(after).await;
            ledger = writing.end().await;
            self.prove(&ledger).await;
        }
        self.remove(&ledger.group).await;
    }

    /// Makes a feature group, as often as it takes.
    pub async fn define(&self, name: &str) -> FeatureGroup {
        let group = fault_group(name);
        let registry = &self.client.registry;
        eventually(RECOVERY_MAX, || async {
            let created = registry.create_feature_group(&group, Duration::ZERO).await;
            // The answer to an earlier attempt may have been lost.
            matches!(
                created,
                Ok(_) | Err(Error::AlreadyExists { .. } | Error::NotReady { .. })
            )
        })
        .await;
        eventually(RECOVERY_MAX, || async {
            let found = registry.group(group.id()).await;
            found.is_ok_and(|definition| definition.state == ResourceState::Active)
        })
        .await;
        group
    }

    /// A name that no other group of this stage has.
    pub fn next_name(&mut self) -> String {
        self.groups += 1;
        format!("made_meanwhile_{}", self.groups)
    }

    /// A group that was made while something was broken works like any other.
    pub async fn prove_new(&mut self, group: FeatureGroup) {
        let mut ledger = self.ledger(group);
        for _ in 0..BATCHES_MAX {
            ledger.write().await;
        }
        self.prove(&ledger).await;
        self.remove(&ledger.group).await;
    }

    pub fn print_logs(&self) {
        let files = std::fs::read_dir(&self.logs).expect("the folder of logs");
        for file in files {
            print_end(&file.expect("a file").path());
        }
    }

    fn ledger(&mut self, group: FeatureGroup) -> Ledger {
        let random = SplitMix::new(self.random.below(u64::MAX));
        let (writer, skew_us) = (self.client.writer.clone(), Arc::clone(&self.skew_us));
        Ledger::new(group, writer, random, skew_us)
    }

    /// Both materializers pass the end of the topic by themselves; then everything has to be in its place.
    async fn prove(&self, ledger: &Ledger) {
        let topics = self.client.topics.as_ref();
        let topic = &ledger.group.id().resource_name(1);
        eventually(RECOVERY_MAX, || async {
            topics.bounds(topic).await.is_ok()
        })
        .await;
        let bounds = topics.bounds(topic).await.expect("bounds");
        let end = bounds.iter().map(|bounds| (bounds.partition, bounds.next));
        let end: Positions = end.collect();
        for consumer in ["onlinefs", "offlinefs"] {
            eventually(RECOVERY_MAX, || async {
                let progress = topics.progress(topic, consumer).await;
                progress.is_ok_and(|progress| progress.covers(&end))
            })
            .await;
        }
        check::holds(topics, &self.direct, ledger).await;
    }

    /// Spares the next faults the consumers of this group.
    async fn remove(&self, group: &FeatureGroup) {
        let registry = &self.client.registry;
        eventually(RECOVERY_MAX, || async {
            let deleted = registry
                .delete_feature_group(
                    group.id(),
                    Deletion::RefuseIfUsed,
                    &Expected::Anything,
                    Duration::ZERO,
                )
                .await;
            // It is going already when the answer to an earlier attempt was lost.
            matches!(
                deleted,
                Ok(()) | Err(Error::NotFound { .. } | Error::NotReady { .. })
            )
        })
        .await;
    }
}

fn print_end(log: &Path) {
    let text = std::fs::read_to_string(log).expect("a log");
    let lines: Vec<&str> = text.lines().collect();
    let end = &lines[lines.len().saturating_sub(LOG_LINES_MAX)..];
    println!("--- {}\n{}", log.display(), end.join("\n"));
}
