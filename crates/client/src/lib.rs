//! The platform seen from outside: definitions, rows in, rows out.
//!
//! [`Platform`] is everything the SDK does; embedded and remote platforms implement it and nothing
//! else differs. [`Definitions`] is the little that consumers and readers need of the registry,
//! [`ControlPlane`] all of it.
//! [`Writer`] encodes rows and appends them to the topic; it knows no service. [`remote`] is all of it over
//! HTTP.

mod bodies;
mod control_plane;
mod definitions;
mod error;
mod error_body;
mod expected;
pub mod known;
mod platform;
mod progress;
mod receipt;
pub mod remote;
mod statistics;
mod writer;

pub use control_plane::{
    ControlPlane, DatasetReservation, Deletion, FeatureGroups, FeatureViews, Quarantine,
    REPLAY_CLAIMED_FOR, RESERVED_FOR, TrainingDatasets,
};
pub use definitions::{Definitions, GroupDefinition, WriterSchema};
pub use error::{Error, Fault, Result};
pub use expected::{Expected, revision};
pub use platform::{
    BatchStream, Catalog, DatasetCheck, Entry, IngestProgress, Ingestion, Platform, ReadRequest,
    Reading, Serving, ServingRequest, ServingSource, Spine, VectorOptions, VectorReader,
    check_passed, first_quarantined, newest_commits,
};
pub use progress::{OFFLINEFS, ONLINEFS, append_failed, ends, topic_failed};
pub use receipt::{Receipt, WaitTarget, new_ingestion_id};
pub use statistics::no_statistics;
pub use writer::{OnProgress, Writer};
