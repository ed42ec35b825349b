//! The walk: one pass over the bytes of a value, checking everything, telling a sink what was found.

use super::defect::{Fault, fault, in_feature};
use super::plan::{OnNull, Reader, RecordPlan, Slot, Step, StructPlan, Union};
use super::sink::Sink;
use super::writer_schema::{WriterSchema, boolean, branch};
use super::{Cursor, Defect};

const DAY_US: i64 = 86_400_000_000;
const MILLISECOND_US: i64 = 1_000;
const FLOAT_BYTES: usize = 4;

impl RecordPlan {
    /// Walks one field of the record; a wanted one goes to the sink of its index.
    #[inline]
    pub(crate) fn step<'s, S: Sink + 's>(
        &self,
        step: &Step,
        cursor: &mut Cursor<'_>,
        sink_of: impl FnOnce(usize) -> &'s mut S,
    ) -> Result<(), Fault> {
        match step {
            Step::Skip(node) => self.schema.skip(*node, cursor),
            Step::Read(index, slot) => read(slot, &self.schema, cursor, sink_of(*index))
                .map_err(|fault| in_feature(fault, &self.names[*index])),
        }
    }
}

/// Reads one value. On a defect the sink may have taken a part of it.
#[inline]
fn read<S: Sink>(
    slot: &Slot,
    schema: &WriterSchema,
    cursor: &mut Cursor<'_>,
    sink: &mut S,
) -> Result<(), Fault> {
    if is_null(slot.union, cursor)? {
        return match slot.on_null {
            OnNull::Keep => {
                cursor.null(slot.null_floats)?;
                sink.null();
                Ok(())
            }
            OnNull::NullKey => Err(fault(Defect::NullKey)),
            OnNull::NullValue => Err(fault(Defect::NullValue)),
        };
    }
    read_value(&slot.reader, schema, cursor, sink)
}

#[inline(always)]
fn is_null(union: Union, cursor: &mut Cursor<'_>) -> Result<bool, Fault> {
    match union {
        Union::None => Ok(false),
        Union::NullAt(null) => Ok(branch(cursor, 2)? == usize::from(null)),
        Union::AlwaysNull => Ok(true),
    }
}

fn read_value<S: Sink>(
    reader: &Reader,
    schema: &WriterSchema,
    cursor: &mut Cursor<'_>,
    sink: &mut S,
) -> Result<(), Fault> {
    match reader {
        Reader::Boolean => sink.boolean(boolean(cursor)?),
        Reader::Int => sink.int(cursor.int()?),
        Reader::IntToBigInt => sink.bigint(cursor.int()?.into()),
        Reader::IntToDouble => sink.double(cursor.int()?.into()),
        Reader::BigInt => sink.bigint(cursor.long()?),
        Reader::Float => sink.float(f32::from_le_bytes(cursor.array()?)),
        Reader::FloatToDouble => sink.double(f32::from_le_bytes(cursor.array()?).into()),
        Reader::Double => sink.double(f64::from_le_bytes(cursor.array()?)),
        Reader::Decimal {
            precision,
            scale,
            fixed,
        } => {
            let unscaled = decimal(bytes(cursor, *fixed)?, *precision)?;
            sink.decimal(unscaled, *scale);
        }
        Reader::String => sink.string(cursor.string()?),
        Reader::Binary { fixed } => sink.binary(bytes(cursor, *fixed)?),
        Reader::Date => sink.date(cursor.int()?),
        Reader::EventDate => {
            let days = cursor.int()?;
            midnight(days)?;
            sink.date(days);
        }
        Reader::DateToTimestamp => sink.timestamp(midnight(cursor.int()?)?),
        Reader::Timestamp => sink.timestamp(cursor.long()?),
        Reader::TimestampMillis => {
            let micros = cursor.long()?.checked_mul(MILLISECOND_US);
            sink.timestamp(micros.ok_or_else(out_of_range)?);
        }
        Reader::Array(item) => {
            sink.array();
            while let Some(block) = cursor.block()? {
                // Each item takes a byte at least, so the loop ends with the bytes.
                for _ in 0..block.items {
                    read(item, schema, cursor, sink.item())?;
                }
                cursor.end_block(&block)?;
            }
            sink.end();
        }
        Reader::Map(value) => {
            sink.map();
            while let Some(block) = cursor.block()? {
                for _ in 0..block.items {
                    let key = cursor.string()?;
                    read(value, schema, cursor, sink.entry(key))?;
                }
                cursor.end_block(&block)?;
            }
            sink.end();
        }
        Reader::Struct(plan) => read_struct(plan, schema, cursor, sink)?,
        Reader::Embedding { length, item } => embedding(*length, *item, cursor, sink)?,
    }
    Ok(())
}

fn read_struct<S: Sink>(
    plan: &StructPlan,
    schema: &WriterSchema,
    cursor: &mut Cursor<'_>,
    sink: &mut S,
) -> Result<(), Fault> {
    sink.structure(plan.fields);
    for step in &plan.steps {
        match step {
            Step::Skip(node) => schema.skip(*node, cursor)?,
            Step::Read(index, slot) => read(slot, schema, cursor, sink.field(*index))?,
        }
    }
    cursor.null(plan.absent_floats)?;
    for index in &plan.absent {
        sink.field(*index).null();
    }
    Ok(())
}

fn embedding<S: Sink>(
    length: u32,
    item: Union,
    cursor: &mut Cursor<'_>,
    sink: &mut S,
) -> Result<(), Fault> {
    sink.embedding(length);
    let mut found: u64 = 0;
    while let Some(block) = cursor.block()? {
        found = found.saturating_add(block.items);
        if found > u64::from(length) {
            return Err(fault(Defect::EmbeddingLength {
                found,
                wanted: length,
            }));
        }
        match item {
            // `items` is at most `length` here, so the product cannot overflow.
            Union::None => sink.floats(cursor.take(block.items as usize * FLOAT_BYTES)?),
            _ => {
                for _ in 0..block.items {
                    if is_null(item, cursor)? {
                        return Err(fault(Defect::NullValue));
                    }
                    sink.floats(cursor.take(FLOAT_BYTES)?);
                }
            }
        }
        cursor.end_block(&block)?;
    }
    if found == u64::from(length) {
        Ok(())
    } else {
        Err(fault(Defect::EmbeddingLength {
            found,
            wanted: length,
        }))
    }
}

#[inline]
fn bytes<'a>(cursor: &mut Cursor<'a>, fixed: Option<usize>) -> Result<&'a [u8], Fault> {
    match fixed {
        None => cursor.bytes(),
        Some(bytes) => cursor.take(bytes),
    }
}

#[cold]
fn out_of_range() -> Fault {
    fault(Defect::EventTimeOutOfRange)
}

/// Midnight UTC in microseconds.
fn midnight(days: i32) -> Result<i64, Fault> {
    i64::from(days).checked_mul(DAY_US).ok_or_else(out_of_range)
}

/// A two's-complement big-endian integer of any length whose value fits `precision` digits.
fn decimal(bytes: &[u8], precision: u8) -> Result<i128, Fault> {
    const WIDTH: usize = size_of::<i128>();
    let Some(&first) = bytes.first() else {
        return Err(fault(Defect::InvalidLength { found: 0 }));
    };
    let fill = if first >= 0x80 { 0xff } else { 0x00 };
    let (padding, digits) = bytes.split_at(bytes.len().saturating_sub(WIDTH));
    let mut wide = [fill; WIDTH];
    wide[WIDTH - digits.len()..].copy_from_slice(digits);
    let unscaled = i128::from_be_bytes(wide);
    let is_extended = padding.iter().all(|byte| *byte == fill);
    let sign_agrees = (unscaled < 0) == (fill == 0xff);
    if is_extended && sign_agrees && fits_precision(unscaled, precision) {
        Ok(unscaled)
    } else {
        Err(fault(Defect::DecimalOverflow { precision }))
    }
}

pub(crate) fn fits_precision(unscaled: i128, precision: u8) -> bool {
    10_u128
        .checked_pow(precision.into())
        .is_none_or(|bound| unscaled.unsigned_abs() < bound)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_of_any_length_are_read() {
        assert_eq!(decimal(&[0x04, 0xd2], 4), Ok(1234));
        assert_eq!(decimal(&[0xff], 1), Ok(-1));
        assert_eq!(decimal(&[0; 40], 1), Ok(0));
        assert_eq!(decimal(&[0xff; 40], 38), Ok(-1));
        let mut wide = [0xff; 17];
        wide[1] = 0x7f;
        for bytes in [&[0x04, 0xd3][..], &[0x01; 17], &wide] {
            let precision = if bytes.len() == 2 { 3 } else { 38 };
            assert_eq!(
                decimal(bytes, precision),
                Err(Defect::DecimalOverflow { precision }.into())
            );
        }
        assert_eq!(
            decimal(&[], 3),
            Err(Defect::InvalidLength { found: 0 }.into())
        );
    }
}
