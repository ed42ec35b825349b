use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};
use twinfold_client::{self as client, Entry, VectorOptions};
use twinfold_model::{FeatureType, FeatureVector, Value};

use crate::runtime::{Connection, ProcessBound};
use crate::time::Instant;
use crate::value;

type Named = (String, FeatureType);

/// Vectors of one feature view or training dataset.
#[pyclass(frozen, module = "twinfold")]
pub struct VectorReader {
    // Before the connection, inside which it lives.
    reader: ProcessBound<Arc<dyn client::VectorReader>>,
    connection: Arc<Connection>,
}

impl VectorReader {
    pub fn new(connection: Arc<Connection>, reader: Arc<dyn client::VectorReader>) -> Self {
        Self {
            reader: ProcessBound::new(reader),
            connection,
        }
    }

    fn read(
        &self,
        py: Python<'_>,
        entries: &[Entry],
        passed: &[Entry],
        options: VectorOptions,
    ) -> PyResult<Vec<FeatureVector>> {
        // Asked first: after a fork not even the future may be made.
        self.connection.platform()?;
        let reading = self.reader.vectors(entries, passed, options);
        self.connection.wait(py, reading)
    }

    fn entry(&self, entry: &Bound<'_, PyDict>) -> PyResult<Entry> {
        to_entry(entry, self.reader.serving_keys())
    }

    fn passed(&self, passed: &Bound<'_, PyDict>) -> PyResult<Entry> {
        to_entry(passed, self.reader.features())
    }

    fn to_list<'py>(
        &self,
        py: Python<'py>,
        vector: &FeatureVector,
    ) -> PyResult<Bound<'py, PyList>> {
        let list = PyList::empty(py);
        for (v, (_, r#type)) in vector.values.iter().zip(self.reader.features()) {
            list.append(value::to_python(py, v, Some(r#type))?)?;
        }
        Ok(list)
    }
}

/// For results that have no place for a presence.
fn plain(allow_missing: bool) -> VectorOptions {
    VectorOptions {
        allow_missing,
        allow_error: false,
    }
}

/// Names that `known` lacks keep their natural types; the platform then says what is wrong with them.
fn to_entry(entry: &Bound<'_, PyDict>, known: &[Named]) -> PyResult<Entry> {
    let mut converted = Entry::new();
    for (name, v) in entry.iter() {
        let name: String = name.extract()?;
        let v: Value = match known.iter().find(|(candidate, _)| *candidate == name) {
            Some((_, r#type)) => value::typed(&v, &name, r#type)?,
            None => value::natural(&v, &name)?,
        };
        converted.insert(name, v);
    }
    Ok(converted)
}

/// What one group contributed: name, version, presence, event time.
type Contribution = (String, u32, &'static str, Option<Instant>);

fn contributions(vector: &FeatureVector) -> Vec<Contribution> {
    let groups = vector.groups.iter().map(|found| {
        (
            found.group.name.to_string(),
            found.group.version,
            found.presence.as_str(),
            found.event_time.map(Instant),
        )
    });
    groups.collect()
}

#[pymethods]
impl VectorReader {
    /// Names and types of a vector's entries.
    #[getter]
    fn features(&self) -> Vec<(String, String)> {
        texts(self.reader.features())
    }

    /// Names and types of the keys of an entry.
    #[getter]
    fn serving_keys(&self) -> Vec<(String, String)> {
        texts(self.reader.serving_keys())
    }

    fn vector<'py>(
        &self,
        py: Python<'py>,
        entry: &Bound<'py, PyDict>,
        passed: Option<&Bound<'py, PyDict>>,
        allow_missing: bool,
    ) -> PyResult<Bound<'py, PyList>> {
        let entries = [self.entry(entry)?];
        let options = plain(allow_missing);
        let vectors = match passed {
            None => self.read(py, &entries, &[], options)?,
            Some(passed) => self.read(py, &entries, &[self.passed(passed)?], options)?,
        };
        self.to_list(py, &vectors[0])
    }

    fn vectors<'py>(
        &self,
        py: Python<'py>,
        entries: Vec<Bound<'py, PyDict>>,
        passed: Vec<Bound<'py, PyDict>>,
        allow_missing: bool,
    ) -> PyResult<Bound<'py, PyList>> {
        let vectors = self.read_all(py, &entries, &passed, plain(allow_missing))?;
        let lists = vectors.iter().map(|vector| self.to_list(py, vector));
        PyList::new(py, lists.collect::<PyResult<Vec<_>>>()?)
    }

    /// Each vector with what each group contributed.
    fn detailed_vectors<'py>(
        &self,
        py: Python<'py>,
        entries: Vec<Bound<'py, PyDict>>,
        passed: Vec<Bound<'py, PyDict>>,
        allow_missing: bool,
    ) -> PyResult<Vec<Bound<'py, PyTuple>>> {
        let options = VectorOptions {
            allow_missing,
            allow_error: true,
        };
        let vectors = self.read_all(py, &entries, &passed, options)?;
        let detailed = vectors
            .iter()
            .map(|vector| (self.to_list(py, vector)?, contributions(vector)).into_pyobject(py));
        detailed.collect()
    }
}

impl VectorReader {
    fn read_all(
        &self,
        py: Python<'_>,
        entries: &[Bound<'_, PyDict>],
        passed: &[Bound<'_, PyDict>],
        options: VectorOptions,
    ) -> PyResult<Vec<FeatureVector>> {
        let entries = entries.iter().map(|entry| self.entry(entry));
        let entries = entries.collect::<PyResult<Vec<_>>>()?;
        let passed = passed.iter().map(|passed| self.passed(passed));
        let passed = passed.collect::<PyResult<Vec<_>>>()?;
        self.read(py, &entries, &passed, options)
    }
}

fn texts(named: &[Named]) -> Vec<(String, String)> {
    named
        .iter()
        .map(|(name, r#type)| (name.clone(), r#type.to_string()))
        .collect()
}
