//! Topic to Delta: appends every version of every row, exactly once.
//!
//! Positions are committed with the rows, so a restart reads from the table where to go on. The entry
//! type is [`OfflineSinks`], which an [`ingest::Supervisor`](twinfold_ingest::Supervisor) drives. Beside
//! it, [`Upkeep`] keeps the tables in few files, when [`HistoryMaintenance`] says so.

mod append;
mod history;
mod maintenance;
mod metrics;
pub mod service;
mod upkeep;

pub use append::OfflineSinks;
pub use maintenance::HistoryMaintenance;
pub use upkeep::{Upkeep, UpkeepConfig};

/// The name under which progress is committed.
pub const CONSUMER: &str = twinfold_client::OFFLINEFS;
