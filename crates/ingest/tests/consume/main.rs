//! Consumers over the embedded log, with a sink that writes only when it is let.

mod budget;
mod metrics;
mod world;
