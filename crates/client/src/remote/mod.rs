//! A deployment seen over the network.

mod arrow_stream;
mod http;
mod platform;
mod registry;
mod segment;

pub use platform::RemotePlatform;
pub use registry::RemoteRegistry;
