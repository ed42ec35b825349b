use pyo3::IntoPyObjectExt;
use pyo3::exceptions::PyKeyError;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use twinfold_model::{AsOf, EventTime, Join, JoinKind, Query, Selection};

use crate::definition::group_id;
use crate::filter;

/// An entry that the package always sets.
pub fn field<'py>(dict: &Bound<'py, PyDict>, name: &str) -> PyResult<Bound<'py, PyAny>> {
    dict.get_item(name)?
        .ok_or_else(|| PyKeyError::new_err(name.to_owned()))
}

/// A query as the package writes it: plain dicts of the shape of the model.
pub fn from_python(query: &Bound<'_, PyDict>, project: &str) -> PyResult<Query> {
    let joins = field(query, "joins")?
        .try_iter()?
        .map(|join| join_from(join?.cast()?, project));
    let filter: Option<Bound<'_, PyDict>> = field(query, "filter")?.extract()?;
    Ok(Query {
        left: selection_from(field(query, "left")?.cast()?, project)?,
        joins: joins.collect::<PyResult<_>>()?,
        filter: filter
            .map(|filter| filter::from_python(&filter))
            .transpose()?,
    })
}

fn join_from(join: &Bound<'_, PyDict>, project: &str) -> PyResult<Join> {
    let is_inner: bool = field(join, "inner")?.extract()?;
    Ok(Join {
        right: selection_from(field(join, "right")?.cast()?, project)?,
        on: field(join, "on")?.extract()?,
        kind: if is_inner {
            JoinKind::Inner
        } else {
            JoinKind::Left
        },
        prefix: field(join, "prefix")?.extract()?,
    })
}

fn selection_from(selection: &Bound<'_, PyDict>, project: &str) -> PyResult<Selection> {
    let (name, version): (String, u32) = field(selection, "group")?.extract()?;
    Ok(Selection {
        group: group_id(project, &name, version)?,
        features: field(selection, "features")?.extract()?,
        as_of: as_of(
            field(selection, "as_of_commit")?.extract()?,
            field(selection, "as_of_us")?.extract()?,
        ),
    })
}

/// A commit, a time of commit, or neither.
pub fn as_of(commit: Option<u64>, micros: Option<i64>) -> Option<AsOf> {
    let time = micros.map(|micros| AsOf::Time(EventTime::from_micros(micros)));
    commit.map(AsOf::Commit).or(time)
}

/// The inverse of [`from_python`].
pub fn to_python<'py>(py: Python<'py>, query: &Query) -> PyResult<Bound<'py, PyDict>> {
    let mut joins = Vec::with_capacity(query.joins.len());
    for join in &query.joins {
        let dict = PyDict::new(py);
        dict.set_item("right", selection_to(py, &join.right)?)?;
        dict.set_item("on", join.on.clone())?;
        dict.set_item("inner", join.kind == JoinKind::Inner)?;
        dict.set_item("prefix", join.prefix.as_deref())?;
        joins.push(dict);
    }
    let condition = match &query.filter {
        Some(condition) => filter::to_python(py, condition)?.into_any(),
        None => py.None().into_bound_py_any(py)?,
    };
    let dict = PyDict::new(py);
    dict.set_item("left", selection_to(py, &query.left)?)?;
    dict.set_item("joins", joins)?;
    dict.set_item("filter", condition)?;
    Ok(dict)
}

fn selection_to<'py>(py: Python<'py>, selection: &Selection) -> PyResult<Bound<'py, PyDict>> {
    let (commit, micros) = match selection.as_of {
        Some(AsOf::Commit(id)) => (Some(id), None),
        Some(AsOf::Time(time)) => (None, Some(time.micros())),
        None => (None, None),
    };
    let group = &selection.group;
    let dict = PyDict::new(py);
    dict.set_item("group", (group.name.as_str(), group.version))?;
    dict.set_item("features", selection.features.clone())?;
    dict.set_item("as_of_commit", commit)?;
    dict.set_item("as_of_us", micros)?;
    Ok(dict)
}
