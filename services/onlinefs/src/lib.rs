//! Topic to online store: keeps the newest row of every key readable.
//!
//! Stateless: what it knows it reads from the topic, the registry and the store. The entry type is
//! [`OnlineSinks`], which an [`ingest::Supervisor`](twinfold_ingest::Supervisor) drives.

mod expiry;
pub mod service;
mod upsert;

pub use expiry::Expiry;
pub use upsert::OnlineSinks;

/// The name under which progress is committed.
pub const CONSUMER: &str = twinfold_client::ONLINEFS;
