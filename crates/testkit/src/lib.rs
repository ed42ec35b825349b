//! What tests and benchmarks share: feature groups, rows with seeds, strategies, services as processes,
//! waiting.
//!
//! A dev-dependency only. Knows `model` and Arrow, so that every other crate can use it; what is
//! wrong panics, because it is wrong in a test. Start with [`groups`] and [`rows()`].

mod committed;
pub mod groups;
mod processes;
pub mod rows;
mod servers;
pub mod strategies;
mod wait;

pub use committed::assert_committed;
pub use groups::{all_types_group, bench_group, group, weather_group};
pub use processes::{HTTP_ADDRESS, ServiceProcess, Signal, free_address, program};
pub use rows::{BENCH_START_US, SplitMix, array, arrow_schema, batch, bench_rows, rows};
pub use servers::{Proxied, Servers, servers};
pub use wait::eventually;

/// A folder that is removed when the value is dropped.
pub fn temp_dir() -> tempfile::TempDir {
    tempfile::Builder::new()
        .prefix("twinfold-test-")
        .tempdir()
        .expect("a temporary folder can be made")
}
