//! Constants: what a filter compares with, what stands in for a missing feature.

use crate::{Error, FeatureType, Result, Value, coercion};

/// A constant as a value of the type of the column that it is compared with, or as it is where the
/// column widens to it: a float column compares with a double.
pub fn comparable(value: Value, feature: &str, column: &FeatureType) -> Result<Value> {
    use FeatureType as T;
    let invalid = |reason: String| Err(Error::InvalidQuery { reason });
    if value.is_null() {
        return invalid(format!(
            "filter on `{feature}` compares with null, which is never true; ask whether it is null instead"
        ));
    }
    if matches!(
        column,
        T::Array(_) | T::Map(_) | T::Struct(_) | T::Embedding(_)
    ) {
        return invalid(format!(
            "filter on `{feature}`: values of type {column} cannot be compared"
        ));
    }
    let widens = wide_type(&value).is_some_and(|wide| coercion(feature, column, &wide).is_ok());
    match constant(value.clone(), feature, column) {
        Err(_) if widens => Ok(value),
        other => other,
    }
}

/// A constant as a value of a feature's type. It has no width of its own: a small whole number counts
/// as an int, which every wider type takes in, also a double.
pub fn constant(value: Value, feature: &str, wanted: &FeatureType) -> Result<Value> {
    let smallest = match value {
        Value::BigInt(number) => i32::try_from(number).map_or(value, Value::Int),
        other => other,
    };
    smallest.coerced_to(feature, wanted)
}

/// The type of a constant that is wider than a column of another type may be.
pub fn wide_type(value: &Value) -> Option<FeatureType> {
    match value {
        Value::BigInt(_) => Some(FeatureType::BigInt),
        Value::Double(_) => Some(FeatureType::Double),
        Value::Timestamp(_) => Some(FeatureType::Timestamp),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_constant_takes_the_type_of_its_column_or_keeps_a_wider_one() {
        use FeatureType as T;
        let whole = Value::BigInt(3);
        assert_eq!(comparable(whole.clone(), "f", &T::Int), Ok(Value::Int(3)));
        assert_eq!(comparable(whole, "f", &T::Double), Ok(Value::Double(3.0)));
        let half = Value::Double(0.5);
        assert_eq!(comparable(half.clone(), "f", &T::Float), Ok(half.clone()));
        let large = Value::BigInt(1 << 40);
        assert_eq!(comparable(large.clone(), "f", &T::Int), Ok(large));
        assert!(comparable(half.clone(), "f", &T::String).is_err());
        assert!(constant(half, "f", &T::Float).is_err());
        assert!(comparable(Value::Null, "f", &T::Int).is_err());
    }
}
