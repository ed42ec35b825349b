//! The log in a local folder, for one process.
//!
//! Each partition is a row of segment files of checksummed blocks, one block for each append. The
//! folder holds, besides `topics/` (see `topic.rs`), the file `format` with the version of all this
//! and the file `lock`, which the process that has the log open keeps locked.

mod block;
mod buffers;
mod discarded;
mod disk;
mod document;
mod group;
mod partition;
mod reader;
mod recovery;
mod retention;
mod scan;
mod segment;
mod subscription;
mod topic;

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use twinfold_model::{EventTime, Positions};

use crate::blocking::{blocking, blocking_task, finished};
use crate::names::{check_topic_name, is_valid_name};
use crate::{Append, Appended, Bounds, Error, Result, Subscription, TopicConfig, TopicStore};
use buffers::Buffers;
use disk::{Disk, io_error};
use subscription::EmbeddedSubscription;
use topic::Topic;

const FORMAT_KIND: &str = "topics";
const TOPICS_FOLDER: &str = "topics";
const PARTITIONS_MAX: u32 = 1024;
const SEGMENT_BYTES_MAX_DEFAULT: u64 = 256 * 1024 * 1024;

/// When bytes are forced to the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SyncPolicy {
    /// By [`TopicStore::sync`], and before records are delivered.
    #[default]
    OnSync,
    /// Also before every [`TopicStore::append`] returns; appends at the same time share one sync.
    EveryAppend,
    /// Never: the end of the machine may lose or damage the log. For tests and throwaway data.
    Never,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EmbeddedOptions {
    pub sync: SyncPolicy,
    /// A segment that would grow beyond this is followed by a new one.
    pub segment_bytes_max: u64,
}

impl Default for EmbeddedOptions {
    fn default() -> Self {
        Self {
            sync: SyncPolicy::default(),
            segment_bytes_max: SEGMENT_BYTES_MAX_DEFAULT,
        }
    }
}

/// The embedded log. An append is at most 64 MiB, with some bytes for each record and itself.
#[derive(Debug)]
pub struct EmbeddedTopics {
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    topics_folder: PathBuf,
    settings: Arc<Settings>,
    root_lock: Arc<RootLock>,
    /// Held while topics are made, dropped or closed.
    admin_turn: Mutex<()>,
    /// `None` once closed.
    topics: Mutex<Option<BTreeMap<String, Arc<Topic>>>>,
}

struct Settings {
    options: EmbeddedOptions,
    disk: Disk,
    buffers: Arc<Buffers>,
    clock: Box<dyn Fn() -> EventTime + Send + Sync>,
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.options.fmt(f)
    }
}

/// Keeps other processes away for as long as it lives.
#[derive(Debug)]
struct RootLock {
    file: File,
}

impl RootLock {
    fn take(root: &Path) -> Result<Self> {
        let path = root.join("lock");
        let file = File::create(&path).map_err(io_error(&path))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { file }),
            Err(TryLockError::WouldBlock) => Err(Error::Locked {
                path: root.to_owned(),
            }),
            Err(TryLockError::Error(error)) => Err(io_error(&path)(error)),
        }
    }
}

impl EmbeddedTopics {
    /// Opens the log in `root`, or makes one there.
    pub async fn open(root: &Path) -> Result<Self> {
        Self::open_with(root, EmbeddedOptions::default()).await
    }

    pub async fn open_with(root: &Path, options: EmbeddedOptions) -> Result<Self> {
        let settings = Settings {
            options,
            disk: Disk::default(),
            buffers: Arc::default(),
            clock: Box::new(now),
        };
        Self::open_settings(root, settings).await
    }

    async fn open_settings(root: &Path, settings: Settings) -> Result<Self> {
        let root = root.to_owned();
        let state = blocking(move || State::open(&root, settings)).await?;
        Ok(Self {
            state: Arc::new(state),
        })
    }
}

impl State {
    fn open(root: &Path, settings: Settings) -> Result<Self> {
        let topics_folder = root.join(TOPICS_FOLDER);
        fs::create_dir_all(&topics_folder).map_err(io_error(&topics_folder))?;
        let root_lock = Arc::new(RootLock::take(root)?);
        let format = root.join("format");
        if document::read(&format, FORMAT_KIND)?.is_none() {
            document::replace(&settings.disk, &format, FORMAT_KIND, &Vec::new())?;
        }

        let settings = Arc::new(settings);
        let mut topics = BTreeMap::new();
        for entry in fs::read_dir(&topics_folder).map_err(io_error(&topics_folder))? {
            let path = entry.map_err(io_error(&topics_folder))?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if is_valid_name(&name) {
                let (settings, lock) = (Arc::clone(&settings), Arc::clone(&root_lock));
                let topic = Topic::open(path.clone(), &name, settings, lock)?;
                topics.insert(name.into_owned(), Arc::new(topic));
            } else if name.starts_with(".new-") || name.starts_with(".dropped-") {
                fs::remove_dir_all(&path).map_err(io_error(&path))?;
            }
        }
        Ok(Self {
            topics_folder,
            settings,
            root_lock,
            admin_turn: Mutex::new(()),
            topics: Mutex::new(Some(topics)),
        })
    }

    fn find(&self, topic: &str) -> Result<Option<Arc<Topic>>> {
        let topics = lock(&self.topics);
        let topics = topics.as_ref().ok_or(Error::Closed)?;
        Ok(topics.get(topic).map(Arc::clone))
    }

    fn topic(&self, topic: &str) -> Result<Arc<Topic>> {
        self.find(topic)?.ok_or_else(|| Error::UnknownTopic {
            topic: topic.to_owned(),
        })
    }

    fn create(&self, name: &str, config: &TopicConfig) -> Result<()> {
        check_topic_name(name)?;
        if !(1..=PARTITIONS_MAX).contains(&config.partitions) {
            return Err(Error::InvalidPartitions {
                topic: name.to_owned(),
                found: config.partitions,
                partitions_max: PARTITIONS_MAX,
            });
        }
        let _turn = lock(&self.admin_turn);
        if let Some(topic) = self.find(name)? {
            return topic.configure(config);
        }
        let folder = self.topics_folder.join(name);
        topic::create(&self.settings.disk, &folder, name, config)?;
        let (settings, root_lock) = (Arc::clone(&self.settings), Arc::clone(&self.root_lock));
        let topic = Topic::open(folder, name, settings, root_lock)?;
        if let Some(topics) = &mut *lock(&self.topics) {
            topics.insert(name.to_owned(), Arc::new(topic));
        }
        Ok(())
    }

    fn drop_topic(&self, name: &str) -> Result<()> {
        let _turn = lock(&self.admin_turn);
        let Some(topic) = self.find(name)? else {
            return Ok(());
        };
        let folder = self.topics_folder.join(name);
        let dropped = self.topics_folder.join(format!(".dropped-{name}"));
        if dropped.exists() {
            fs::remove_dir_all(&dropped).map_err(io_error(&dropped))?;
        }
        topic.abandon();
        // From here on it is gone, also after a crash; the rest is tidying up.
        fs::rename(&folder, &dropped).map_err(io_error(&folder))?;
        if let Some(topics) = &mut *lock(&self.topics) {
            topics.remove(name);
        }
        self.settings.disk.sync_folder(&self.topics_folder)?;
        fs::remove_dir_all(&dropped).map_err(io_error(&dropped))
    }

    fn close(&self) -> Result<()> {
        let _turn = lock(&self.admin_turn);
        let Some(topics) = lock(&self.topics).take() else {
            return Ok(());
        };
        let closed = topics.values().map(|topic| topic.close());
        let first_error = closed.fold(Ok(()), Result::and);
        let unlocked = self.root_lock.file.unlock();
        first_error.and(unlocked.map_err(io_error(&self.topics_folder)))
    }
}

#[async_trait]
impl TopicStore for EmbeddedTopics {
    async fn create(&self, topic: &str, config: &TopicConfig) -> Result<()> {
        let (state, topic, config) = (Arc::clone(&self.state), topic.to_owned(), config.clone());
        blocking(move || state.create(&topic, &config)).await
    }

    async fn drop_topic(&self, topic: &str) -> Result<()> {
        let (state, topic) = (Arc::clone(&self.state), topic.to_owned());
        blocking(move || state.drop_topic(&topic)).await
    }

    async fn append(&self, topic: &str, appends: Vec<Append>) -> Result<Vec<Appended>> {
        let topic = self.state.topic(topic)?;
        let turn = Arc::clone(&topic.write_turn).lock_owned().await;
        blocking(move || topic.append(appends, turn)).await
    }

    async fn sync(&self, topic: &str) -> Result<()> {
        let topic = self.state.topic(topic)?;
        // Files that sync at the same time share the journal's commits.
        let syncs: Vec<_> = topic
            .partitions
            .iter()
            .filter(|partition| !partition.is_durable())
            .map(Arc::clone)
            .map(|partition| blocking_task(move || partition.make_durable()))
            .collect();
        for sync in syncs {
            finished(sync.await)?;
        }
        Ok(())
    }

    async fn bounds(&self, topic: &str) -> Result<Vec<Bounds>> {
        let topic = self.state.topic(topic)?;
        Ok(topic
            .partitions
            .iter()
            .map(|partition| partition.bounds())
            .collect())
    }

    async fn progress(&self, topic: &str, consumer: &str) -> Result<Positions> {
        self.state.topic(topic)?.progress(consumer)
    }

    async fn subscribe(&self, topic: &str, consumer: &str) -> Result<Box<dyn Subscription>> {
        let topic = self.state.topic(topic)?;
        Ok(Box::new(EmbeddedSubscription::join(topic, consumer)?))
    }

    async fn enforce_retention(&self, topic: &str) -> Result<()> {
        let topic = self.state.topic(topic)?;
        blocking(move || topic.enforce_retention()).await
    }

    async fn close(&self) -> Result<()> {
        let state = Arc::clone(&self.state);
        blocking(move || state.close()).await
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex
        .lock()
        .expect("nothing panics while it holds this lock")
}

fn now() -> EventTime {
    let since_epoch = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    EventTime::from_micros(i64::try_from(since_epoch.as_micros()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests;
