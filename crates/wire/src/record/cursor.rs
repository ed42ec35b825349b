use super::Defect;

/// The unread rest of a body. Every read checks that its bytes are there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cursor<'a> {
    rest: &'a [u8],
    null_floats: usize,
}

/// A null embedding takes one byte here and all its floats in Arrow, so inside lists and maps a short
/// body could ask for any amount of memory. This many floats of nulls are granted to one record.
const NULL_FLOATS_MAX: usize = 16 * 1024 * 1024;

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

    #[inline]
    pub(crate) fn take(&mut self, bytes: usize) -> Result<&'a [u8], Defect> {
        let (taken, rest) = self
            .rest
            .split_at_checked(bytes)
            .ok_or(Defect::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    #[inline]
    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], Defect> {
        let (taken, rest) = self
            .rest
            .split_first_chunk::<N>()
            .ok_or(Defect::Truncated)?;
        self.rest = rest;
        Ok(*taken)
    }

    #[inline]
    pub(crate) fn byte(&mut self) -> Result<u8, Defect> {
        let (&byte, rest) = self.rest.split_first().ok_or(Defect::Truncated)?;
        self.rest = rest;
        Ok(byte)
    }

    /// A zigzag variable-length integer of 64 bits.
    #[inline]
    pub(crate) fn long(&mut self) -> Result<i64, Defect> {
        let first = self.byte()?;
        let encoded = if first < 0x80 {
            u64::from(first)
        } else {
            self.long_tail(first)?
        };
        Ok((encoded >> 1) as i64 ^ -((encoded & 1) as i64))
    }

    fn long_tail(&mut self, first: u8) -> Result<u64, Defect> {
        let mut encoded = u64::from(first & 0x7f);
        for index in 1..VARINT_BYTES_MAX {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            // The tenth byte holds the 64th bit alone.
            if index == VARINT_BYTES_MAX - 1 && byte > 1 {
                return Err(Defect::InvalidInteger);
            }
            encoded |= bits << (7 * index);
            if byte < 0x80 {
                return Ok(encoded);
            }
        }
        Err(Defect::InvalidInteger)
    }

    /// A zigzag variable-length integer that fits 32 bits.
    #[inline]
    pub(crate) fn int(&mut self) -> Result<i32, Defect> {
        i32::try_from(self.long()?).map_err(|_| Defect::InvalidInteger)
    }

    /// Bytes after their length.
    #[inline]
    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], Defect> {
        let found = self.long()?;
        let length = usize::try_from(found).map_err(|_| Defect::InvalidLength { found })?;
        self.take(length)
    }

    #[inline]
    pub(crate) fn string(&mut self) -> Result<&'a str, Defect> {
        std::str::from_utf8(self.bytes()?).map_err(|_| Defect::InvalidUtf8)
    }

    /// The next block of an array or a map; `None` after the last. A negative count is followed by
    /// the bytes of the block, which the caller compares with what it read.
    pub(crate) fn block(&mut self) -> Result<Option<Block>, Defect> {
        let found = self.long()?;
        if found == 0 {
            return Ok(None);
        }
        let end = if found < 0 {
            let bytes = self.long()?;
            let length =
                usize::try_from(bytes).map_err(|_| Defect::InvalidLength { found: bytes })?;
            let end = self
                .remaining()
                .checked_sub(length)
                .ok_or(Defect::Truncated)?;
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
    pub(crate) fn end_block(&self, block: &Block) -> Result<(), Defect> {
        match block.end {
            Some(end) if end != self.remaining() => Err(Defect::InvalidLength {
                found: self.remaining() as i64 - end as i64,
            }),
            _ => Ok(()),
        }
    }

    /// Accounts for the floats that Arrow keeps for a null.
    pub(crate) fn null(&mut self, floats: usize) -> Result<(), Defect> {
        self.null_floats = self.null_floats.saturating_add(floats);
        if self.null_floats > NULL_FLOATS_MAX {
            return Err(Defect::TooManyNulls {
                floats_max: NULL_FLOATS_MAX,
            });
        }
        Ok(())
    }

    pub(crate) fn finish(&self) -> Result<(), Defect> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(Defect::TrailingBytes {
                bytes: self.rest.len(),
            })
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
        assert_eq!(Cursor::new(&max).int(), Err(Defect::InvalidInteger));
        assert_eq!(long(&[0xff; 9]), Err(Defect::Truncated));
        assert_eq!(long(&[0xff; 11]), Err(Defect::InvalidInteger));
        let too_large = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02];
        assert_eq!(long(&too_large), Err(Defect::InvalidInteger));
    }

    #[test]
    fn lengths_are_checked_before_use() {
        assert_eq!(Cursor::new(&[0x04, b'a']).bytes(), Err(Defect::Truncated));
        assert_eq!(
            Cursor::new(&[0x01]).bytes(),
            Err(Defect::InvalidLength { found: -1 })
        );
        assert_eq!(
            Cursor::new(&[0x02, 0xff]).string(),
            Err(Defect::InvalidUtf8)
        );
    }
}
