//! The registry over a real metadata store and over topics and tables that fail on demand.

mod definitions;
mod life_cycle;
mod pins;
mod schema_registry;
mod world;
