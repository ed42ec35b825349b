//! The registry over a real metadata store and over topics and tables that fail on demand.

mod control_plane;
mod definitions;
mod foreign;
mod http;
mod life_cycle;
mod pins;
mod schema_registry;
mod world;
