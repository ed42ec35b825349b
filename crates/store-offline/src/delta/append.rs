//! Commits: rows with their positions, or files in place of others.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use deltalake_core::checkpoints::create_checkpoint;
use deltalake_core::kernel::transaction::CommitData;
use deltalake_core::kernel::{Action, Add, Transaction};
use deltalake_core::logstore::{CommitOrBytes, LogStore};
use deltalake_core::protocol::{DeltaOperation, SaveMode};
use tokio::sync::OnceCell;
use twinfold_model::{Commit, Positions};
use uuid::Uuid;

use super::data_file::{DataFile, DataFiles};
use super::table::{Head, Table};
use super::{blocking, columns, commit_info, now};
use crate::{AppendRequest, Error, Result};

/// A cold open reads at most this many commits after a checkpoint.
pub(super) const CHECKPOINT_INTERVAL_COMMITS: u64 = 50;

impl Table {
    pub(super) async fn append(&self, request: AppendRequest) -> Result<Commit> {
        let _writing = self.writing.lock().await;
        let head = self.head().await?;
        self.check_writable(&head)?;
        self.refuse_reached(&head.positions, &request.positions)?;
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
        let data = commit_data(&commit, actions, operation, transactions);
        self.commit(&head, &commit, data, &files).await?;
        Ok(commit)
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

    /// Writes a commit and moves the head to it. The write takes the place after the head or fails, so
    /// that what was decided from the head holds. When it is certain that nothing was written, the new
    /// files are deleted; when it is not, they are left for a vacuum.
    pub(super) async fn commit(
        &self,
        head: &Head,
        commit: &Commit,
        data: CommitData,
        files: &[DataFile],
    ) -> Result<()> {
        let bytes = data
            .get_bytes()
            .map_err(|error| self.delta_error(error.into()))?;
        let entry = CommitOrBytes::LogBytes(bytes.clone());
        let written = self
            .log
            .write_commit_entry(commit.id, entry, Uuid::new_v4());
        if let Err(error) = written.await {
            match self.outcome(commit.id, &bytes).await {
                Outcome::Written => {}
                Outcome::Missing => {
                    self.forget_head();
                    self.place.delete_orphans(files).await;
                    return Err(self.delta_error(error.into()));
                }
                Outcome::Unknown => {
                    self.forget_head();
                    return Err(self.delta_error(error.into()));
                }
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
        Ok(())
    }

    /// Whether a commit that failed is there all the same: an answer can be lost, and a request that was
    /// tried again finds its own first attempt in the way. No two commits have the same bytes.
    async fn outcome(&self, commit: u64, bytes: &Bytes) -> Outcome {
        match self.log.read_commit_entry(commit).await {
            Ok(Some(found)) if found == *bytes => Outcome::Written,
            Ok(_) => Outcome::Missing,
            Err(_) => Outcome::Unknown,
        }
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
}

/// What is known of a commit whose write has failed.
enum Outcome {
    Written,
    Missing,
    Unknown,
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
