//! Topic to sink: the one consume loop that both materializers share.
//!
//! The loop consumes, checks, batches, writes and commits; what it decides it decides in the pure
//! modules [`admission`] and [`plan`]. It knows no store: a [`Sink`] does the writing. While it writes a
//! batch, `intake` takes the next one in, and `writer` sees the first one through. The entry types are
//! [`Supervisor`], which keeps one loop per feature group, and [`Consumer`], one such loop.

pub mod admission;
mod budget;
mod config;
mod consumer;
mod ending;
mod error;
mod intake;
mod metrics;
pub mod plan;
mod sink;
mod status;
mod supervisor;
mod writer;

pub use budget::Budget;
pub use config::{Config, MaintenanceConfig, TopicConfig};
pub use consumer::Consumer;
pub use error::{Error, Result};
pub use plan::{Batch, Limits, Row};
pub use sink::{Sink, SinkError, SinkFactory};
pub use status::{Status, Statuses};
pub use supervisor::Supervisor;
