//! What a user lives through, told through the platform's interface alone. Each way to run the platform
//! is a test program that says how one is made: `crate::deployment` and `crate::deployment_with`.

mod evolution;
mod history_upkeep;
mod lifecycle;
mod quarantine;
mod read_path;
mod shutdown;
mod time_travel;
mod training;
mod trips;
mod ttl;
mod views;
mod write_path;
