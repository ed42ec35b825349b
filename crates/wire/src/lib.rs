//! Every byte that leaves a process, encoded and decoded side by side, versioned.
//!
//! `record` is the row on the topic, `row` the key and value of an online row, `rest` the JSON bodies,
//! `arrow_stream` rows over HTTP.
//! No I/O, no clock. Golden files in `golden/` hold examples of each version; bytes written once stay
//! readable for ever. The formats are described in `docs/wire-format.md`.

pub mod arrow_stream;
mod error;
pub mod record;
pub mod rest;
pub mod row;
mod slices;

pub use error::{Error, Result};
