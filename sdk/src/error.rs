use pyo3::prelude::*;
use pyo3::types::PyDict;
use twinfold_client::Error;
use twinfold_model as model;
use twinfold_wire as wire;

use crate::definition::QuarantinedRow;

/// The module that defines every exception a user sees.
const EXCEPTIONS: &str = "twinfold.exceptions";

/// A failure of the platform as an exception of the package.
pub fn to_python(error: Error) -> PyErr {
    Python::attach(|py| exception(py, error).unwrap_or_else(|failure| failure))
}

/// A definition or a value that the model refuses.
pub fn invalid(error: model::Error) -> PyErr {
    to_python(Error::Invalid(error))
}

/// A column that cannot be a feature.
pub fn unsupported(error: wire::Error) -> PyErr {
    match error {
        wire::Error::Model(error) => invalid(error),
        wire::Error::UnsupportedColumn {
            column,
            found,
            wanted,
        } => invalid(model::Error::TypeMismatch {
            feature: column,
            found,
            wanted,
            row: None,
        }),
        other => to_python(Error::Internal(other.to_string())),
    }
}

/// Rows that are not valid Arrow data.
pub fn arrow(error: &arrow::error::ArrowError) -> PyErr {
    invalid(model::Error::TypeMismatch {
        feature: "dataframe".to_owned(),
        found: error.to_string(),
        wanted: "readable Arrow data".to_owned(),
        row: None,
    })
}

/// The source of a dataframe failed while it was read.
pub fn source(error: &arrow::error::ArrowError) -> PyErr {
    let message = format!("the dataframe's source failed while it was read: {error}");
    Python::attach(|py| {
        build(py, "SourceError", &message, PyDict::new(py)).unwrap_or_else(|failure| failure)
    })
}

/// A connection was used in a process that was forked from the one that opened it.
pub fn after_fork() -> PyErr {
    const MESSAGE: &str = "this connection was opened before the process was forked and belongs to \
                           the parent; open one in the child after the parent has closed its own, \
                           or start processes with `spawn`";
    Python::attach(|py| {
        build(py, "ForkError", MESSAGE, PyDict::new(py)).unwrap_or_else(|failure| failure)
    })
}

fn build(py: Python<'_>, class: &str, message: &str, fields: Bound<'_, PyDict>) -> PyResult<PyErr> {
    let class = py.import(EXCEPTIONS)?.getattr(class)?;
    Ok(PyErr::from_value(class.call((message,), Some(&fields))?))
}

fn exception(py: Python<'_>, error: Error) -> PyResult<PyErr> {
    let message = error.to_string();
    let fields = PyDict::new(py);
    let class = match error {
        Error::Invalid(error) => return invalid_exception(py, error, &message),
        Error::NotFound { what, name, .. } => {
            fields.set_item("what", what)?;
            fields.set_item("name", name)?;
            "NotFoundError"
        }
        Error::AlreadyExists { what, name, .. } => {
            fields.set_item("what", what)?;
            fields.set_item("name", name)?;
            "AlreadyExistsError"
        }
        Error::InUse { what, name, .. } => {
            fields.set_item("what", what)?;
            fields.set_item("name", name)?;
            "InUseError"
        }
        Error::NotReady { group, .. } => {
            fields.set_item("group", group)?;
            "NotReadyError"
        }
        Error::Busy { .. } => "BusyError",
        Error::Timeout { .. } => "WaitTimeoutError",
        Error::Quarantined { group, records } => {
            let rows: Vec<QuarantinedRow> = records.into_iter().map(Into::into).collect();
            fields.set_item("group", group.to_string())?;
            fields.set_item("records", rows)?;
            "QuarantinedRowsError"
        }
        Error::MissingRow {
            group,
            key,
            presence,
        } => {
            fields.set_item("group", group.to_string())?;
            fields.set_item("key", key)?;
            fields.set_item("presence", presence)?;
            "MissingRowError"
        }
        Error::TooLarge {
            bytes, bytes_max, ..
        } => {
            fields.set_item("bytes", bytes)?;
            fields.set_item("bytes_max", bytes_max)?;
            "TooLargeError"
        }
        Error::Locked { path, .. } => {
            fields.set_item("path", path)?;
            "LockedError"
        }
        Error::NewerFormat {
            path,
            found,
            supported,
        } => {
            fields.set_item("path", path)?;
            fields.set_item("found", found)?;
            fields.set_item("supported", supported)?;
            "NewerFormatError"
        }
        Error::Closed => "ClosedError",
        Error::Dependency { retry, .. } => {
            fields.set_item("retry", retry)?;
            "StoreError"
        }
        // Nothing that the package asks for is tied to a state.
        Error::Stale { .. } | Error::Internal(_) => "InternalError",
    };
    build(py, class, &message, fields)
}

fn invalid_exception(py: Python<'_>, error: model::Error, message: &str) -> PyResult<PyErr> {
    use model::Error as E;
    let fields = PyDict::new(py);
    let class = match error {
        E::TypeMismatch {
            feature,
            found,
            wanted,
            row,
        } => {
            fields.set_item("feature", feature)?;
            fields.set_item("found", found)?;
            fields.set_item("wanted", wanted)?;
            fields.set_item("row", row)?;
            "SchemaMismatchError"
        }
        E::UnknownFeature { feature, known, .. } => {
            fields.set_item("feature", feature)?;
            fields.set_item("known", known)?;
            "UnknownFeatureError"
        }
        E::IncompatibleEvolution { next_version, .. } => {
            fields.set_item("next_version", next_version)?;
            "IncompatibleEvolutionError"
        }
        E::InvalidName { .. }
        | E::InvalidType { .. }
        | E::InvalidFeatureGroup { .. }
        | E::InvalidFeatureView { .. }
        | E::InvalidQuery { .. }
        | E::InvalidDataset { .. }
        | E::InvalidConfig { .. }
        | E::NotReplayable { .. } => "InvalidDefinitionError",
    };
    build(py, class, message, fields)
}
