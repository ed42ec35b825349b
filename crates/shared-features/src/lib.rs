//! No code: one place that names the features of third-party crates which the workspace needs.
//!
//! Cargo enables the features that the crates being built ask for together. A test of one crate
//! asks for fewer than the Python extension does, and would compile DataFusion and Delta once more
//! with those. `store-offline` depends on this crate, so that whatever contains DataFusion is built
//! with the same features, whichever crate is built or tested. Nothing here is used by name.
