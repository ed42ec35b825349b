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

fn store_failed(error: twinfold_store_online::Error) -> twinfold_client::Error {
    match error {
        twinfold_store_online::Error::Closed => twinfold_client::Error::Closed,
        other => twinfold_client::Error::dependency("online store", other.retry(), other),
    }
}
