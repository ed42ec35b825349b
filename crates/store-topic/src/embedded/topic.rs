//! One topic: its folder, its partitions and what its consumers have committed.
//!
//! ```text
//! topics/<topic>/topic                              partitions, retention
//! topics/<topic>/partitions/<n>/<first offset>.log  segments
//! topics/<topic>/partitions/<n>/end                 where it ended at the last close
//! topics/<topic>/consumers/<consumer>               progress
//! ```

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{OwnedMutexGuard, watch};
use twinfold_model::{Offset, PartitionId, Positions};

use super::block::{self, PreparedBlock};
use super::disk::{Disk, io_error};
use super::document::{self, Fields, corrupt, field, required};
use super::group::{Group, MemberId};
use super::partition::Partition;
use super::recovery::{self, Witness};
use super::retention::Retention;
use super::{RootLock, Settings, SyncPolicy, lock};
use crate::names::{check_consumer_name, is_valid_name};
use crate::{Append, Appended, Error, Result, TopicConfig};

const CONFIG_FILE: &str = "topic";
const PROGRESS_KIND: &str = "progress";
const PARTITIONS_FOLDER: &str = "partitions";
const CONSUMERS_FOLDER: &str = "consumers";
/// The longest append as a block; a reader holds it in memory whole.
const BLOCK_BYTES_MAX: u64 = 64 * 1024 * 1024;

#[derive(Debug)]
pub(super) struct Topic {
    pub(super) name: Arc<str>,
    pub(super) partitions: Vec<Arc<Partition>>,
    folder: PathBuf,
    settings: Arc<Settings>,
    config: Mutex<TopicConfig>,
    /// Held by the append that writes its records: others wait for their turn, in order.
    pub(super) write_turn: Arc<tokio::sync::Mutex<()>>,
    /// Held while a consumer's file is replaced.
    commit_turn: Mutex<()>,
    progress: Mutex<BTreeMap<String, Positions>>,
    groups: Mutex<Groups>,
    /// Counts what may interest a waiting subscription: appends, members that come and go, the end.
    changes: watch::Sender<u64>,
    /// As long as anything can write here, no other process may.
    _root_lock: Arc<RootLock>,
}

#[derive(Debug, Default)]
struct Groups {
    by_consumer: BTreeMap<String, Group>,
    members_ever: MemberId,
}

/// Makes the folder of a new topic; after a crash it is there whole or not at all.
pub(super) fn create(disk: &Disk, folder: &Path, name: &str, config: &TopicConfig) -> Result<()> {
    let parent = folder.parent().expect("topics lie in a folder");
    let new = parent.join(format!(".new-{name}"));
    if new.exists() {
        fs::remove_dir_all(&new).map_err(io_error(&new))?;
    }
    let consumers = new.join(CONSUMERS_FOLDER);
    fs::create_dir_all(&consumers).map_err(io_error(&consumers))?;
    for partition in 0..config.partitions {
        let partition = partition_folder(&new, partition);
        fs::create_dir_all(&partition).map_err(io_error(&partition))?;
    }
    disk.sync_folder(&new.join(PARTITIONS_FOLDER))?;
    write_config(disk, &new, config)?;
    fs::rename(&new, folder).map_err(io_error(folder))?;
    disk.sync_folder(parent)
}

impl Topic {
    pub(super) fn open(
        folder: PathBuf,
        name: &str,
        settings: Arc<Settings>,
        root_lock: Arc<RootLock>,
    ) -> Result<Self> {
        let name: Arc<str> = name.into();
        let config = read_config(&folder)?;
        let progress = read_progress(&folder.join(CONSUMERS_FOLDER), config.partitions)?;
        let partitions = (0..config.partitions)
            .map(|partition| {
                let path = partition_folder(&folder, partition);
                let id = PartitionId(partition);
                let found = recovery::recover(&settings.disk, &path, furthest(&progress, id))?;
                let settings = Arc::clone(&settings);
                Partition::new(Arc::clone(&name), id, path, settings, found).map(Arc::new)
            })
            .collect::<Result<Vec<_>>>()?;
        Ok(Self {
            name,
            partitions,
            folder,
            settings,
            config: Mutex::new(config),
            write_turn: Arc::default(),
            commit_turn: Mutex::new(()),
            progress: Mutex::new(progress),
            groups: Mutex::new(Groups::default()),
            changes: watch::Sender::new(0),
            _root_lock: root_lock,
        })
    }

    /// Takes over the retention of `config`.
    pub(super) fn configure(&self, config: &TopicConfig) -> Result<()> {
        let mut current = lock(&self.config);
        if current.partitions != config.partitions {
            return Err(Error::TopicMismatch {
                topic: self.name.to_string(),
                found: current.partitions,
                wanted: config.partitions,
            });
        }
        if *current != *config {
            write_config(&self.settings.disk, &self.folder, config)?;
            *current = config.clone();
        }
        Ok(())
    }

    pub(super) fn partition(&self, partition: PartitionId) -> Result<&Arc<Partition>> {
        self.partitions
            .get(partition.0 as usize)
            .ok_or_else(|| Error::UnknownPartition {
                topic: self.name.to_string(),
                partition: partition.0,
                partitions: self.partitions.len() as u32,
            })
    }

    pub(super) fn append(
        &self,
        appends: Vec<Append>,
        turn: OwnedMutexGuard<()>,
    ) -> Result<Vec<Appended>> {
        // All is checked before anything is written.
        for append in &appends {
            self.check(append)?;
        }
        let mut appended = Vec::with_capacity(appends.len());
        let mut is_segment_sealed = false;
        for append in appends {
            let partition = self.partition(append.partition)?;
            if append.records.is_empty() {
                let next = partition.bounds().next;
                appended.push(Appended {
                    partition: append.partition,
                    first: next,
                    next,
                    count: 0,
                });
                continue;
            }
            let mut block = PreparedBlock::new(
                partition.buffers(),
                &append.headers.encode(),
                &append.records,
            );
            let written = partition.append(&mut block);
            self.note_change();
            let written = written?;
            is_segment_sealed |= written.is_segment_sealed;
            appended.push(written.appended);
        }
        // Those that sync at the same time share it.
        drop(turn);
        if self.settings.options.sync == SyncPolicy::EveryAppend {
            for entry in &appended {
                self.partition(entry.partition)?.make_durable()?;
            }
        }
        if is_segment_sealed && let Err(error) = self.enforce_retention() {
            // The records are in the log; what could not be removed is tried again at the next turn.
            tracing::warn!(topic = %self.name, %error, "cannot remove forgotten segments");
        }
        Ok(appended)
    }

    fn check(&self, append: &Append) -> Result<()> {
        self.partition(append.partition)?;
        let found_bytes = block::block_bytes(&append.headers.encode(), &append.records);
        if found_bytes > BLOCK_BYTES_MAX {
            return Err(Error::AppendTooLarge {
                topic: self.name.to_string(),
                found_bytes,
                bytes_max: BLOCK_BYTES_MAX,
            });
        }
        Ok(())
    }

    /// Records go when every consumer that committed progress or is subscribed has passed them.
    pub(super) fn enforce_retention(&self) -> Result<()> {
        let retention = {
            let config = lock(&self.config);
            Retention {
                age_max: config.retention,
                bytes_max: config.retention_bytes_max,
            }
        };
        if retention.age_max.is_none() && retention.bytes_max.is_none() {
            return Ok(());
        }
        let forgotten = self
            .partitions
            .iter()
            .map(|partition| partition.forget(&retention, self.held_from(partition.id)));
        forgotten.fold(Ok(()), Result::and)
    }

    fn held_from(&self, partition: PartitionId) -> Offset {
        let subscribed: Vec<String> = lock(&self.groups).by_consumer.keys().cloned().collect();
        let progress = lock(&self.progress);
        let passed = |positions: &Positions| positions.get(partition).unwrap_or(Offset::ZERO);
        let committed = progress.values().map(passed);
        let uncommitted = subscribed
            .iter()
            .filter(|consumer| !progress.contains_key(*consumer))
            .map(|_| Offset::ZERO);
        committed
            .chain(uncommitted)
            .min()
            .unwrap_or(Offset(u64::MAX))
    }

    pub(super) fn progress(&self, consumer: &str) -> Result<Positions> {
        check_consumer_name(consumer)?;
        let progress = lock(&self.progress);
        Ok(progress.get(consumer).cloned().unwrap_or_default())
    }

    pub(super) fn commit(&self, consumer: &str, positions: &Positions) -> Result<()> {
        for (partition, offset) in positions.iter() {
            let partition = self.partition(partition)?;
            let next = partition.bounds().next;
            if offset > next {
                return Err(Error::UnknownOffset {
                    topic: self.name.to_string(),
                    partition: partition.id.0,
                    found: offset.0,
                    next: next.0,
                });
            }
            // Progress must never be ahead of what a crash leaves of the log.
            if offset > partition.durable_end() {
                partition.make_durable()?;
            }
        }
        let _turn = lock(&self.commit_turn);
        self.check_open()?;
        let known = self.progress(consumer)?;
        let mut merged = known.clone();
        merged.merge(positions);
        if merged == known {
            return Ok(());
        }
        let fields: Fields = merged
            .iter()
            .map(|(partition, next)| (partition.0.to_string(), next.0))
            .collect();
        let path = self.folder.join(CONSUMERS_FOLDER).join(consumer);
        document::replace(&self.settings.disk, &path, PROGRESS_KIND, &fields)?;
        lock(&self.progress).insert(consumer.to_owned(), merged);
        Ok(())
    }

    pub(super) fn join(&self, consumer: &str) -> Result<(MemberId, watch::Receiver<u64>)> {
        check_consumer_name(consumer)?;
        let mut groups = lock(&self.groups);
        groups.members_ever += 1;
        let member = groups.members_ever;
        groups
            .by_consumer
            .entry(consumer.to_owned())
            .or_insert_with(|| Group::new(self.partitions.len()))
            .join(member);
        drop(groups);
        self.note_change();
        Ok((member, self.changes.subscribe()))
    }

    /// Decides something in the group of `consumer`; the others look again.
    pub(super) fn in_group<T>(&self, consumer: &str, decide: impl FnOnce(&mut Group) -> T) -> T {
        let mut groups = lock(&self.groups);
        let group = groups
            .by_consumer
            .get_mut(consumer)
            .expect("a group stays as long as it has a member");
        let decided = decide(group);
        if group.is_empty() {
            groups.by_consumer.remove(consumer);
        }
        decided
    }

    pub(super) fn note_change(&self) {
        self.changes
            .send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Whether there is still something to read and to commit. The partitions end together.
    pub(super) fn check_open(&self) -> Result<()> {
        self.partitions
            .first()
            .map_or(Ok(()), |partition| partition.check_readable())
    }

    /// Refuses writes and commits from now on, as the topic is gone.
    pub(super) fn abandon(&self) {
        let _turn = lock(&self.commit_turn);
        for partition in &self.partitions {
            partition.abandon();
        }
        self.note_change();
    }

    /// Closes every partition, also when one of them cannot be.
    pub(super) fn close(&self) -> Result<()> {
        let _turn = lock(&self.commit_turn);
        let closed = self.partitions.iter().map(|partition| partition.close());
        let first_error = closed.fold(Ok(()), Result::and);
        self.note_change();
        first_error
    }
}

fn partition_folder(topic: &Path, partition: u32) -> PathBuf {
    topic.join(PARTITIONS_FOLDER).join(partition.to_string())
}

fn write_config(disk: &Disk, folder: &Path, config: &TopicConfig) -> Result<()> {
    let mut fields = vec![("partitions".to_owned(), u64::from(config.partitions))];
    if let Some(retention) = config.retention {
        let micros = u64::try_from(retention.as_micros()).unwrap_or(u64::MAX);
        fields.push(("retention_us".to_owned(), micros));
    }
    if let Some(bytes) = config.retention_bytes_max {
        fields.push(("retention_bytes_max".to_owned(), bytes));
    }
    document::replace(disk, &folder.join(CONFIG_FILE), CONFIG_FILE, &fields)
}

fn read_config(folder: &Path) -> Result<TopicConfig> {
    let path = folder.join(CONFIG_FILE);
    let fields =
        document::read(&path, CONFIG_FILE)?.ok_or_else(|| corrupt(&path, "it is missing"))?;
    let partitions = required(&fields, "partitions", &path)?;
    Ok(TopicConfig {
        partitions: u32::try_from(partitions)
            .map_err(|_| corrupt(&path, format!("{partitions} partitions are too many")))?,
        retention: field(&fields, "retention_us").map(Duration::from_micros),
        retention_bytes_max: field(&fields, "retention_bytes_max"),
    })
}

/// What consumers committed on the topic with so many partitions.
fn read_progress(folder: &Path, partitions: u32) -> Result<BTreeMap<String, Positions>> {
    let mut progress = BTreeMap::new();
    for entry in fs::read_dir(folder).map_err(io_error(folder))? {
        let path = entry.map_err(io_error(folder))?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        let Some(consumer) = name.filter(|name| is_valid_name(name)) else {
            continue;
        };
        let mut positions = Positions::new();
        for (partition, next) in document::read(&path, PROGRESS_KIND)?.unwrap_or_default() {
            let known = partition
                .parse::<u32>()
                .ok()
                .filter(|id| *id < partitions)
                .ok_or_else(|| corrupt(&path, format!("there is no partition `{partition}`")))?;
            positions.advance(PartitionId(known), Offset(next));
        }
        progress.insert(consumer.to_owned(), positions);
    }
    Ok(progress)
}

/// The consumer that came furthest in a partition. Progress is durable only after the records.
fn furthest(progress: &BTreeMap<String, Positions>, partition: PartitionId) -> Option<Witness> {
    let (consumer, next) = progress
        .iter()
        .filter_map(|(consumer, positions)| Some((consumer, positions.get(partition)?)))
        .max_by_key(|(_, next)| *next)?;
    Some(Witness {
        next,
        account: format!("consumer `{consumer}` has read up to {}", next.0),
    })
}
