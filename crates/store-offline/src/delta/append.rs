//! Commits: rows with their positions, or files in place of others.

use std::collections::HashMap;
use std::sync::Arc;

use deltalake_core::checkpoints::create_checkpoint;
use deltalake_core::kernel::transaction::CommitData;
use deltalake_core::kernel::{Action, Add, Transaction};
use deltalake_core::logstore::{CommitOrBytes, LogStore};
use deltalake_core::protocol::{DeltaOperation, SaveMode};
use tokio::sync::OnceCell;
use twinfold_model::{Commit, Offset, Positions};
use uuid::Uuid;

use super::data_file::{DataFile, DataFiles};
use super::table::{Head, Table};
use super::{blocking, columns, commit_info, now};
use crate::{AppendRequest, Error, Result};

/// A cold open reads at most this many commits after a checkpoint.
pub(super) const CHECKPOINT_INTERVAL_COMMITS: u64 = 50;
/// So often a commit is tried when other writers of the table are faster.
pub(super) const COMMIT_ATTEMPTS_MAX: u32 = 10;

impl Table {
    pub(super) async fn append(&self, request: AppendRequest) -> Result<Commit> {
        let _writing = self.writing.lock().await;
        let head = self.head_for(&request).await?;
        let transactions = commit_info::transactions(&self.name, &request.positions)?;
        let batches = request
            .batches
            .iter()
            .map(|batch| columns::conform(batch, &head.schema))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|reason| self.mismatch(reason))?;

        let drafts = self.place.drafts()?;
        let mut writer = DataFiles::new(drafts.folder.clone(), head.schema.clone());
        let files = blocking(move || {
            for batch in batches {
                writer.write(&batch)?;
            }
            writer.finish()
        })
        .await?;
        self.place.publish(&drafts, &files).await?;
        self.commit_rows(head, &request, &files, transactions).await
    }

    /// The newest commit, if the rows may follow it.
    async fn head_for(&self, request: &AppendRequest) -> Result<Arc<Head>> {
        let head = self.head().await?;
        self.check_writable(&head)?;
        self.refuse_contained(&head.positions, request)?;
        Ok(head)
    }

    /// Commits files of rows. When another writer was faster, their place is checked once more and the
    /// commit tried again: the files need not be written a second time.
    async fn commit_rows(
        &self,
        mut head: Arc<Head>,
        request: &AppendRequest,
        files: &[DataFile],
        transactions: Vec<Transaction>,
    ) -> Result<Commit> {
        let schema = head.schema.clone();
        let mut attempts_left = COMMIT_ATTEMPTS_MAX;
        loop {
            let commit = self.rows_after(&head, request, files);
            let actions = added(files, &commit, true);
            let operation = DeltaOperation::Write {
                mode: SaveMode::Append,
                partition_by: None,
                predicate: None,
            };
            let data = commit_data(&commit, actions, operation, transactions.clone());
            attempts_left -= 1;
            let newer = match self.write_commit(&head, &commit, data).await {
                Outcome::Written => return Ok(commit),
                Outcome::Unknown(error) => return Err(error),
                Outcome::Missing(Error::Conflict { .. }) if attempts_left > 0 => {
                    self.head_for(request).await
                }
                Outcome::Missing(error) => Err(error),
            };
            head = match newer {
                Ok(newer) if newer.schema == schema => newer,
                other => {
                    self.place.delete_orphans(files).await;
                    // Files of another schema are written anew.
                    let conflict = |_| Error::Conflict {
                        table: self.name.clone(),
                    };
                    return Err(other.map_or_else(|error| error, conflict));
                }
            };
        }
    }

    fn rows_after(&self, head: &Head, request: &AppendRequest, files: &[DataFile]) -> Commit {
        let mut commit = self.next_commit(head);
        commit.positions.merge(&request.positions);
        commit.rows_upserted = request.rows_upserted;
        commit.rows_deleted = request.rows_deleted;
        commit.bytes = files.iter().map(|file| file.bytes).sum();
        commit
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

    /// Writes a commit and moves the head to it.
    ///
    /// The write takes the place after the head or fails, so that what was decided from the head holds.
    ///
    /// One that failed can be there all the same: an answer can be lost, and a request that was tried
    /// again finds its own first attempt in the way. No two commits have the same bytes. And one that is
    /// not there can come yet, when a server carries the request out long after nobody waits for it: only
    /// another commit in its place keeps it out.
    pub(super) async fn write_commit(
        &self,
        head: &Head,
        commit: &Commit,
        data: CommitData,
    ) -> Outcome {
        let bytes = match data.get_bytes() {
            Ok(bytes) => bytes,
            Err(error) => return Outcome::Missing(self.delta_error(error.into())),
        };
        let entry = CommitOrBytes::LogBytes(bytes.clone());
        let written = self
            .log
            .write_commit_entry(commit.id, entry, Uuid::new_v4());
        if let Err(error) = written.await {
            let error = self.delta_error(error.into());
            let outcome = match self.log.read_commit_entry(commit.id).await {
                Ok(Some(found)) if found == bytes => Outcome::Written,
                Ok(None) if self.place.may_write_late() => Outcome::Unknown(error),
                Ok(_) => Outcome::Missing(error),
                Err(_) => Outcome::Unknown(error),
            };
            if !matches!(outcome, Outcome::Written) {
                self.forget_head();
                return outcome;
            }
        }
        self.advance(Arc::new(Head {
            commit: commit.id,
            committed_at: commit.committed_at,
            positions: commit.positions.clone(),
            schema: head.schema.clone(),
            read_only: None,
            state: OnceCell::new(),
        }))
        .await;
        Outcome::Written
    }

    /// Makes a commit of this process the head.
    pub(super) async fn advance(&self, head: Arc<Head>) {
        self.set_head(head.clone());
        if !(head.commit + 1).is_multiple_of(CHECKPOINT_INTERVAL_COMMITS) {
            return;
        }
        let checkpoint = async {
            let state = self.state(&head).await?;
            create_checkpoint(state, None)
                .await
                .map_err(|source| self.delta_error(source))
        };
        if let Err(error) = checkpoint.await {
            // The commit stands; the next checkpoint covers it.
            tracing::warn!(table = self.name, commit = head.commit, %error, "checkpoint failed");
        }
    }

    pub(super) fn check_writable(&self, head: &Head) -> Result<()> {
        match &head.read_only {
            Some(reason) => Err(self.mismatch(format!("cannot be written to: {reason}"))),
            None => Ok(()),
        }
    }

    fn refuse_contained(&self, contained: &Positions, request: &AppendRequest) -> Result<()> {
        for (partition, next) in request.positions.iter() {
            let follows = request.follows.get(partition).unwrap_or(Offset::ZERO);
            let reached = contained.get(partition).unwrap_or(Offset::ZERO);
            if reached > follows {
                return Err(Error::AlreadyCommitted {
                    table: self.name.clone(),
                    partition: partition.0,
                    reached: reached.0,
                    follows: follows.0,
                    found: next.0,
                });
            }
        }
        Ok(())
    }
}

/// What is known of a commit after its write.
pub(super) enum Outcome {
    Written,
    /// It is certainly not there, for this reason. Its new files are to be deleted.
    Missing(Error),
    /// Its new files are left for a vacuum.
    Unknown(Error),
}

pub(super) fn commit_data(
    commit: &Commit,
    actions: Vec<Action>,
    operation: DeltaOperation,
    transactions: Vec<Transaction>,
) -> CommitData {
    let info = HashMap::from([commit_info::entry(commit)]);
    CommitData::new(actions, operation, info, transactions)
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
