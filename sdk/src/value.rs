use pyo3::IntoPyObjectExt;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{
    PyBool, PyByteArray, PyBytes, PyDate, PyDateTime, PyDict, PyFloat, PyInt, PyList, PyMapping,
    PyMemoryView, PyString, PyTuple, PyType,
};
use twinfold_model::{Error, FeatureType, StructField, Value};

use crate::{error, time};

const SHOWN_CHARS_MAX: usize = 60;

fn decimal_class(py: Python<'_>) -> PyResult<&Bound<'_, PyType>> {
    static CLASS: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    CLASS.import(py, "decimal", "Decimal")
}

/// A Python value as a value of the type `wanted`; exact, except that a `float` feature rounds a
/// Python float, which knows no smaller size.
pub fn typed(value: &Bound<'_, PyAny>, feature: &str, wanted: &FeatureType) -> PyResult<Value> {
    if is_null(value)? {
        return Ok(Value::Null);
    }
    let converted = match convert(value, feature, wanted)? {
        // Scalars of numpy and friends hand out the Python value inside; a few hand out themselves.
        None if is_foreign_scalar(value) && (is_time_type(wanted) || !is_foreign_time(value)) => {
            convert(&value.call_method0("item")?, feature, wanted)?
        }
        converted => converted,
    };
    converted.ok_or_else(|| mismatch(value, feature, &wanted.to_string()))
}

/// `None`, and what pandas has for it. Its types are known by name: pandas need not be there.
fn is_null(value: &Bound<'_, PyAny>) -> PyResult<bool> {
    if value.is_none() {
        return Ok(true);
    }
    let class = value.get_type();
    let name = class.name()?;
    Ok(name == "NAType" || name == "NaTType")
}

fn is_foreign_scalar(value: &Bound<'_, PyAny>) -> bool {
    value.hasattr("item").unwrap_or(false)
        && value.hasattr("dtype").unwrap_or(false)
        && value
            .getattr("shape")
            .is_ok_and(|shape| shape.is_truthy().is_ok_and(|some| !some))
}

/// An instant or span of numpy. In nanoseconds it hands out an int, which does not say what it counts.
fn is_foreign_time(value: &Bound<'_, PyAny>) -> bool {
    value
        .getattr("dtype")
        .and_then(|dtype| dtype.getattr("kind"))
        .is_ok_and(|kind| kind.eq("M").unwrap_or(false) || kind.eq("m").unwrap_or(false))
}

fn is_time_type(wanted: &FeatureType) -> bool {
    matches!(wanted, FeatureType::Date | FeatureType::Timestamp)
}

fn mismatch(value: &Bound<'_, PyAny>, feature: &str, wanted: &str) -> PyErr {
    let class = value
        .get_type()
        .name()
        .map_or_else(|_| String::new(), |name| name.to_string());
    let text = value
        .repr()
        .map_or_else(|_| String::new(), |text| text.to_string());
    let mut shown: String = text.chars().take(SHOWN_CHARS_MAX).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    error::invalid(Error::TypeMismatch {
        feature: feature.to_owned(),
        found: format!("{class} {shown}"),
        wanted: wanted.to_owned(),
        row: None,
    })
}

/// `None` when the value is not of the type.
fn convert(
    value: &Bound<'_, PyAny>,
    feature: &str,
    wanted: &FeatureType,
) -> PyResult<Option<Value>> {
    use FeatureType as T;
    Ok(match wanted {
        T::Boolean => value.extract::<bool>().ok().map(Value::Boolean),
        T::Int => integer(value)
            .and_then(|v| i32::try_from(v).ok())
            .map(Value::Int),
        T::BigInt => integer(value).map(Value::BigInt),
        T::Float => single(value).map(Value::Float),
        T::Double => float(value).map(Value::Double),
        T::Decimal { precision, scale } => decimal(value, *scale)?
            .filter(|v| v.unsigned_abs() < 10_u128.pow((*precision).into()))
            .map(|unscaled| Value::Decimal {
                unscaled,
                scale: *scale,
            }),
        T::String => value
            .cast::<PyString>()
            .ok()
            // Lone surrogates are no text.
            .and_then(|v| v.to_str().ok())
            .map(|text| Value::String(text.to_owned())),
        T::Binary => binary(value)?.map(Value::Binary),
        T::Date if value.is_instance_of::<PyDateTime>() => None,
        T::Date => value
            .cast::<PyDate>()
            .ok()
            .map(|day| Value::Date(time::days_of(day))),
        T::Timestamp => timestamp(value)?.map(Value::Timestamp),
        T::Array(_) | T::Embedding(_) | T::Map(_) | T::Struct(_) => {
            return nested(value, feature, wanted);
        }
    })
}

fn nested(
    value: &Bound<'_, PyAny>,
    feature: &str,
    wanted: &FeatureType,
) -> PyResult<Option<Value>> {
    use FeatureType as T;
    let is_list = is_list(value)?;
    Ok(match wanted {
        T::Array(item) if is_list => {
            let Ok(items) = value.try_iter() else {
                return Ok(None);
            };
            let items = items.map(|v| typed(&v?, feature, item));
            Some(Value::Array(items.collect::<PyResult<_>>()?))
        }
        T::Embedding(length) if is_list => {
            let Ok(items) = value.try_iter() else {
                return Ok(None);
            };
            let items = items.map(|v| match typed(&v?, feature, &T::Float)? {
                Value::Float(v) => Ok(Some(v)),
                _ => Ok(None),
            });
            let items = items.collect::<PyResult<Option<Vec<f32>>>>()?;
            items
                .filter(|v| v.len() == *length as usize)
                .map(Value::Embedding)
        }
        T::Map(item) => {
            let Ok(entries) = value.cast::<PyDict>() else {
                return Ok(None);
            };
            let entries = entries.iter().map(|(key, v)| {
                let text = key.extract();
                let text = text.map_err(|_| mismatch(&key, feature, "strings as keys of a map"))?;
                Ok((text, typed(&v, feature, item)?))
            });
            Some(Value::Map(entries.collect::<PyResult<_>>()?))
        }
        T::Struct(fields) => structure(value, feature, fields)?,
        _ => None,
    })
}

/// What has an order and is neither text nor bytes: lists, tuples, arrays; not mappings and sets.
fn is_list(value: &Bound<'_, PyAny>) -> PyResult<bool> {
    if value.is_instance_of::<PyList>() || value.is_instance_of::<PyTuple>() {
        return Ok(true);
    }
    let is_text = value.is_instance_of::<PyString>()
        || value.is_instance_of::<PyBytes>()
        || value.is_instance_of::<PyByteArray>()
        || value.is_instance_of::<PyMemoryView>();
    Ok(!is_text && value.hasattr("__getitem__")? && value.cast::<PyMapping>().is_err())
}

fn structure(
    value: &Bound<'_, PyAny>,
    feature: &str,
    fields: &[StructField],
) -> PyResult<Option<Value>> {
    let Ok(entries) = value.cast::<PyDict>() else {
        return Ok(None);
    };
    let mut found = 0;
    let mut values = Vec::with_capacity(fields.len());
    for field in fields {
        values.push(match entries.get_item(&field.name)? {
            Some(entry) => {
                found += 1;
                typed(&entry, feature, &field.r#type)?
            }
            None => Value::Null,
        });
    }
    Ok((found == entries.len()).then_some(Value::Struct(values)))
}

fn integer(value: &Bound<'_, PyAny>) -> Option<i64> {
    if value.is_instance_of::<PyBool>() {
        return None;
    }
    value.extract().ok()
}

fn float(value: &Bound<'_, PyAny>) -> Option<f64> {
    if let Ok(value) = value.cast::<PyFloat>() {
        return Some(value.value());
    }
    let exact = 1_i64 << f64::MANTISSA_DIGITS;
    integer(value)
        .filter(|v| (-exact..=exact).contains(v))
        .map(|v| v as f64)
}

/// A Python float is rounded; one that is too large for that is refused, and so is an int that would
/// not stay the same.
fn single(value: &Bound<'_, PyAny>) -> Option<f32> {
    let wide = float(value)?;
    let narrow = wide as f32;
    let is_float = value.is_instance_of::<PyFloat>();
    let fits = narrow.is_finite() || !wide.is_finite();
    (fits && (is_float || f64::from(narrow) == wide)).then_some(narrow)
}

fn binary(value: &Bound<'_, PyAny>) -> PyResult<Option<Vec<u8>>> {
    if let Ok(bytes) = value.cast::<PyBytes>() {
        return Ok(Some(bytes.as_bytes().to_vec()));
    }
    Ok(value.cast::<PyByteArray>().ok().map(|bytes| bytes.to_vec()))
}

fn timestamp(value: &Bound<'_, PyAny>) -> PyResult<Option<i64>> {
    if let Ok(instant) = value.cast::<PyDateTime>() {
        // A Timestamp of pandas is a datetime with nanoseconds, which we would lose.
        let nanos = match value.getattr_opt("nanosecond")? {
            Some(nanos) => nanos.extract::<i64>()?,
            None => 0,
        };
        return if nanos == 0 {
            time::micros_of(instant).map(Some)
        } else {
            Ok(None)
        };
    }
    let day = value.cast::<PyDate>().ok();
    Ok(day.map(|day| i64::from(time::days_of(day)) * 86_400_000_000))
}

/// The digits of a `Decimal` or int at `scale`; `None` when that would lose some.
fn decimal(value: &Bound<'_, PyAny>, scale: u8) -> PyResult<Option<i128>> {
    let (unscaled, found_scale) = if value.is_instance(decimal_class(value.py())?)? {
        match decimal_digits(value)? {
            Some(digits) => digits,
            None => return Ok(None),
        }
    } else {
        match integer(value) {
            Some(whole) => (i128::from(whole), 0),
            None => return Ok(None),
        }
    };
    let shift = i32::from(scale).checked_sub(found_scale);
    let factor = shift.and_then(|shift| 10_i128.checked_pow(shift.unsigned_abs()));
    let (Some(shift), Some(factor)) = (shift, factor) else {
        return Ok(None);
    };
    Ok(if shift >= 0 {
        unscaled.checked_mul(factor)
    } else {
        (unscaled % factor == 0).then_some(unscaled / factor)
    })
}

/// `(unscaled, scale)` of a finite `Decimal`.
fn decimal_digits(value: &Bound<'_, PyAny>) -> PyResult<Option<(i128, i32)>> {
    let (sign, digits, exponent): (u8, Vec<u8>, Bound<'_, PyAny>) =
        value.call_method0("as_tuple")?.extract()?;
    // Not a number and the infinities have letters for an exponent.
    let Ok(exponent) = exponent.extract::<i32>() else {
        return Ok(None);
    };
    let unscaled = digits.iter().try_fold(0_i128, |number, digit| {
        number.checked_mul(10)?.checked_add(i128::from(*digit))
    });
    let signed = unscaled.map(|number| if sign == 1 { -number } else { number });
    Ok(signed.zip(exponent.checked_neg()))
}

/// A Python value by its own type, where no feature says which is wanted: constants of filters.
pub fn natural(value: &Bound<'_, PyAny>, feature: &str) -> PyResult<Value> {
    if is_foreign_scalar(value) {
        let inside = value.call_method0("item")?;
        if is_foreign_time(value) && inside.is_instance_of::<PyInt>() {
            return Err(mismatch(
                value,
                feature,
                "a date, or a datetime of whole microseconds",
            ));
        }
        return plain(&inside, feature);
    }
    plain(value, feature)
}

fn plain(value: &Bound<'_, PyAny>, feature: &str) -> PyResult<Value> {
    use FeatureType as T;
    let class = if value.is_instance_of::<PyBool>() {
        T::Boolean
    } else if value.is_instance_of::<PyInt>() {
        T::BigInt
    } else if value.is_instance_of::<PyFloat>() {
        T::Double
    } else if value.is_instance_of::<PyString>() {
        T::String
    } else if value.is_instance_of::<PyDateTime>() {
        T::Timestamp
    } else if value.is_instance_of::<PyDate>() {
        T::Date
    } else if value.is_instance(decimal_class(value.py())?)? {
        let digits = decimal_digits(value)?.filter(|(_, scale)| (0..=38).contains(scale));
        return match digits {
            Some((unscaled, scale)) => Ok(Value::Decimal {
                unscaled,
                scale: scale as u8,
            }),
            None => Err(mismatch(value, feature, "a finite decimal")),
        };
    } else {
        T::Binary
    };
    match is_null(value)? {
        true => Ok(Value::Null),
        false => typed(value, feature, &class).map_err(|_| {
            mismatch(
                value,
                feature,
                "a bool, int, float, Decimal, str, bytes, date or datetime",
            )
        }),
    }
}

/// A value as Python has it; `type` names the fields of structs.
pub fn to_python<'py>(
    py: Python<'py>,
    value: &Value,
    r#type: Option<&FeatureType>,
) -> PyResult<Bound<'py, PyAny>> {
    use FeatureType as T;
    match value {
        Value::Null => Ok(py.None().into_bound(py)),
        Value::Boolean(v) => v.into_bound_py_any(py),
        Value::Int(v) => v.into_bound_py_any(py),
        Value::BigInt(v) => v.into_bound_py_any(py),
        Value::Float(v) => f64::from(*v).into_bound_py_any(py),
        Value::Double(v) => v.into_bound_py_any(py),
        Value::Decimal { unscaled, scale } => {
            decimal_class(py)?.call1((format!("{unscaled}e-{scale}"),))
        }
        Value::String(v) => v.into_bound_py_any(py),
        Value::Binary(v) => Ok(PyBytes::new(py, v).into_any()),
        Value::Date(days) => Ok(time::date(py, *days)?.into_any()),
        Value::Timestamp(micros) => Ok(time::datetime(py, *micros)?.into_any()),
        Value::Array(items) => {
            let item = match r#type {
                Some(T::Array(item)) => Some(item.as_ref()),
                _ => None,
            };
            let items = items.iter().map(|v| to_python(py, v, item));
            Ok(PyList::new(py, items.collect::<PyResult<Vec<_>>>()?)?.into_any())
        }
        Value::Map(entries) => {
            let item = match r#type {
                Some(T::Map(item)) => Some(item.as_ref()),
                _ => None,
            };
            let dict = PyDict::new(py);
            for (key, v) in entries {
                dict.set_item(key, to_python(py, v, item)?)?;
            }
            Ok(dict.into_any())
        }
        Value::Struct(values) => structure_to_python(py, values, r#type),
        Value::Embedding(v) => Ok(PyList::new(py, v.iter().map(|v| f64::from(*v)))?.into_any()),
    }
}

fn structure_to_python<'py>(
    py: Python<'py>,
    values: &[Value],
    r#type: Option<&FeatureType>,
) -> PyResult<Bound<'py, PyAny>> {
    let Some(FeatureType::Struct(fields)) = r#type else {
        let values = values.iter().map(|v| to_python(py, v, None));
        return Ok(PyList::new(py, values.collect::<PyResult<Vec<_>>>()?)?.into_any());
    };
    let dict = PyDict::new(py);
    for (field, v) in fields.iter().zip(values) {
        dict.set_item(&field.name, to_python(py, v, Some(&field.r#type))?)?;
    }
    Ok(dict.into_any())
}
