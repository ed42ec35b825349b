use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use twinfold_model::Value;

use super::scalar::{Decimal, Exact, Hex};

/// A value with the type it has: `null`, or an object of one field such as `{"bigint": "42"}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct ValueBody(Option<Tagged>);

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Tagged {
    Boolean(bool),
    Int(i32),
    BigInt(Exact<i64>),
    Float(Exact<f32>),
    Double(Exact<f64>),
    Decimal(Decimal),
    String(String),
    Binary(Hex),
    /// Days since 1970-01-01.
    Date(i32),
    /// Microseconds since 1970-01-01T00:00:00Z.
    Timestamp(Exact<i64>),
    Array(Vec<ValueBody>),
    /// Pairs, because a map keeps its order.
    Map(Vec<(String, ValueBody)>),
    Struct(Vec<ValueBody>),
    Embedding(Vec<Exact<f32>>),
}

impl From<&Value> for ValueBody {
    fn from(value: &Value) -> Self {
        let all = |values: &[Value]| values.iter().map(Self::from).collect();
        Self(Some(match value {
            Value::Null => return Self(None),
            Value::Boolean(v) => Tagged::Boolean(*v),
            Value::Int(v) => Tagged::Int(*v),
            Value::BigInt(v) => Tagged::BigInt(Exact(*v)),
            Value::Float(v) => Tagged::Float(Exact(*v)),
            Value::Double(v) => Tagged::Double(Exact(*v)),
            Value::Decimal { unscaled, scale } => Tagged::Decimal(Decimal {
                unscaled: *unscaled,
                scale: *scale,
            }),
            Value::String(v) => Tagged::String(v.clone()),
            Value::Binary(v) => Tagged::Binary(Hex(v.clone())),
            Value::Date(v) => Tagged::Date(*v),
            Value::Timestamp(v) => Tagged::Timestamp(Exact(*v)),
            Value::Array(v) => Tagged::Array(all(v)),
            Value::Map(v) => Tagged::Map(
                v.iter()
                    .map(|(key, value)| (key.clone(), Self::from(value)))
                    .collect(),
            ),
            Value::Struct(v) => Tagged::Struct(all(v)),
            Value::Embedding(v) => Tagged::Embedding(v.iter().copied().map(Exact).collect()),
        }))
    }
}

/// Every value body is a value; whether it suits a feature is decided where the feature is known.
impl From<ValueBody> for Value {
    fn from(body: ValueBody) -> Self {
        let all = |bodies: Vec<ValueBody>| bodies.into_iter().map(Self::from).collect();
        let Some(tagged) = body.0 else {
            return Self::Null;
        };
        match tagged {
            Tagged::Boolean(v) => Self::Boolean(v),
            Tagged::Int(v) => Self::Int(v),
            Tagged::BigInt(v) => Self::BigInt(v.0),
            Tagged::Float(v) => Self::Float(v.0),
            Tagged::Double(v) => Self::Double(v.0),
            Tagged::Decimal(Decimal { unscaled, scale }) => Self::Decimal { unscaled, scale },
            Tagged::String(v) => Self::String(v),
            Tagged::Binary(v) => Self::Binary(v.0),
            Tagged::Date(v) => Self::Date(v),
            Tagged::Timestamp(v) => Self::Timestamp(v.0),
            Tagged::Array(v) => Self::Array(all(v)),
            Tagged::Map(v) => Self::Map(
                v.into_iter()
                    .map(|(key, value)| (key, Self::from(value)))
                    .collect(),
            ),
            Tagged::Struct(v) => Self::Struct(all(v)),
            Tagged::Embedding(v) => Self::Embedding(v.into_iter().map(|v| v.0).collect()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::rest::samples;

    #[test]
    fn values_stand_with_their_type() {
        for (value, json) in [
            (Value::Null, "null"),
            (Value::Boolean(true), r#"{"boolean":true}"#),
            (Value::Int(-3), r#"{"int":-3}"#),
            (
                Value::BigInt(9_007_199_254_740_993),
                r#"{"bigint":"9007199254740993"}"#,
            ),
            (Value::Float(0.1), r#"{"float":"0.1"}"#),
            (Value::Double(f64::INFINITY), r#"{"double":"inf"}"#),
            (
                Value::Decimal {
                    unscaled: -1250,
                    scale: 2,
                },
                r#"{"decimal":"-12.50"}"#,
            ),
            (Value::String("é".to_owned()), r#"{"string":"é"}"#),
            (Value::Binary(vec![0, 255]), r#"{"binary":"00ff"}"#),
            (Value::Date(1), r#"{"date":1}"#),
            (Value::Timestamp(5), r#"{"timestamp":"5"}"#),
            (
                Value::Array(vec![Value::Null, Value::Int(1)]),
                r#"{"array":[null,{"int":1}]}"#,
            ),
            (
                Value::Map(vec![("k".to_owned(), Value::Null)]),
                r#"{"map":[["k",null]]}"#,
            ),
            (
                Value::Struct(vec![Value::Int(1)]),
                r#"{"struct":[{"int":1}]}"#,
            ),
            (
                Value::Embedding(vec![1.0, f32::NEG_INFINITY]),
                r#"{"embedding":["1","-inf"]}"#,
            ),
        ] {
            let body = ValueBody::from(&value);
            assert_eq!(serde_json::to_string(&body).expect("serializable"), json);
            let read: ValueBody = serde_json::from_str(json).expect(json);
            assert_eq!(Value::from(read), value);
        }
    }

    #[test]
    fn nan_is_a_value() {
        let json = serde_json::to_string(&ValueBody::from(&Value::Double(f64::NAN)));
        assert_eq!(json.expect("serializable"), r#"{"double":"NaN"}"#);
        let read: ValueBody = serde_json::from_str(r#"{"double":"NaN"}"#).expect("readable");
        assert!(matches!(Value::from(read), Value::Double(v) if v.is_nan()));
    }

    #[test]
    fn a_value_without_its_type_is_refused() {
        for json in ["1", "\"a\"", r#"{"integer":1}"#, r#"{"int":1,"date":1}"#] {
            assert!(serde_json::from_str::<ValueBody>(json).is_err(), "{json}");
        }
    }

    proptest! {
        #[test]
        fn every_value_reads_back(value in samples::value()) {
            let json = serde_json::to_string(&ValueBody::from(&value)).expect("serializable");
            let read: ValueBody = serde_json::from_str(&json).expect("readable");
            prop_assert_eq!(Value::from(read), value);
        }
    }
}
