//! The platform over the stores, and any platform over HTTP.
//!
//! [`Vectors`] are feature vectors through plans made once, [`scan`] is whole tables, [`platform`] is all
//! of a platform; none knows a transport. [`http`] serves a platform, whichever it is, and knows no store.
//! [`service`] is both as a process.

mod config;
pub mod http;
mod plan;
pub mod platform;
mod scan;
pub mod service;
mod vectors;

pub use config::TrainingConfig;
pub use plan::{GroupPlan, ServingPlan};
pub use scan::scan;
pub use vectors::Vectors;

fn store_failed(error: twinfold_store_online::Error) -> twinfold_client::Error {
    match error {
        twinfold_store_online::Error::Closed => twinfold_client::Error::Closed,
        other => twinfold_client::Error::dependency("online store", other.retry(), other),
    }
}
