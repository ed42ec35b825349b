//! Reads from the online store, and any platform over HTTP.
//!
//! [`Vectors`] are feature vectors through plans made once, [`scan`] is whole tables; both know no
//! transport. [`http`] serves a platform, whichever it is, and knows no store.

pub mod http;
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
