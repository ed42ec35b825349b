//! How a table comes to be, gains columns and goes.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use deltalake_core::DeltaTable;
use deltalake_core::kernel::transaction::CommitProperties;
use deltalake_core::operations::create::CreateBuilder;
use tokio::sync::OnceCell;
use twinfold_model::{Commit, Positions};

use super::append::CHECKPOINT_INTERVAL_COMMITS;
use super::table::{Head, Table};
use super::{columns, commit_info, now};
use crate::{Error, Result};

/// Commits are never cleaned up, so that every one can be read; files of old ones go by vacuum. The log
/// remembers for this long when a file was taken out, or each checkpoint would name all there ever were;
/// the file itself remembers for longer, see `maintenance::mark_taken_out`.
const PROPERTIES: [(&str, &str); 4] = [
    ("delta.appendOnly", "true"),
    ("delta.enableExpiredLogCleanup", "false"),
    ("delta.logRetentionDuration", "interval 36500 days"),
    ("delta.deletedFileRetentionDuration", "interval 30 days"),
];

impl Table {
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
        let removed = self.place.remove().await;
        self.forget_incarnation();
        removed
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
        self.place.sync().await?;
        self.set_head(Arc::new(head_of(delta, commit, schema)));
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
        let delta = self
            .state(head)
            .await?
            .clone()
            .add_columns()
            .with_fields(fields)
            .with_commit_properties(properties(&commit))
            .await
            .map_err(|source| {
                self.forget_head();
                self.delta_error(source)
            })?;
        let schema = self.schema_of(&delta)?;
        self.advance(Arc::new(head_of(delta, commit, schema))).await;
        Ok(())
    }
}

fn head_of(delta: DeltaTable, commit: Commit, schema: SchemaRef) -> Head {
    Head {
        commit: commit.id,
        committed_at: commit.committed_at,
        positions: commit.positions,
        schema,
        read_only: None,
        state: OnceCell::new_with(Some(delta)),
    }
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
