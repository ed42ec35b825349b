//! Every decoder on arbitrary and on damaged bytes, a few thousand cases each.

mod decoders;

use proptest::collection::vec;
use proptest::prelude::*;

const FRAME_BYTES: usize = 5;

/// A whole record with some bytes changed, cut or repeated.
fn damaged() -> impl Strategy<Value = Vec<u8>> {
    let length = decoders::good_record().len();
    let edits = vec((0..length, any::<u8>(), 0..4_u8), 0..6);
    (edits, 0..=length + 8).prop_map(|(edits, cut)| {
        let mut bytes = decoders::good_record().to_vec();
        for (at, byte, kind) in edits {
            let at = at.min(bytes.len().saturating_sub(1));
            match kind {
                0 => bytes[at] = byte,
                1 => bytes[at] ^= 1 << (byte % 8),
                2 => bytes.insert(at, byte),
                _ => drop(bytes.drain(at..(at + 1 + usize::from(byte % 4)).min(bytes.len()))),
            }
            if bytes.is_empty() {
                bytes.push(byte);
            }
        }
        bytes.truncate(cut);
        bytes
    })
}

fn check_record(value: &[u8]) {
    decoders::record_decode(value);
    if let Some(body) = value.get(FRAME_BYTES..) {
        decoders::record_inspect(body);
        decoders::row_projection(body);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn damaged_records_are_judged(value in damaged()) {
        check_record(&value);
    }

    #[test]
    fn arbitrary_bodies_are_judged(body in vec(any::<u8>(), 0..200)) {
        let mut value = decoders::good_record()[..FRAME_BYTES].to_vec();
        value.extend_from_slice(&body);
        check_record(&value);
    }

    #[test]
    fn arbitrary_bytes_are_judged(bytes in vec(any::<u8>(), 0..64)) {
        decoders::record_decode(&bytes);
        decoders::row_key(&bytes);
        decoders::row_value(&bytes);
        decoders::headers(&bytes);
    }

    #[test]
    fn near_keys_and_headers_are_judged(
        head in 0..3_u8,
        flags in 0..10_u8,
        rest in vec(prop_oneof![3 => 0..4_u8, 1 => any::<u8>()], 0..40),
    ) {
        let mut bytes = vec![head, flags];
        bytes.extend_from_slice(&rest);
        decoders::headers(&bytes);
        decoders::row_key(&bytes);
    }
}

#[test]
fn a_record_cut_anywhere_is_a_defect_and_every_flipped_bit_is_judged() {
    let good = decoders::good_record();
    for length in 0..=good.len() {
        check_record(&good[..length]);
    }
    for bit in 0..good.len() * 8 {
        let mut flipped = good.to_vec();
        flipped[bit / 8] ^= 1 << (bit % 8);
        check_record(&flipped);
    }
}
