//! One Delta table: its newest commit in memory, one writer at a time.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow::datatypes::SchemaRef;
use deltalake_core::checkpoints::create_checkpoint;
use deltalake_core::kernel::transaction::{CommitBuilder, CommitProperties, TransactionError};
use deltalake_core::kernel::{Action, Add, Transaction};
use deltalake_core::logstore::LogStoreRef;
use deltalake_core::operations::create::CreateBuilder;
use deltalake_core::protocol::{DeltaOperation, SaveMode};
use deltalake_core::{DeltaTable, DeltaTableBuilder, DeltaTableError};
use twinfold_model::{Commit, EventTime, Positions};
use url::Url;
use uuid::Uuid;

use super::commit_info::{self, Logged};
use super::data_file::{DataFile, DataFiles, delete_orphan};
use super::folder::{DurableFolder, sync_folder};
use super::{DROPPED_PREFIX, blocking, columns, now};
use crate::{AppendRequest, Error, Result};

/// A cold open reads at most this many commits after a checkpoint.
const CHECKPOINT_INTERVAL_COMMITS: u64 = 50;
/// Commits are never cleaned up, so that every one can be read; files of old ones go by vacuum. The log
/// remembers for this long when a file was taken out.
const PROPERTIES: [(&str, &str); 4] = [
    ("delta.appendOnly", "true"),
    ("delta.enableExpiredLogCleanup", "false"),
    ("delta.logRetentionDuration", "interval 36500 days"),
    ("delta.deletedFileRetentionDuration", "interval 30 days"),
];

#[derive(Debug)]
pub(super) struct Table {
    pub(super) name: String,
    pub(super) folder: PathBuf,
    log: LogStoreRef,
    /// Held by whoever makes a commit or deletes files.
    pub(super) writing: tokio::sync::Mutex<()>,
    slot: Mutex<Slot>,
}

#[derive(Debug, Default)]
struct Slot {
    /// Counts drops: what was loaded before one is not kept after it.
    incarnation: u64,
    head: Option<Arc<Head>>,
}

/// The table at its newest commit.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) delta: DeltaTable,
    pub(super) commit: u64,
    pub(super) committed_at: EventTime,
    pub(super) positions: Positions,
    pub(super) schema: SchemaRef,
}

impl Table {
    pub(super) fn new(root: &Path, name: &str) -> Result<Self> {
        let folder = root.join(name);
        let url = Url::from_directory_path(&folder)
            .map_err(|()| std::io::Error::other(format!("{} is not absolute", root.display())))?;
        let log = DeltaTableBuilder::from_url(url.clone())
            .and_then(|builder| {
                builder
                    .with_storage_backend(Arc::new(DurableFolder::default()), url)
                    .build_storage()
            })
            .map_err(|source| Error::Delta {
                table: name.to_owned(),
                source,
            })?;
        Ok(Self {
            name: name.to_owned(),
            folder,
            log,
            writing: tokio::sync::Mutex::default(),
            slot: Mutex::default(),
        })
    }

    pub(super) async fn create(&self, schema: SchemaRef) -> Result<()> {
        let _writing = self.writing.lock().await;
        match self.head().await {
            Ok(head) => self.evolve(&head, schema).await,
            Err(Error::UnknownTable { .. }) => self.create_empty(schema).await,
            Err(error) => Err(error),
        }
    }

    pub(super) async fn remove(&self) -> Result<()> {
        let _writing = self.writing.lock().await;
        let mut aside = self.folder.clone();
        aside.set_file_name(format!("{DROPPED_PREFIX}{}", Uuid::new_v4()));
        let folder = self.folder.clone();
        // Renamed first: a table is there as a whole or not at all.
        let dropped = blocking(move || {
            std::fs::rename(&folder, &aside)?;
            if let Some(root) = folder.parent() {
                sync_folder(root)?;
            }
            std::fs::remove_dir_all(&aside)
        })
        .await;
        let mut slot = self.slot();
        slot.incarnation += 1;
        slot.head = None;
        match dropped {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            dropped => Ok(dropped?),
        }
    }

    pub(super) async fn append(&self, request: AppendRequest) -> Result<Commit> {
        let _writing = self.writing.lock().await;
        let head = self.head().await?;
        self.refuse_reached(&head.positions, &request.positions)?;
        let transactions = commit_info::transactions(&self.name, &request.positions)?;
        let batches = request
            .batches
            .iter()
            .map(|batch| columns::conform(batch, &head.schema))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|reason| self.mismatch(reason))?;

        let mut writer = DataFiles::new(self.folder.clone(), head.schema.clone());
        let files = blocking(move || {
            for batch in batches {
                writer.write(&batch)?;
            }
            writer.finish()
        })
        .await?;

        let mut commit = self.next_commit(&head);
        commit.positions.merge(&request.positions);
        commit.rows_upserted = request.rows_upserted;
        commit.rows_deleted = request.rows_deleted;
        commit.bytes = files.iter().map(|file| file.bytes).sum();
        let actions = added(&files, &commit, true);
        let operation = DeltaOperation::Write {
            mode: SaveMode::Append,
            partition_by: None,
            predicate: None,
        };
        self.commit(&head, &commit, actions, transactions, operation, &files)
            .await?;
        Ok(commit)
    }

    /// The newest commit, from memory unless the log has gone on without this process.
    pub(super) async fn head(&self) -> Result<Arc<Head>> {
        let (incarnation, known) = {
            let slot = self.slot();
            (slot.incarnation, slot.head.clone())
        };
        let delta = match known {
            None => self.load(None).await?,
            Some(head) if !self.has_commit(head.commit + 1).await? => return Ok(head),
            Some(head) => {
                let mut delta = head.delta.clone();
                let updated = delta.update_incremental(None).await;
                updated.map_err(|source| self.delta_error(source))?;
                delta
            }
        };
        let head = Arc::new(self.read_head(delta).await?);
        let mut slot = self.slot();
        if slot.incarnation == incarnation {
            slot.head = Some(head.clone());
        }
        Ok(head)
    }

    /// The table at a commit, or at the newest.
    pub(super) async fn load(&self, commit: Option<u64>) -> Result<DeltaTable> {
        let mut delta = DeltaTable::new(self.log.clone());
        let exists = delta.verify_deltatable_existence().await;
        if !exists.map_err(|source| self.delta_error(source))? {
            return Err(Error::UnknownTable {
                table: self.name.clone(),
            });
        }
        let loaded = delta.update_incremental(commit).await;
        loaded.map_err(|source| self.delta_error(source))?;
        Ok(delta)
    }

    /// What the commit after `head` is, before it says what it contains.
    pub(super) fn next_commit(&self, head: &Head) -> Commit {
        Commit {
            id: head.commit + 1,
            committed_at: head.committed_at.max(now()),
            rows_upserted: 0,
            rows_deleted: 0,
            bytes: 0,
            positions: head.positions.clone(),
        }
    }

    /// Writes a commit and moves the head to it. When it is certain that it was not written, the new
    /// files are deleted; when it is not, they are left for a vacuum.
    pub(super) async fn commit(
        &self,
        head: &Head,
        commit: &Commit,
        actions: Vec<Action>,
        transactions: Vec<Transaction>,
        operation: DeltaOperation,
        files: &[DataFile],
    ) -> Result<()> {
        let state = head
            .delta
            .snapshot()
            .map_err(|source| self.delta_error(source))?;
        let properties = properties(commit).with_application_transactions(transactions);
        let committed = CommitBuilder::from(properties)
            .with_actions(actions)
            .build(Some(state), self.log.clone(), operation)
            .await;
        match committed {
            Ok(finalized) => {
                let mut delta = head.delta.clone();
                delta.state = Some(finalized.snapshot());
                self.advance(delta, commit, head.schema.clone()).await;
                Ok(())
            }
            Err(source) => {
                self.slot().head = None;
                let error = self.delta_error(source);
                if matches!(error, Error::Conflict { .. }) {
                    for file in files {
                        delete_orphan(&self.folder.join(&file.name));
                    }
                }
                Err(error)
            }
        }
    }

    pub(super) fn delta_error(&self, source: DeltaTableError) -> Error {
        let table = self.name.clone();
        match source {
            DeltaTableError::VersionAlreadyExists(_)
            | DeltaTableError::Transaction {
                source:
                    TransactionError::CommitConflict(_)
                    | TransactionError::MaxCommitAttempts(_)
                    | TransactionError::VersionAlreadyExists(_),
            } => Error::Conflict { table },
            source => Error::Delta { table, source },
        }
    }

    async fn create_empty(&self, schema: SchemaRef) -> Result<()> {
        let fields = columns::delta_columns(schema.fields());
        let commit = Commit {
            id: 0,
            committed_at: now(),
            rows_upserted: 0,
            rows_deleted: 0,
            bytes: 0,
            positions: Positions::new(),
        };
        let interval = CHECKPOINT_INTERVAL_COMMITS.to_string();
        let configuration = PROPERTIES
            .into_iter()
            .chain([("delta.checkpointInterval", interval.as_str())])
            .map(|(key, value)| (key, Some(value)));
        let delta = CreateBuilder::new()
            .with_log_store(self.log.clone())
            .with_table_name(&self.name)
            .with_columns(fields.map_err(|reason| self.mismatch(reason))?)
            .with_configuration(configuration)
            .with_commit_properties(properties(&commit))
            .await
            .map_err(|source| self.delta_error(source))?;
        let folder = self.folder.clone();
        blocking(move || {
            sync_folder(&folder)?;
            folder.parent().map_or(Ok(()), sync_folder)
        })
        .await?;
        self.advance(delta, &commit, schema).await;
        Ok(())
    }

    async fn evolve(&self, head: &Head, wanted: SchemaRef) -> Result<()> {
        let fields = columns::missing_columns(&head.schema, &wanted)
            .and_then(|missing| columns::delta_columns(&missing))
            .map_err(|reason| self.mismatch(reason))?;
        if fields.is_empty() {
            return Ok(());
        }
        let commit = self.next_commit(head);
        let delta = head
            .delta
            .clone()
            .add_columns()
            .with_fields(fields)
            .with_commit_properties(properties(&commit))
            .await
            .map_err(|source| {
                self.slot().head = None;
                self.delta_error(source)
            })?;
        let schema = self.schema_of(&delta)?;
        self.advance(delta, &commit, schema).await;
        Ok(())
    }

    /// Makes a commit of this process the head.
    async fn advance(&self, delta: DeltaTable, commit: &Commit, schema: SchemaRef) {
        if (commit.id + 1).is_multiple_of(CHECKPOINT_INTERVAL_COMMITS)
            && let Err(error) = create_checkpoint(&delta, None).await
        {
            // The commit stands; the next checkpoint covers it.
            tracing::warn!(table = self.name, commit = commit.id, %error, "checkpoint failed");
        }
        self.slot().head = Some(Arc::new(Head {
            delta,
            commit: commit.id,
            committed_at: commit.committed_at,
            positions: commit.positions.clone(),
            schema,
        }));
    }

    async fn read_head(&self, delta: DeltaTable) -> Result<Head> {
        let schema = self.schema_of(&delta)?;
        let commit = delta.version().unwrap_or_default();
        let newest = self.logged(commit).await?;
        let committed_at = newest.commit.committed_at;
        let mut last_of_ours = newest;
        // Another engine may have tidied up the table since.
        while !last_of_ours.is_ours && last_of_ours.commit.id > 0 {
            last_of_ours = self.logged(last_of_ours.commit.id - 1).await?;
        }
        Ok(Head {
            delta,
            commit,
            committed_at: committed_at.max(last_of_ours.commit.committed_at),
            positions: last_of_ours.commit.positions,
            schema,
        })
    }

    pub(super) async fn logged(&self, commit: u64) -> Result<Logged> {
        commit_info::read(&self.name, &self.log, commit).await
    }

    async fn has_commit(&self, commit: u64) -> Result<bool> {
        let file = format!("_delta_log/{commit:020}.json");
        Ok(tokio::fs::try_exists(self.folder.join(file)).await?)
    }

    pub(super) fn schema_of(&self, delta: &DeltaTable) -> Result<SchemaRef> {
        let state = delta
            .snapshot()
            .map_err(|source| self.delta_error(source))?;
        columns::arrow_schema(&state.schema()).map_err(|reason| self.mismatch(reason))
    }

    fn refuse_reached(&self, reached: &Positions, wanted: &Positions) -> Result<()> {
        for (partition, next) in wanted.iter() {
            if let Some(reached) = reached.get(partition).filter(|reached| *reached >= next) {
                return Err(Error::AlreadyCommitted {
                    table: self.name.clone(),
                    partition: partition.0,
                    reached: reached.0,
                    found: next.0,
                });
            }
        }
        Ok(())
    }

    fn mismatch(&self, reason: String) -> Error {
        Error::SchemaMismatch {
            table: self.name.clone(),
            reason,
        }
    }

    fn slot(&self) -> MutexGuard<'_, Slot> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The files as actions of a commit.
pub(super) fn added(files: &[DataFile], commit: &Commit, data_change: bool) -> Vec<Action> {
    files
        .iter()
        .map(|file| {
            Action::Add(Add {
                path: file.name.clone(),
                size: i64::try_from(file.bytes).unwrap_or(i64::MAX),
                modification_time: commit.committed_at.micros() / 1000,
                data_change,
                stats: Some(file.statistics.clone()),
                ..Add::default()
            })
        })
        .collect()
}

/// No retries: a commit is made for the positions that were read, and only follows the commit that had
/// them. No checkpoint: when one fails, the commit still stands.
fn properties(commit: &Commit) -> CommitProperties {
    CommitProperties::default()
        .with_metadata([commit_info::entry(commit)])
        .with_max_retries(0)
        .with_create_checkpoint(false)
        .with_cleanup_expired_logs(Some(false))
}
