//! Training data: queries over histories, correct at each point in time, and the datasets made of them.
//!
//! A [`Plan`] is a query checked against its groups, without I/O. [`execute`] runs it over pinned
//! tables and gives rows in an order that depends on nothing else, so that [`write_dataset`] can be
//! repeated to the same digest. The crate knows neither the registry nor where tables come from.

mod filter;
mod plan;

mod changes;
mod execute;
mod history;
mod keys;
mod literal;
mod pit_join;
mod spine;

mod dataset;
mod error;

pub use changes::changes;
pub use dataset::{
    DatasetDigest, DatasetPlace, SplitDigest, WHOLE_SPLIT, Written, digest_files, digest_rows,
    read_dataset, verify, write_dataset,
};
pub use error::{Error, Result};
pub use execute::{Options, Rows, Source, Spine, execute};
pub use plan::{Column, Plan, SpineSchema};

#[cfg(test)]
mod tests;
