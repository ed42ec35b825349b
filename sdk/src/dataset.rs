use std::collections::BTreeMap;

use pyo3::prelude::*;
use pyo3::types::PyDict;
use twinfold_client::DatasetCheck;
use twinfold_model::{
    DatasetFormat, DatasetSource, DatasetSpec, DatasetSplit, EventTime, Name, ProjectName,
    TrainingDataset,
};

use crate::definition::view_id;
use crate::time::Instant;
use crate::{error, query};

/// What a training dataset shall be.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub struct DatasetIn<'py> {
    name: String,
    version: Option<u32>,
    /// One of the two is given.
    query: Option<Bound<'py, PyDict>>,
    view: Option<(String, u32)>,
    labels: Vec<String>,
    csv: bool,
    splits: Vec<(String, f64)>,
    seed: u64,
    start_us: Option<i64>,
    end_us: Option<i64>,
    description: String,
}

impl DatasetIn<'_> {
    pub fn into_model(self, project: &str) -> PyResult<DatasetSpec> {
        let source = match (self.query, self.view) {
            (Some(query), _) => DatasetSource::Query(query::from_python(&query, project)?),
            (None, Some((name, version))) => DatasetSource::View(view_id(project, &name, version)?),
            (None, None) => {
                let message = "a dataset needs a query or a view";
                return Err(pyo3::exceptions::PyValueError::new_err(message));
            }
        };
        let splits = self
            .splits
            .into_iter()
            .map(|(name, share)| DatasetSplit { name, share });
        let spec = DatasetSpec {
            project: ProjectName::new(project).map_err(error::invalid)?,
            name: Name::new("training dataset", self.name).map_err(error::invalid)?,
            version: self.version,
            source,
            labels: self.labels,
            defaults: BTreeMap::new(),
            format: if self.csv {
                DatasetFormat::Csv
            } else {
                DatasetFormat::Parquet
            },
            splits: splits.collect(),
            seed: self.seed,
            event_time_start: self.start_us.map(EventTime::from_micros),
            event_time_end: self.end_us.map(EventTime::from_micros),
            description: self.description,
        };
        spec.validate().map_err(error::invalid)?;
        Ok(spec)
    }
}

/// A training dataset as it was stored.
#[derive(IntoPyObject)]
pub struct DatasetInfo<'py> {
    name: String,
    version: u32,
    query: Bound<'py, PyDict>,
    view: Option<(String, u32)>,
    labels: Vec<String>,
    csv: bool,
    splits: Vec<(String, f64)>,
    seed: u64,
    description: String,
    /// Group, version and commit.
    pins: Vec<(String, u32, u64)>,
    features: Vec<(String, String)>,
    rows: BTreeMap<String, u64>,
    location: String,
    digest: String,
    created_at: Instant,
}

impl<'py> DatasetInfo<'py> {
    pub fn new(py: Python<'py>, dataset: TrainingDataset) -> PyResult<Self> {
        let spec = dataset.spec;
        let pins = dataset.pins.iter();
        let features = dataset.features.into_iter();
        let splits = spec.splits.into_iter();
        Ok(Self {
            name: dataset.name.to_string(),
            version: dataset.version,
            query: query::to_python(py, &dataset.query)?,
            view: match spec.source {
                DatasetSource::View(id) => Some((id.name.to_string(), id.version)),
                DatasetSource::Query(_) => None,
            },
            labels: spec.labels,
            csv: spec.format == DatasetFormat::Csv,
            splits: splits.map(|split| (split.name, split.share)).collect(),
            seed: spec.seed,
            description: spec.description,
            pins: pins
                .map(|pin| (pin.group.name.to_string(), pin.group.version, pin.commit))
                .collect(),
            features: features
                .map(|(name, r#type)| (name, r#type.to_string()))
                .collect(),
            rows: dataset.rows,
            location: dataset.location,
            digest: dataset.digest,
            created_at: Instant(dataset.created_at),
        })
    }
}

/// The digests that [`DatasetCheck`] compares.
#[derive(IntoPyObject)]
pub struct CheckInfo {
    recorded: String,
    files: String,
    rebuilt: String,
}

impl From<DatasetCheck> for CheckInfo {
    fn from(check: DatasetCheck) -> Self {
        Self {
            recorded: check.recorded,
            files: check.files,
            rebuilt: check.rebuilt,
        }
    }
}
