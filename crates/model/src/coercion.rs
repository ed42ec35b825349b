use crate::{Error, FeatureType, Result};

/// How a value of one type becomes a value of another without loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coercion {
    Same,
    IntToBigInt,
    IntToDouble,
    FloatToDouble,
    /// Midnight UTC of the day.
    DateToTimestamp,
}

/// The one coercion table: SDK, REST, topic and offline writer all ask here.
///
/// Lossless widening only; everything else is an error that names the feature and both types.
pub fn coercion(feature: &str, found: &FeatureType, wanted: &FeatureType) -> Result<Coercion> {
    use FeatureType as T;
    match (found, wanted) {
        _ if found == wanted => Ok(Coercion::Same),
        (T::Int, T::BigInt) => Ok(Coercion::IntToBigInt),
        (T::Int, T::Double) => Ok(Coercion::IntToDouble),
        (T::Float, T::Double) => Ok(Coercion::FloatToDouble),
        (T::Date, T::Timestamp) => Ok(Coercion::DateToTimestamp),
        _ => Err(Error::mismatch(feature, found, wanted)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lossless_widening_is_allowed() {
        use FeatureType as T;
        assert_eq!(
            coercion("f", &T::Int, &T::BigInt),
            Ok(Coercion::IntToBigInt)
        );
        assert_eq!(
            coercion("f", &T::Float, &T::Double),
            Ok(Coercion::FloatToDouble)
        );
        for (found, wanted) in [
            (T::BigInt, T::Int),
            (T::BigInt, T::Double),
            (T::Double, T::Float),
            (T::Int, T::Float),
            (T::String, T::Binary),
            (T::Timestamp, T::Date),
            (T::Boolean, T::Int),
        ] {
            let error = coercion("f", &found, &wanted).expect_err("narrowing");
            assert_eq!(
                error.to_string(),
                format!("feature `f`: found {found}, wanted {wanted}")
            );
        }
    }
}
