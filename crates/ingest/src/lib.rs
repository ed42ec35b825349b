//! Topic to sink: the one consume loop that both materializers share.
//!
//! The loop consumes, checks, batches, writes and commits; what it decides it decides in the pure
//! modules [`admission`] and [`plan`]. It knows no store: a [`Sink`] does the writing. The entry types
//! are [`Supervisor`], which keeps one loop per feature group, and [`Consumer`], one such loop.

pub mod admission;
mod budget;
mod config;
mod consumer;
mod error;
mod following;
mod metrics;
pub mod plan;
mod sink;
mod status;
mod supervisor;

pub use budget::Budget;
pub use config::Config;
pub use consumer::Consumer;
pub use error::{Error, Result};
pub use following::follow_definitions;
pub use plan::{Batch, Limits, Row};
pub use sink::{Sink, SinkError, SinkFactory};
pub use status::{Status, Statuses};
pub use supervisor::Supervisor;
