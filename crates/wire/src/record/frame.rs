use twinfold_model::SchemaId;

use super::Defect;

/// What stands before each body: 0x00 and the schema id, big-endian.
pub const FRAME_BYTES: usize = 5;

const MAGIC: u8 = 0;

pub(crate) fn write_frame(schema: SchemaId, out: &mut Vec<u8>) {
    out.push(MAGIC);
    out.extend_from_slice(&schema.0.to_be_bytes());
}

/// A record's value of the id of its writer schema and its Avro body.
pub fn frame(schema: SchemaId, body: &[u8]) -> Vec<u8> {
    let mut value = Vec::with_capacity(FRAME_BYTES + body.len());
    write_frame(schema, &mut value);
    value.extend_from_slice(body);
    value
}

/// Splits a record's value into the id of its writer schema and its Avro body.
pub fn parse_frame(value: &[u8]) -> Result<(SchemaId, &[u8]), Defect> {
    match value {
        [MAGIC, a, b, c, d, body @ ..] => {
            Ok((SchemaId(u32::from_be_bytes([*a, *b, *c, *d])), body))
        }
        [] => Err(Defect::InvalidFrame {
            found: "nothing, the value is empty".to_owned(),
        }),
        [MAGIC, ..] => Err(Defect::Truncated),
        [first, ..] => Err(Defect::InvalidFrame {
            found: format!("byte 0x{first:02x}"),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_splits_into_schema_and_body() {
        let mut value = Vec::new();
        write_frame(SchemaId(0x0102_0304), &mut value);
        assert_eq!(value, [0, 1, 2, 3, 4]);
        value.extend_from_slice(b"body");
        assert_eq!(
            parse_frame(&value),
            Ok((SchemaId(0x0102_0304), b"body".as_slice()))
        );
    }

    #[test]
    fn what_is_no_frame_is_a_defect() {
        assert_eq!(parse_frame(b"").expect_err("empty").code(), "invalid_frame");
        assert_eq!(
            parse_frame(b"{}").expect_err("json").to_string(),
            "not a frame of 0x00, schema id and body: it begins with byte 0x7b"
        );
        for length in 1..FRAME_BYTES {
            assert_eq!(
                parse_frame(&[0; FRAME_BYTES][..length]),
                Err(Defect::Truncated)
            );
        }
    }
}
