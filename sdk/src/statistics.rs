use std::collections::BTreeMap;

use pyo3::prelude::*;
use twinfold_model::{ColumnStatistics, DatasetStatistics, SplitStatistics, Value};

use crate::value;

/// What the columns of a training dataset hold.
#[derive(IntoPyObject)]
pub struct StatisticsInfo<'py> {
    whole: SplitInfo<'py>,
    splits: BTreeMap<String, SplitInfo<'py>>,
}

#[derive(IntoPyObject)]
pub struct SplitInfo<'py> {
    rows: u64,
    columns: Vec<ColumnInfo<'py>>,
}

#[derive(IntoPyObject)]
pub struct ColumnInfo<'py> {
    name: String,
    nulls: u64,
    nans: u64,
    infinities: u64,
    min: Option<Bound<'py, PyAny>>,
    max: Option<Bound<'py, PyAny>>,
    mean: Option<f64>,
    standard_deviation: Option<f64>,
    distinct_values: Option<u64>,
    length_min: Option<u64>,
    length_max: Option<u64>,
}

impl<'py> StatisticsInfo<'py> {
    pub fn new(py: Python<'py>, statistics: DatasetStatistics) -> PyResult<Self> {
        let splits = statistics.splits.into_iter();
        Ok(Self {
            whole: SplitInfo::new(py, statistics.whole)?,
            splits: splits
                .map(|(name, split)| Ok((name, SplitInfo::new(py, split)?)))
                .collect::<PyResult<_>>()?,
        })
    }
}

impl<'py> SplitInfo<'py> {
    fn new(py: Python<'py>, split: SplitStatistics) -> PyResult<Self> {
        let columns = split.columns.into_iter();
        Ok(Self {
            rows: split.rows,
            columns: columns
                .map(|column| ColumnInfo::new(py, column))
                .collect::<PyResult<_>>()?,
        })
    }
}

impl<'py> ColumnInfo<'py> {
    fn new(py: Python<'py>, column: ColumnStatistics) -> PyResult<Self> {
        let bound = |bound: Option<Value>| {
            let bound = bound.map(|bound| value::to_python(py, &bound, None));
            bound.transpose()
        };
        Ok(Self {
            name: column.name,
            nulls: column.nulls,
            nans: column.nans,
            infinities: column.infinities,
            min: bound(column.min)?,
            max: bound(column.max)?,
            mean: column.mean,
            standard_deviation: column.standard_deviation,
            distinct_values: column.distinct_values,
            length_min: column.length_min,
            length_max: column.length_max,
        })
    }
}
