//! What a user lives through, told through the platform's interface alone.

mod evolution;
mod history_upkeep;
mod lifecycle;
mod quarantine;
mod read_path;
mod write_path;
