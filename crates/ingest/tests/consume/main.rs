//! Consumers over the embedded log, with a sink that writes only when it is let.

mod budget;
mod evolution;
mod metrics;
mod overlap;
mod restart;
mod script;
mod shutdown;
mod world;
