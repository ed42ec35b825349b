use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, Decimal128Array, PrimitiveArray};
use arrow::datatypes::{
    DataType, Date32Type, Date64Type, Decimal128Type, Decimal256Type, TimeUnit,
    TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
    TimestampSecondType, i256,
};
use twinfold_model::{Coercion, FeatureType, Result, coercion};

use super::Target;
use crate::record::arrow_types::{arrow_type_of, inferred};
use crate::record::walk::fits_precision;

const DAY_MS: i64 = 86_400_000;
const DAY_US: i64 = 86_400_000_000;
const SECOND_US: i64 = 1_000_000;
const MILLISECOND_US: i64 = 1_000;
const MICROSECOND_NS: i64 = 1_000;

impl Target<'_> {
    pub(super) fn scalar(&self, array: &ArrayRef, wanted: &FeatureType) -> Result<ArrayRef> {
        let found = inferred(self.feature, array.data_type()).map_err(|error| match error {
            crate::Error::UnsupportedColumn {
                found,
                wanted: hint,
                ..
            } => self.wrong_type(array, format!("{found} ({hint})"), &wanted.to_string()),
            other => self.wrong_type(array, other.to_string(), &wanted.to_string()),
        })?;
        let step = coercion(self.feature, &found, wanted)
            .map_err(|_| self.wrong_type(array, found.to_string(), &wanted.to_string()))?;
        let canonical = self.canonical(array, &found, wanted)?;
        match step {
            Coercion::Same => Ok(canonical),
            Coercion::IntToBigInt => self.cast(&canonical, &DataType::Int64, wanted),
            Coercion::IntToDouble | Coercion::FloatToDouble => {
                self.cast(&canonical, &DataType::Float64, wanted)
            }
            Coercion::DateToTimestamp => {
                let micros = self.each::<Date32Type, TimestampMicrosecondType>(
                    &canonical,
                    wanted,
                    |days| i64::from(days).checked_mul(DAY_US),
                )?;
                Ok(Arc::new(micros.with_timezone("UTC")))
            }
        }
    }

    /// The canonical array of the type found.
    fn canonical(
        &self,
        array: &ArrayRef,
        found: &FeatureType,
        wanted: &FeatureType,
    ) -> Result<ArrayRef> {
        let to = arrow_type_of(found);
        match array.data_type() {
            same if *same == to => Ok(array.clone()),
            DataType::Date64 => {
                let days = self.each::<Date64Type, Date32Type>(array, wanted, |ms| {
                    (ms % DAY_MS == 0).then(|| i32::try_from(ms / DAY_MS).ok())?
                })?;
                Ok(Arc::new(days))
            }
            DataType::Timestamp(unit, _) => self.timestamp(array, *unit, wanted),
            // Arrow turns a value that does not fit into null unless told otherwise; none of these
            // widenings has such values.
            _ => self.cast(array, &to, wanted),
        }
    }

    /// Instants are kept; a timestamp without a zone is taken as UTC.
    fn timestamp(
        &self,
        array: &ArrayRef,
        unit: TimeUnit,
        wanted: &FeatureType,
    ) -> Result<ArrayRef> {
        type Micros = TimestampMicrosecondType;
        let micros = match unit {
            TimeUnit::Second => {
                self.each::<TimestampSecondType, Micros>(array, wanted, |seconds| {
                    seconds.checked_mul(SECOND_US)
                })
            }
            TimeUnit::Millisecond => {
                self.each::<TimestampMillisecondType, Micros>(array, wanted, |ms| {
                    ms.checked_mul(MILLISECOND_US)
                })
            }
            TimeUnit::Microsecond => Ok(array.as_primitive::<Micros>().clone()),
            TimeUnit::Nanosecond => {
                self.each::<TimestampNanosecondType, Micros>(array, wanted, |ns| {
                    (ns % MICROSECOND_NS == 0).then_some(ns / MICROSECOND_NS)
                })
            }
        }?;
        Ok(Arc::new(micros.with_timezone("UTC")))
    }

    /// Converts value by value; one that has no counterpart is an error with its row.
    fn each<S: ArrowPrimitiveType, T: ArrowPrimitiveType>(
        &self,
        array: &ArrayRef,
        wanted: &FeatureType,
        convert: impl Fn(S::Native) -> Option<T::Native>,
    ) -> Result<PrimitiveArray<T>> {
        let source = array.as_primitive::<S>();
        let mut values = Vec::with_capacity(source.len());
        for (index, value) in source.values().iter().enumerate() {
            if source.is_null(index) {
                values.push(T::Native::default());
                continue;
            }
            values.push(convert(*value).ok_or_else(|| {
                let found = format!(
                    "{} of {value:?}, which has no exact value",
                    array.data_type()
                );
                self.mismatch(found, wanted, index)
            })?);
        }
        Ok(PrimitiveArray::new(values.into(), source.nulls().cloned()))
    }

    /// Decimals of any width and scale whose values are exact in the wanted one.
    pub(super) fn decimal(
        &self,
        array: &ArrayRef,
        precision: u8,
        scale: u8,
        wanted: &FeatureType,
    ) -> Result<ArrayRef> {
        let found_scale = match array.data_type() {
            DataType::Decimal32(_, scale)
            | DataType::Decimal64(_, scale)
            | DataType::Decimal128(_, scale)
            | DataType::Decimal256(_, scale) => *scale,
            _ => 0,
        };
        let shift = i32::from(scale) - i32::from(found_scale);
        let fit = |unscaled: i128| {
            rescaled(unscaled, shift).filter(|unscaled| fits_precision(*unscaled, precision))
        };
        let wide = match array.data_type() {
            DataType::Decimal32(p, s) | DataType::Decimal64(p, s) => {
                self.cast(array, &DataType::Decimal128(*p, *s), wanted)?
            }
            _ => array.clone(),
        };
        let values: Decimal128Array = match wide.data_type() {
            DataType::Decimal256(..) => {
                self.each::<Decimal256Type, Decimal128Type>(&wide, wanted, |value: i256| {
                    fit(value.to_i128()?)
                })?
            }
            _ => self.each::<Decimal128Type, Decimal128Type>(&wide, wanted, fit)?,
        };
        Ok(Arc::new(values.with_data_type(arrow_type_of(wanted))))
    }
}

/// `unscaled * 10^shift`, when that is an integer in range.
fn rescaled(unscaled: i128, shift: i32) -> Option<i128> {
    let factor = 10_i128.checked_pow(shift.unsigned_abs());
    match (shift >= 0, factor) {
        _ if unscaled == 0 => Some(0),
        (true, Some(factor)) => unscaled.checked_mul(factor),
        (false, Some(factor)) => (unscaled % factor == 0).then_some(unscaled / factor),
        (_, None) => None,
    }
}
