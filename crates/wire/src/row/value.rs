use twinfold_model::{Offset, SchemaId};

use crate::record::Defect;

/// What stands before the body: the offset of the record, then the id of its schema, big-endian.
/// The offset comes first so that of two values with equal time the larger is the later one.
pub const VALUE_HEADER_BYTES: usize = 12;

/// Appends the online value of a record.
pub fn encode_value(offset: Offset, schema: SchemaId, body: &[u8], out: &mut Vec<u8>) {
    out.reserve(VALUE_HEADER_BYTES + body.len());
    out.extend_from_slice(&value_header(offset, schema));
    out.extend_from_slice(body);
}

/// What stands before the body in the online value of a record, for who copies the body elsewhere.
pub fn value_header(offset: Offset, schema: SchemaId) -> [u8; VALUE_HEADER_BYTES] {
    let mut header = [0; VALUE_HEADER_BYTES];
    let (first, second) = header.split_at_mut(size_of::<u64>());
    first.copy_from_slice(&offset.0.to_be_bytes());
    second.copy_from_slice(&schema.0.to_be_bytes());
    header
}

/// An online value, read in place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ValueView<'a> {
    pub offset: Offset,
    pub schema: SchemaId,
    /// The Avro body as it came from the topic.
    pub body: &'a [u8],
}

impl<'a> ValueView<'a> {
    pub fn parse(value: &'a [u8]) -> Result<Self, Defect> {
        let (offset, rest) = value.split_first_chunk().ok_or(Defect::Truncated)?;
        let (schema, body) = rest.split_first_chunk().ok_or(Defect::Truncated)?;
        Ok(Self {
            offset: Offset(u64::from_be_bytes(*offset)),
            schema: SchemaId(u32::from_be_bytes(*schema)),
            body,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_reads_back_and_orders_by_offset() {
        let mut earlier = Vec::new();
        encode_value(Offset(255), SchemaId(7), b"body", &mut earlier);
        let view = ValueView::parse(&earlier).expect("whole");
        assert_eq!(
            (view.offset, view.schema, view.body),
            (Offset(255), SchemaId(7), b"body".as_slice())
        );
        let mut later = Vec::new();
        encode_value(Offset(256), SchemaId(1), b"", &mut later);
        assert!(later > earlier);
        for length in 0..VALUE_HEADER_BYTES {
            assert_eq!(ValueView::parse(&earlier[..length]), Err(Defect::Truncated));
        }
    }
}
