//! One Delta table: its newest commit in memory, one writer at a time.

use std::collections::{BTreeSet, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow::datatypes::SchemaRef;
use deltalake_core::kernel::transaction::{PROTOCOL, TransactionError};
use deltalake_core::logstore::LogStoreRef;
use deltalake_core::{DeltaTable, DeltaTableBuilder, DeltaTableError};
use tokio::sync::OnceCell;
use twinfold_model::{Commit, EventTime, Positions};

use super::Root;
use super::columns;
use super::commit_info::{self, Logged};
use super::place::Place;
use crate::{Error, Result};

#[derive(Debug)]
pub(super) struct Table {
    pub(super) name: String,
    pub(super) place: Place,
    pub(super) log: LogStoreRef,
    /// Held by whoever makes a commit or deletes files.
    pub(super) writing: tokio::sync::Mutex<()>,
    slot: Mutex<Slot>,
}

#[derive(Debug, Default)]
struct Slot {
    /// Counts drops: what was loaded before one is not kept after it.
    incarnation: u64,
    head: Option<Arc<Head>>,
    pinned: Pinned,
}

/// The files of pinned commits. A commit never changes, so each is loaded once.
#[derive(Debug, Clone, Default)]
pub(super) struct Pinned {
    pub(super) commits: BTreeSet<u64>,
    pub(super) files: Arc<HashSet<String>>,
}

/// The table at its newest commit.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) commit: u64,
    pub(super) committed_at: EventTime,
    pub(super) positions: Positions,
    pub(super) schema: SchemaRef,
    /// Why this version of Delta cannot write to the table, if so.
    pub(super) read_only: Option<String>,
    /// The files and all else that a reader needs. Loaded when the first one asks: appends do without, and
    /// to keep it up to date with each commit costs more than to load it once.
    pub(super) state: OnceCell<DeltaTable>,
}

impl Table {
    pub(super) fn new(root: &Root, name: &str) -> Result<Self> {
        let (place, url, store) = root.table(name)?;
        let log = DeltaTableBuilder::from_url(url.clone())
            .and_then(|builder| builder.with_storage_backend(store, url).build_storage())
            .map_err(|source| Error::Delta {
                table: name.to_owned(),
                source,
            })?;
        Ok(Self {
            name: name.to_owned(),
            place,
            log,
            writing: tokio::sync::Mutex::default(),
            slot: Mutex::default(),
        })
    }

    /// The newest commit, from memory unless the log has gone on without this process.
    pub(super) async fn head(&self) -> Result<Arc<Head>> {
        let (incarnation, known) = {
            let slot = self.slot();
            (slot.incarnation, slot.head.clone())
        };
        if let Some(head) = known
            && !self.has_commit(head.commit + 1).await?
        {
            return Ok(head);
        }
        let head = Arc::new(self.read_head().await?);
        let mut slot = self.slot();
        if slot.incarnation == incarnation {
            slot.head = Some(head.clone());
        }
        Ok(head)
    }

    /// Makes a commit of this process the head.
    pub(super) fn set_head(&self, head: Arc<Head>) {
        self.slot().head = Some(head);
    }

    /// The next call reads the head from the log again.
    pub(super) fn forget_head(&self) {
        self.slot().head = None;
    }

    /// Forgets the head, also one that is being read while the table is dropped.
    pub(super) fn forget_incarnation(&self) {
        let mut slot = self.slot();
        slot.incarnation += 1;
        slot.head = None;
        slot.pinned = Pinned::default();
    }

    /// What is known of pinned commits, and of which incarnation.
    pub(super) fn pinned(&self) -> (u64, Pinned) {
        let slot = self.slot();
        (slot.incarnation, slot.pinned.clone())
    }

    pub(super) fn set_pinned(&self, incarnation: u64, pinned: Pinned) {
        let mut slot = self.slot();
        if slot.incarnation == incarnation {
            slot.pinned = pinned;
        }
    }

    pub(super) async fn state<'a>(&self, head: &'a Head) -> Result<&'a DeltaTable> {
        head.state
            .get_or_try_init(|| self.load(Some(head.commit)))
            .await
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

    async fn read_head(&self) -> Result<Head> {
        let delta = self.load(None).await?;
        let state = delta
            .snapshot()
            .map_err(|source| self.delta_error(source))?;
        let schema = self.schema_of(&delta)?;
        let read_only = PROTOCOL.can_write_to(state).err();
        let newest = self.standing(state.version()).await?;
        Ok(Head {
            commit: newest.id,
            committed_at: newest.committed_at,
            positions: newest.positions,
            schema,
            read_only: read_only.map(|error| error.to_string()),
            state: OnceCell::new_with(Some(delta)),
        })
    }

    /// A commit as it stands in the order of all: with the positions of the newest commit of ours up to
    /// it, as another engine that tidied up since tells none, and at the latest time up to it, as the
    /// clock of another engine may be behind. A commit of ours is never before any that it follows.
    pub(super) async fn standing(&self, commit: u64) -> Result<Commit> {
        let Logged {
            mut commit,
            is_ours,
        } = self.logged(commit).await?;
        let (mut id, mut is_reached) = (commit.id, is_ours);
        while !is_reached && id > 0 {
            id -= 1;
            let before = self.logged(id).await?;
            commit.committed_at = commit.committed_at.max(before.commit.committed_at);
            commit.positions = before.commit.positions;
            is_reached = before.is_ours;
        }
        Ok(commit)
    }

    pub(super) async fn logged(&self, commit: u64) -> Result<Logged> {
        commit_info::read(&self.name, &self.log, commit).await
    }

    pub(super) async fn has_commit(&self, commit: u64) -> Result<bool> {
        let file = format!("_delta_log/{commit:020}.json");
        self.place.has(&file).await
    }

    pub(super) fn schema_of(&self, delta: &DeltaTable) -> Result<SchemaRef> {
        let state = delta
            .snapshot()
            .map_err(|source| self.delta_error(source))?;
        columns::arrow_schema(&state.schema()).map_err(|reason| self.mismatch(reason))
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

    pub(super) fn mismatch(&self, reason: String) -> Error {
        Error::SchemaMismatch {
            table: self.name.clone(),
            reason,
        }
    }

    fn slot(&self) -> MutexGuard<'_, Slot> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
