use super::Defect;
use super::defect::{Fault, fault};

/// The unread rest of a body. Every read checks that its bytes are there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cursor<'a> {
    rest: &'a [u8],
    null_floats: usize,
}

/// A null embedding takes one byte here and all its floats in Arrow, so inside lists and maps a short
/// body could ask for any amount of memory. This many floats of nulls are granted to one record.
const NULL_FLOATS_MAX: usize = 16 * 1024 * 1024;

#[cold]
fn truncated() -> Fault {
    fault(Defect::Truncated)
}

/// Bytes of the longest 64-bit variable-length integer.
const VARINT_BYTES_MAX: usize = 10;

impl<'a> Cursor<'a> {
    pub(crate) fn new(body: &'a [u8]) -> Self {
        Self {
            rest: body,
            null_floats: 0,
        }
    }

    pub(crate) fn remaining(&self) -> usize {
        self.rest.len()
    }

    #[inline(always)]
    pub(crate) fn take(&mut self, bytes: usize) -> Result<&'a [u8], Fault> {
        let (taken, rest) = self.rest.split_at_checked(bytes).ok_or_else(truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    #[inline(always)]
    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let (taken, rest) = self.rest.split_first_chunk::<N>().ok_or_else(truncated)?;
        self.rest = rest;
        Ok(*taken)
    }

    #[inline(always)]
    pub(crate) fn byte(&mut self) -> Result<u8, Fault> {
        let (&byte, rest) = self.rest.split_first().ok_or_else(truncated)?;
        self.rest = rest;
        Ok(byte)
    }

    /// Passes a value of so many bytes, behind the byte of its branch if there is one; false, and nothing is
    /// passed, when another branch or less stands there.
    #[inline(always)]
    pub(crate) fn pass(&mut self, branch: Option<u8>, bytes: usize) -> bool {
        let value = match (branch, self.rest) {
            (None, value) => value,
            (Some(wanted), [found, value @ ..]) if *found == wanted => value,
            (Some(_), _) => return false,
        };
        let Some((_, rest)) = value.split_at_checked(bytes) else {
            return false;
        };
        self.rest = rest;
        true
    }

    /// A zigzag variable-length integer of 64 bits.
    #[inline(always)]
    pub(crate) fn long(&mut self) -> Result<i64, Fault> {
        let encoded = match *self.rest {
            [first @ ..0x80, ref rest @ ..] => {
                self.rest = rest;
                u64::from(first)
            }
            [first, second @ ..0x80, ref rest @ ..] => {
                self.rest = rest;
                u64::from(first & 0x7f) | u64::from(second) << 7
            }
            _ => self.long_of_many_bytes()?,
        };
        Ok((encoded >> 1) as i64 ^ -((encoded & 1) as i64))
    }

    fn long_of_many_bytes(&mut self) -> Result<u64, Fault> {
        let mut encoded = 0;
        for (index, &byte) in self.rest.iter().take(VARINT_BYTES_MAX).enumerate() {
            // The tenth byte holds the 64th bit alone.
            if index == VARINT_BYTES_MAX - 1 && byte > 1 {
                break;
            }
            encoded |= u64::from(byte & 0x7f) << (7 * index);
            if byte < 0x80 {
                self.rest = &self.rest[index + 1..];
                return Ok(encoded);
            }
        }
        if self.rest.len() < VARINT_BYTES_MAX {
            return Err(truncated());
        }
        Err(fault(Defect::InvalidInteger))
    }

    /// A zigzag variable-length integer that fits 32 bits.
    #[inline(always)]
    pub(crate) fn int(&mut self) -> Result<i32, Fault> {
        i32::try_from(self.long()?).map_err(|_| fault(Defect::InvalidInteger))
    }

    /// Bytes after their length.
    #[inline(always)]
    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], Fault> {
        let found = self.long()?;
        let length = usize::try_from(found).map_err(|_| fault(Defect::InvalidLength { found }))?;
        self.take(length)
    }

    #[inline(always)]
    pub(crate) fn string(&mut self) -> Result<&'a str, Fault> {
        std::str::from_utf8(self.bytes()?).map_err(|_| fault(Defect::InvalidUtf8))
    }

    /// The next block of an array or a map; `None` after the last. A negative count is followed by
    /// the bytes of the block, which the caller compares with what it read.
    pub(crate) fn block(&mut self) -> Result<Option<Block>, Fault> {
        let found = self.long()?;
        if found == 0 {
            return Ok(None);
        }
        let end = if found < 0 {
            let bytes = self.long()?;
            let length = usize::try_from(bytes)
                .map_err(|_| fault(Defect::InvalidLength { found: bytes }))?;
            let end = self.remaining().checked_sub(length).ok_or_else(truncated)?;
            Some(end)
        } else {
            None
        };
        Ok(Some(Block {
            items: found.unsigned_abs(),
            end,
        }))
    }

    /// Checks that a block ended where its writer said.
    pub(crate) fn end_block(&self, block: &Block) -> Result<(), Fault> {
        match block.end {
            Some(end) if end != self.remaining() => Err(fault(Defect::InvalidLength {
                found: self.remaining() as i64 - end as i64,
            })),
            _ => Ok(()),
        }
    }

    /// Accounts for the floats that Arrow keeps for a null.
    pub(crate) fn null(&mut self, floats: usize) -> Result<(), Fault> {
        self.null_floats = self.null_floats.saturating_add(floats);
        if self.null_floats > NULL_FLOATS_MAX {
            return Err(fault(Defect::TooManyNulls {
                floats_max: NULL_FLOATS_MAX,
            }));
        }
        Ok(())
    }

    pub(crate) fn finish(&self) -> Result<(), Fault> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(fault(Defect::TrailingBytes {
                bytes: self.rest.len(),
            }))
        }
    }
}

pub(crate) struct Block {
    pub(crate) items: u64,
    /// Bytes that remain after the block, where its writer said.
    end: Option<usize>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_keep_to_their_range() {
        let long = |bytes: &[u8]| Cursor::new(bytes).long();
        assert_eq!(long(&[0x00]), Ok(0));
        assert_eq!(long(&[0x01]), Ok(-1));
        assert_eq!(long(&[0x80, 0x01]), Ok(64));
        let max = [0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
        assert_eq!(long(&max), Ok(i64::MAX));
        let min = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
        assert_eq!(long(&min), Ok(i64::MIN));
        assert_eq!(Cursor::new(&max).int(), Err(Defect::InvalidInteger.into()));
        assert_eq!(long(&[0xff; 9]), Err(Defect::Truncated.into()));
        assert_eq!(long(&[0xff; 11]), Err(Defect::InvalidInteger.into()));
        let too_large = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02];
        assert_eq!(long(&too_large), Err(Defect::InvalidInteger.into()));
    }

    #[test]
    fn lengths_are_checked_before_use() {
        assert_eq!(
            Cursor::new(&[0x04, b'a']).bytes(),
            Err(Defect::Truncated.into())
        );
        assert_eq!(
            Cursor::new(&[0x01]).bytes(),
            Err(Defect::InvalidLength { found: -1 }.into())
        );
        assert_eq!(
            Cursor::new(&[0x02, 0xff]).string(),
            Err(Defect::InvalidUtf8.into())
        );
    }
}
