//! Reads from the online store: feature vectors through plans made once, and whole tables.
//!
//! Knows no transport: whoever serves vectors over a protocol calls [`Vectors`] here. The entry types
//! are [`Vectors`] and [`scan`].

mod plan;
mod scan;
mod vectors;

pub use plan::{GroupPlan, ServingPlan};
pub use scan::scan;
pub use vectors::Vectors;
