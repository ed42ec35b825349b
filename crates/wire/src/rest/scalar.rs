use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A number that stands as text, because JSON readers round numbers of this width.
///
/// Read from a JSON number too, when that is how someone typed it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Exact<T>(pub T);

/// Numbers that [`Exact`] carries.
pub trait ExactNumber: fmt::Display + FromStr {
    const WANTED: &'static str;
    fn from_i64(number: i64) -> Option<Self>;
    fn from_f64(number: f64) -> Option<Self>;
}

impl ExactNumber for i64 {
    const WANTED: &'static str = "a 64-bit integer as text";

    fn from_i64(number: i64) -> Option<Self> {
        Some(number)
    }

    fn from_f64(_: f64) -> Option<Self> {
        None
    }
}

impl ExactNumber for f64 {
    const WANTED: &'static str = "a number as text, \"NaN\", \"inf\" or \"-inf\"";

    fn from_i64(number: i64) -> Option<Self> {
        let rounded = number as f64;
        (rounded as i128 == i128::from(number)).then_some(rounded)
    }

    fn from_f64(number: f64) -> Option<Self> {
        Some(number)
    }
}

impl ExactNumber for f32 {
    const WANTED: &'static str = "a 32-bit number as text, \"NaN\", \"inf\" or \"-inf\"";

    fn from_i64(number: i64) -> Option<Self> {
        let rounded = number as f32;
        (rounded as i128 == i128::from(number)).then_some(rounded)
    }

    fn from_f64(number: f64) -> Option<Self> {
        let rounded = number as f32;
        (rounded.is_finite() || !number.is_finite()).then_some(rounded)
    }
}

impl<T: ExactNumber> Serialize for Exact<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de, T: ExactNumber> Deserialize<'de> for Exact<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ExactVisitor(PhantomData))
    }
}

struct ExactVisitor<T>(PhantomData<T>);

impl<T: ExactNumber> Visitor<'_> for ExactVisitor<T> {
    type Value = Exact<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::WANTED)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
        text.parse()
            .map(Exact)
            .map_err(|_| E::invalid_value(de::Unexpected::Str(text), &self))
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Self::Value, E> {
        T::from_i64(number)
            .map(Exact)
            .ok_or_else(|| E::invalid_value(de::Unexpected::Signed(number), &self))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Self::Value, E> {
        i64::try_from(number)
            .ok()
            .and_then(T::from_i64)
            .map(Exact)
            .ok_or_else(|| E::invalid_value(de::Unexpected::Unsigned(number), &self))
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<Self::Value, E> {
        T::from_f64(number)
            .map(Exact)
            .ok_or_else(|| E::invalid_value(de::Unexpected::Float(number), &self))
    }
}

/// Bytes as lower-case hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hex(pub Vec<u8>);

impl Serialize for Hex {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = String::with_capacity(self.0.len() * 2);
        for byte in &self.0 {
            text.push(char::from(DIGITS[usize::from(byte >> 4)]));
            text.push(char::from(DIGITS[usize::from(byte & 15)]));
        }
        serializer.serialize_str(&text)
    }
}

impl<'de> Deserialize<'de> for Hex {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        let wanted = || de::Error::custom("wanted bytes as an even number of hexadecimal digits");
        let digit = |byte: u8| char::from(byte).to_digit(16).ok_or_else(wanted);
        if text.len() % 2 != 0 {
            return Err(wanted());
        }
        text.as_bytes()
            .chunks_exact(2)
            .map(|pair| Ok((digit(pair[0])? * 16 + digit(pair[1])?) as u8))
            .collect::<Result<_, _>>()
            .map(Hex)
    }
}

/// An exact decimal as text: `"-12.50"` is -1250 at scale 2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decimal {
    pub unscaled: i128,
    pub scale: u8,
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.unscaled < 0 { "-" } else { "" };
        let scale = usize::from(self.scale);
        let digits = format!(
            "{:0>width$}",
            self.unscaled.unsigned_abs(),
            width = scale + 1
        );
        let (whole, fraction) = digits.split_at(digits.len() - scale);
        let point = if scale == 0 { "" } else { "." };
        write!(f, "{sign}{whole}{point}{fraction}")
    }
}

impl FromStr for Decimal {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wanted = || format!("`{text}` is not a decimal: wanted digits such as \"-12.50\"");
        let unsigned = text.strip_prefix('-').unwrap_or(text);
        let (whole, fraction) = match unsigned.split_once('.') {
            Some((_, "")) => return Err(wanted()),
            Some(parts) => parts,
            None => (unsigned, ""),
        };
        let digits = [whole, fraction].concat();
        if whole.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(wanted());
        }
        let sign = if text.starts_with('-') { "-" } else { "" };
        Ok(Self {
            unscaled: format!("{sign}{digits}").parse().map_err(|_| wanted())?,
            scale: u8::try_from(fraction.len()).map_err(|_| wanted())?,
        })
    }
}

impl Serialize for Decimal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Decimal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <std::borrow::Cow<'de, str>>::deserialize(deserializer)?
            .parse()
            .map_err(de::Error::custom)
    }
}

impl<T: ExactNumber> JsonSchema for Exact<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        T::WANTED.into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": ["string", "number"], "description": T::WANTED})
    }
}

impl JsonSchema for Hex {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Hex".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "pattern": "^([0-9a-fA-F]{2})*$"})
    }
}

impl JsonSchema for Decimal {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Decimal".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "pattern": "^-?[0-9]+([.][0-9]+)?$"})
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read<T: for<'de> Deserialize<'de>>(json: &str) -> Result<T, String> {
        serde_json::from_str(json).map_err(|error| error.to_string())
    }

    #[test]
    fn numbers_are_read_from_text_and_from_numbers_that_fit() {
        assert_eq!(
            read("\"9007199254740993\""),
            Ok(Exact(9_007_199_254_740_993_i64))
        );
        assert_eq!(
            read("9007199254740993"),
            Ok(Exact(9_007_199_254_740_993_i64))
        );
        assert_eq!(read("\"-inf\""), Ok(Exact(f64::NEG_INFINITY)));
        assert_eq!(read("3"), Ok(Exact(3.0_f32)));
        for json in ["1.5", "\"1e3\"", "18446744073709551615"] {
            let error = read::<Exact<i64>>(json).expect_err(json);
            assert!(error.contains("64-bit integer as text"), "{error}");
        }
        assert!(read::<Exact<f32>>("1e300").is_err());
        assert!(read::<Exact<f64>>("9007199254740993").is_err());
        assert!(read::<Exact<f64>>("\"fast\"").is_err());
    }

    #[test]
    fn bytes_that_are_not_hexadecimal_are_refused() {
        assert_eq!(read("\"00fF\""), Ok(Hex(vec![0, 255])));
        for json in ["\"0\"", "\"zz\"", "\"+f\"", "\"é\""] {
            assert!(read::<Hex>(json).is_err(), "{json}");
        }
    }

    #[test]
    fn decimals_keep_their_scale() {
        for (text, unscaled, scale) in [
            ("0.05", 5, 2),
            ("-12.50", -1250, 2),
            ("7", 7, 0),
            ("170141183460469231731687303715884105727", i128::MAX, 0),
            ("-0.170141183460469231731687303715884105728", i128::MIN, 39),
        ] {
            let decimal = Decimal { unscaled, scale };
            assert_eq!(decimal.to_string(), text);
            assert_eq!(text.parse(), Ok(decimal));
        }
        for text in ["", "-", ".5", "5.", "+5", "1e3", "1.2.3", "--1"] {
            assert!(text.parse::<Decimal>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(
            integer: i64, double: f64, float: f32, bytes: Vec<u8>, unscaled: i128, scale: u8,
        ) {
            let json = serde_json::to_string(&(
                Exact(integer), Exact(double), Exact(float), Hex(bytes.clone()), Decimal { unscaled, scale },
            )).expect("serializable");
            let (i, d, f, b, dec): (Exact<i64>, Exact<f64>, Exact<f32>, Hex, Decimal) =
                serde_json::from_str(&json).expect("readable");
            prop_assert_eq!(i.0, integer);
            prop_assert!(d.0.to_bits() == double.to_bits() || (d.0.is_nan() && double.is_nan()));
            prop_assert!(f.0.to_bits() == float.to_bits() || (f.0.is_nan() && float.is_nan()));
            prop_assert_eq!(b.0, bytes);
            prop_assert_eq!(dec, Decimal { unscaled, scale });
        }
    }
}
