//! The whole crate over tables in memory, against an oracle that knows nothing of its operators.

mod datasets;
mod delta;
mod fixtures;
mod oracle;
mod queries;
mod spine;
mod statistics;

pub(crate) use fixtures::{group, join, query, select};
