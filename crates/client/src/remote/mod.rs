//! A deployment seen over the network.

mod arrow_stream;
mod http;
mod platform;
mod registry;

pub use platform::RemotePlatform;
pub use registry::RemoteRegistry;
