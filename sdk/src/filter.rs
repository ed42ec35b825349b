use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};
use twinfold_model::{CompareOp, Filter, Value};

use crate::definition::feature_type;
use crate::query::field;
use crate::value;

const COMPARISONS: [(&str, CompareOp); 6] = [
    ("==", CompareOp::Equal),
    ("!=", CompareOp::NotEqual),
    ("<", CompareOp::Less),
    ("<=", CompareOp::LessOrEqual),
    (">", CompareOp::Greater),
    (">=", CompareOp::GreaterOrEqual),
];

/// A condition as the package writes it: nested dicts, each with its `op`.
pub fn from_python(filter: &Bound<'_, PyDict>) -> PyResult<Filter> {
    let op: String = field(filter, "op")?.extract()?;
    let operand = |name: &str| -> PyResult<Box<Filter>> {
        Ok(Box::new(from_python(field(filter, name)?.cast()?)?))
    };
    match op.as_str() {
        "and" => return Ok(Filter::And(operand("left")?, operand("right")?)),
        "or" => return Ok(Filter::Or(operand("left")?, operand("right")?)),
        "not" => return Ok(Filter::Not(operand("operand")?)),
        _ => {}
    }
    let feature: String = field(filter, "feature")?.extract()?;
    if op == "is_null" {
        return Ok(Filter::IsNull { feature });
    }
    let type_name: Option<String> = field(filter, "type")?.extract()?;
    let wanted = type_name.as_deref().map(feature_type).transpose()?;
    let constant = |constant: &Bound<'_, PyAny>| -> PyResult<Value> {
        match &wanted {
            Some(wanted) => value::typed(constant, &feature, wanted),
            None => value::natural(constant, &feature),
        }
    };
    if op == "in" {
        let values = field(filter, "values")?.try_iter()?.map(|v| constant(&v?));
        let values = values.collect::<PyResult<_>>()?;
        return Ok(Filter::In { feature, values });
    }
    let compared = COMPARISONS.iter().find(|(text, _)| *text == op);
    let Some((_, op)) = compared else {
        let message = format!("unknown comparison {op}");
        return Err(pyo3::exceptions::PyValueError::new_err(message));
    };
    let value = constant(&field(filter, "value")?)?;
    Ok(Filter::Compare {
        feature,
        op: *op,
        value,
    })
}

/// The inverse of [`from_python`]; constants come back without their features' types.
pub fn to_python<'py>(py: Python<'py>, filter: &Filter) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    match filter {
        Filter::Compare { feature, op, value } => {
            let text = COMPARISONS.iter().find(|(_, candidate)| candidate == op);
            dict.set_item("op", text.expect("every comparison is listed").0)?;
            dict.set_item("feature", feature)?;
            dict.set_item("value", value::to_python(py, value, None)?)?;
            dict.set_item("type", py.None())?;
        }
        Filter::In { feature, values } => {
            let values = values.iter().map(|v| value::to_python(py, v, None));
            dict.set_item("op", "in")?;
            dict.set_item("feature", feature)?;
            dict.set_item(
                "values",
                PyList::new(py, values.collect::<PyResult<Vec<_>>>()?)?,
            )?;
            dict.set_item("type", py.None())?;
        }
        Filter::IsNull { feature } => {
            dict.set_item("op", "is_null")?;
            dict.set_item("feature", feature)?;
        }
        Filter::Not(operand) => {
            dict.set_item("op", "not")?;
            dict.set_item("operand", to_python(py, operand)?)?;
        }
        Filter::And(left, right) | Filter::Or(left, right) => {
            let is_and = matches!(filter, Filter::And(..));
            dict.set_item("op", if is_and { "and" } else { "or" })?;
            dict.set_item("left", to_python(py, left)?)?;
            dict.set_item("right", to_python(py, right)?)?;
        }
    }
    Ok(dict)
}
