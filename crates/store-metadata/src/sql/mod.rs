//! The statements, and how rows are read: written once, compiled for each database.
//!
//! SQLite and PostgreSQL understand the same statements when placeholders are `$1`, `$2`, … and values
//! are 64-bit integers, text and bytes. sqlx ties a statement to its database by types, though, and a
//! function that is generic over these needs half a page of bounds. So this folder is a module of each
//! backend instead, and `super` is that backend: it says what its `Database` and its `Store` are, and
//! its store can `read` and `write`. What knows no database lies outside of the folder and is compiled
//! once: `columns`, `migrations` and `preconditions`.

pub(super) mod changes;
mod feature_groups;
mod feature_views;
pub(super) mod history;
mod idempotency_keys;
mod projects;
mod quarantine;
mod schemas;
mod subject_settings;
mod training_datasets;

use super::{Database, Store};

type Connection = <Database as sqlx::Database>::Connection;
type Row = <Database as sqlx::Database>::Row;
