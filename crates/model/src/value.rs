use crate::{Error, FeatureType, Result};

/// One value of a feature: a default, a key part, a filter constant, an entry of a feature vector.
///
/// Equality is that of floating-point numbers: NaN equals nothing, so neither does a feature group with a
/// default of NaN. Whether two definitions have the same features is for
/// [`feature_difference`](crate::feature_difference) to say.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Null,
    Boolean(bool),
    Int(i32),
    BigInt(i64),
    Float(f32),
    Double(f64),
    /// `unscaled / 10^scale`.
    Decimal {
        unscaled: i128,
        scale: u8,
    },
    String(String),
    Binary(Vec<u8>),
    /// Days since 1970-01-01.
    Date(i32),
    /// Microseconds since 1970-01-01T00:00:00Z.
    Timestamp(i64),
    Array(Vec<Value>),
    Map(Vec<(String, Value)>),
    /// In the order of the struct's fields.
    Struct(Vec<Value>),
    Embedding(Vec<f32>),
}

const DAY_US: i64 = 86_400_000_000;

impl Value {
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// This value as a `wanted` one: itself, or widened by the coercion table.
    ///
    /// Integers may also narrow when the value fits, because a literal carries no type of its own.
    pub fn coerced_to(self, feature: &str, wanted: &FeatureType) -> Result<Self> {
        use FeatureType as T;
        let mismatch = |found: &Value| Error::TypeMismatch {
            feature: feature.to_owned(),
            found: found.describe(),
            wanted: wanted.to_string(),
            row: None,
        };
        Ok(match (self, wanted) {
            (Self::Null, _) => Self::Null,
            (v @ Self::Boolean(_), T::Boolean)
            | (v @ Self::Int(_), T::Int)
            | (v @ Self::BigInt(_), T::BigInt)
            | (v @ Self::Float(_), T::Float)
            | (v @ Self::Double(_), T::Double)
            | (v @ Self::String(_), T::String)
            | (v @ Self::Binary(_), T::Binary)
            | (v @ Self::Date(_), T::Date)
            | (v @ Self::Timestamp(_), T::Timestamp) => v,
            (Self::Int(v), T::BigInt) => Self::BigInt(v.into()),
            (Self::Int(v), T::Double) => Self::Double(v.into()),
            (Self::Float(v), T::Double) => Self::Double(v.into()),
            (Self::Date(v), T::Timestamp) => {
                let micros = i64::from(v).checked_mul(DAY_US);
                Self::Timestamp(micros.ok_or_else(|| mismatch(&Self::Date(v)))?)
            }
            (Self::BigInt(v), T::Int) => {
                Self::Int(i32::try_from(v).map_err(|_| mismatch(&Self::BigInt(v)))?)
            }
            (
                Self::Decimal { unscaled, scale },
                T::Decimal {
                    precision,
                    scale: wanted_scale,
                },
            ) if scale == *wanted_scale && digits(unscaled) <= u32::from(*precision) => {
                Self::Decimal { unscaled, scale }
            }
            (Self::Embedding(v), T::Embedding(length)) if v.len() == *length as usize => {
                Self::Embedding(v)
            }
            (Self::Array(items), T::Array(item)) => Self::Array(
                items
                    .into_iter()
                    .map(|v| v.coerced_to(feature, item))
                    .collect::<Result<_>>()?,
            ),
            (Self::Map(entries), T::Map(item)) => Self::Map(
                entries
                    .into_iter()
                    .map(|(key, v)| Ok((key, v.coerced_to(feature, item)?)))
                    .collect::<Result<_>>()?,
            ),
            (Self::Struct(values), T::Struct(fields)) if values.len() == fields.len() => {
                Self::Struct(
                    values
                        .into_iter()
                        .zip(fields)
                        .map(|(v, field)| v.coerced_to(feature, &field.r#type))
                        .collect::<Result<_>>()?,
                )
            }
            (found, _) => return Err(mismatch(&found)),
        })
    }

    /// The value and its type, for error messages; long values are cut.
    pub fn describe(&self) -> String {
        match self {
            Self::Null => "null".to_owned(),
            Self::Boolean(v) => format!("boolean {v}"),
            Self::Int(v) => format!("int {v}"),
            Self::BigInt(v) => format!("bigint {v}"),
            Self::Float(v) => format!("float {v}"),
            Self::Double(v) => format!("double {v}"),
            Self::Decimal { unscaled, scale } => format!("decimal {unscaled}e-{scale}"),
            Self::String(v) => format!("string {:?}", v.chars().take(40).collect::<String>()),
            Self::Binary(v) => format!("binary of {} bytes", v.len()),
            Self::Date(v) => format!("date (day {v})"),
            Self::Timestamp(v) => format!("timestamp ({v} µs)"),
            Self::Array(v) => format!("array of {} items", v.len()),
            Self::Map(v) => format!("map of {} entries", v.len()),
            Self::Struct(v) => format!("struct of {} fields", v.len()),
            Self::Embedding(v) => format!("embedding({})", v.len()),
        }
    }
}

fn digits(unscaled: i128) -> u32 {
    unscaled
        .unsigned_abs()
        .checked_ilog10()
        .map_or(1, |log| log + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_widen_and_fitting_integers_narrow() {
        let double = FeatureType::Double;
        assert_eq!(
            Value::Int(3).coerced_to("f", &double),
            Ok(Value::Double(3.0))
        );
        assert_eq!(
            Value::BigInt(7).coerced_to("f", &FeatureType::Int),
            Ok(Value::Int(7))
        );
        assert_eq!(
            Value::Date(1).coerced_to("f", &FeatureType::Timestamp),
            Ok(Value::Timestamp(86_400_000_000))
        );
    }

    #[test]
    fn what_does_not_fit_names_the_feature_and_the_value() {
        let error = Value::BigInt(1 << 40)
            .coerced_to("age", &FeatureType::Int)
            .expect_err("too large")
            .to_string();
        assert_eq!(
            error,
            "feature `age`: found bigint 1099511627776, wanted int"
        );
        let decimal = FeatureType::Decimal {
            precision: 3,
            scale: 1,
        };
        assert!(
            Value::Decimal {
                unscaled: 999,
                scale: 1
            }
            .coerced_to("d", &decimal)
            .is_ok()
        );
        assert!(
            Value::Decimal {
                unscaled: 1000,
                scale: 1
            }
            .coerced_to("d", &decimal)
            .is_err()
        );
    }
}
