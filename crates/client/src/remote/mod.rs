//! A deployment seen over the network.

mod arrow_stream;
mod following;
mod http;
mod metrics;
mod path;
mod platform;
mod preconditions;
mod quarantine;
mod registry;
mod segment;

pub use following::follow_registry;
pub use platform::RemotePlatform;
pub use registry::RemoteRegistry;
