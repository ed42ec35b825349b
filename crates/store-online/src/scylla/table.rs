//! The statements of a table, prepared once.

use std::sync::{Mutex, PoisonError};

use ::scylla::client::session::Session;
use ::scylla::frame::response::result::TableSpec;
use ::scylla::statement::prepared::PreparedStatement;
use twinfold_model::EventTime;

use super::catalog::{path, server_name};
use super::failure::Failure;

#[derive(Debug)]
pub(super) struct Table {
    pub name: String,
    /// As the driver knows it.
    pub spec: TableSpec<'static>,
    /// (timestamp, value, key).
    pub put: PreparedStatement,
    /// (timestamp, key).
    pub delete: PreparedStatement,
    /// The same for timestamps before 1970.
    pub delete_early: PreparedStatement,
    pub read_one: PreparedStatement,
    pub read_many: PreparedStatement,
    pub scan: PreparedStatement,
    /// Keys and event times only.
    pub times: PreparedStatement,
    /// When expired rows were last looked for.
    expired_at: Mutex<Option<EventTime>>,
}

impl Table {
    pub async fn prepare(session: &Session, keyspace: &str, name: &str) -> Result<Self, Failure> {
        let at = path(keyspace, name);
        let put = format!("UPDATE {at} USING TIMESTAMP ? SET value = ? WHERE key = ?");
        let delete = format!("DELETE FROM {at} USING TIMESTAMP ? WHERE key = ?");
        let delete_early = format!("DELETE value FROM {at} USING TIMESTAMP ? WHERE key = ?");
        let read = format!("SELECT key, value, WRITETIME(value) FROM {at}");
        Ok(Self {
            name: name.to_owned(),
            spec: TableSpec::owned(keyspace.to_owned(), server_name(name)),
            put: prepare(session, put).await?,
            delete: prepare(session, delete).await?,
            delete_early: prepare(session, delete_early).await?,
            read_one: prepare(session, format!("{read} WHERE key = ?")).await?,
            read_many: prepare(session, format!("{read} WHERE key IN ?")).await?,
            times: prepare(session, format!("SELECT key, WRITETIME(value) FROM {at}")).await?,
            scan: prepare(session, read).await?,
            expired_at: Mutex::new(None),
        })
    }

    pub fn expired_at(&self) -> Option<EventTime> {
        *self
            .expired_at
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    pub fn note_expired(&self, now: EventTime) {
        *self
            .expired_at
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some(now);
    }
}

async fn prepare(session: &Session, statement: String) -> Result<PreparedStatement, Failure> {
    let mut statement = session.prepare(statement).await?;
    // Timestamps make it so: writing again changes nothing.
    statement.set_is_idempotent(true);
    statement.set_use_cached_result_metadata(true);
    Ok(statement)
}
