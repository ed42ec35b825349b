//! The native half of the Python package: definitions, rows and vectors across the border, no logic.
//!
//! One file per class. Everything that decides something lives in the platform behind
//! [`twinfold_client::Platform`]; everything that reads well to people lives in `python/twinfold`.
//! The module is private to the package: its classes call themselves `twinfold.…`.

mod dataset;
mod definition;
mod error;
mod filter;
mod platform;
mod query;
mod receipt;
mod rows;
mod runtime;
mod statistics;
mod time;
mod value;
mod vector_reader;

#[pyo3::pymodule]
mod _core {
    #[pymodule_export]
    use crate::platform::{Platform, open_embedded, open_remote};
    #[pymodule_export]
    use crate::receipt::Receipt;
    #[pymodule_export]
    use crate::rows::Rows;
    #[pymodule_export]
    use crate::vector_reader::VectorReader;

    #[pymodule_export]
    const VERSION: &str = env!("CARGO_PKG_VERSION");
}
