//! One function per decoder that meets bytes from outside: what must hold for any bytes at all.
//! The bounded tests of this crate and the fuzz targets in `fuzz/` share them.

use std::sync::LazyLock;

use twinfold_model::{FeatureGroup, SchemaId, Value};
use twinfold_testkit::{all_types_group, rows};
use twinfold_wire::record::{
    Decoded, Decoder, Encoder, Headers, Inspector, avro_schema, parse_frame,
};
use twinfold_wire::row::{KeyEncoder, Projection, ValueView, decode_key, encode_value};

const SCHEMA: SchemaId = SchemaId(7);

struct Fixture {
    group: FeatureGroup,
    inspector: Inspector,
    all: Projection,
    some: Projection,
    keys: KeyEncoder,
    /// A record that is whole.
    good: Vec<u8>,
}

static FIXTURE: LazyLock<Fixture> = LazyLock::new(|| {
    let group = all_types_group();
    let schema = avro_schema(&group);
    let some = [&group.features()[10], &group.features()[1]].map(Clone::clone);
    let good = Encoder::new(&group, SCHEMA)
        .expect("encoder")
        .encode(&rows(&group, 1, 1))
        .expect("encodes")
        .row(0)
        .to_vec();
    Fixture {
        inspector: Inspector::compile(&schema, &group).expect("inspector"),
        all: Projection::compile(&schema, group.features()).expect("all"),
        some: Projection::compile(&schema, &some).expect("some"),
        keys: KeyEncoder::new(&group),
        good,
        group,
    }
});

/// A whole record, to mutate.
pub fn good_record() -> &'static [u8] {
    &FIXTURE.good
}

/// A defect leaves the key buffer alone; what is taken has a canonical key.
pub fn record_inspect(body: &[u8]) {
    let mut key = b"before".to_vec();
    match FIXTURE.inspector.inspect(body, &mut key) {
        Err(_) => assert_eq!(key, b"before"),
        Ok(event_time) => {
            assert!(event_time.is_some());
            row_key(&key[b"before".len()..]);
            decode_key(&key[b"before".len()..], &FIXTURE.group).expect("a key reads back");
        }
    }
}

/// A bad record costs itself alone, and the decoder takes what the inspector takes.
pub fn record_decode(value: &[u8]) {
    let mut decoder = Decoder::new(&FIXTURE.group).expect("decoder");
    let schema = avro_schema(&FIXTURE.group);
    decoder.add_schema(SCHEMA, &schema).expect("compiles");
    let Decoded {
        batch,
        rows,
        defects,
    } = decoder
        .decode(&[&FIXTURE.good, value, &FIXTURE.good])
        .expect("decodes");
    let inspected = parse_frame(value).and_then(|(id, body)| {
        if id != SCHEMA {
            return Err(twinfold_wire::record::Defect::UnknownSchema { id: id.0 });
        }
        FIXTURE.inspector.inspect(body, &mut Vec::new())
    });
    match inspected {
        Ok(_) => {
            assert_eq!(rows, [0, 1, 2]);
            assert!(defects.is_empty());
        }
        Err(defect) => {
            assert_eq!(rows, [0, 2]);
            assert_eq!(defects, [(1, defect)]);
        }
    }
    let last = batch.num_rows() - 1;
    assert_eq!(batch.slice(0, 1), batch.slice(last, 1));
}

/// What reads as a key is the one encoding of its values.
pub fn row_key(key: &[u8]) {
    if let Ok(values) = decode_key(key, &FIXTURE.group) {
        let mut again = Vec::new();
        let encoded = FIXTURE.keys.encode_values(&values, &mut again);
        encoded.expect("key values encode");
        assert_eq!(again, key);
    }
}

pub fn row_value(value: &[u8]) {
    if let Ok(view) = ValueView::parse(value) {
        let mut again = Vec::new();
        encode_value(view.offset, view.schema, view.body, &mut again);
        assert_eq!(again, value);
    }
}

/// A projection reads whatever was inspected, and two projections agree.
pub fn row_projection(body: &[u8]) {
    let (mut all, mut some) = (vec![Value::Null], Vec::new());
    let inspected = FIXTURE.inspector.inspect(body, &mut Vec::new());
    match FIXTURE.all.decode(body, &mut all) {
        Err(_) => {
            assert_eq!(all.len(), 1);
            assert!(inspected.is_err());
        }
        Ok(()) => {
            let decoded = FIXTURE.some.decode(body, &mut some);
            decoded.expect("fewer features of the same bytes");
            let expected = [&all[1 + 10], &all[1 + 1]];
            assert_eq!(
                format!("{:?}", [&some[0], &some[1]]),
                format!("{expected:?}")
            );
        }
    }
}

pub fn headers(bytes: &[u8]) {
    if let Ok(headers) = Headers::decode(bytes) {
        assert_eq!(headers.encode(), bytes);
        let pairs = headers.to_pairs();
        let pairs = pairs.iter().map(|(name, value)| (*name, value.as_slice()));
        assert_eq!(Headers::from_pairs(pairs), Ok(headers));
    }
}
