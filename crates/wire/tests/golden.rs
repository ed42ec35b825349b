//! Bytes written once stay readable for ever: the files in `golden/` are never changed, only added to.
//!
//! Each file holds one example per line, a name and hexadecimal bytes. A new version of a format gets new
//! files beside these, and its code goes on reading these.

use twinfold_model::{
    EventTime, Feature, FeatureGroup, FeatureGroupSpec, Offset, Operation, SchemaId, Value,
};
use twinfold_testkit::{batch, group};
use twinfold_wire::record::{Decoder, Encoder, Headers, Inspector, avro_schema, parse_frame};
use twinfold_wire::row::{KeyEncoder, Projection, ValueView, decode_key, encode_value};

const SCHEMA: SchemaId = SchemaId(0x0a0b_0c0d);
const OFFSET: Offset = Offset(0x0102_0304_0506_0708);

const AVRO_SCHEMA: &str = include_str!("../golden/schema_v1.avsc");
const RECORDS: &str = include_str!("../golden/record_v1.hex");
const KEYS: &str = include_str!("../golden/key_v1.hex");
const VALUES: &str = include_str!("../golden/value_v1.hex");
const HEADERS: &str = include_str!("../golden/headers_v1.hex");

/// Every type, each key type among the keys, and one feature of each nullability.
fn golden_group() -> FeatureGroup {
    let spec = group(
        "golden",
        &[
            ("k_int", "int"),
            ("k_bigint", "bigint"),
            ("k_string", "string"),
            ("k_boolean", "boolean"),
            ("k_date", "date"),
            ("k_timestamp", "timestamp"),
            ("k_binary", "binary"),
            ("at", "timestamp"),
            ("a_boolean", "boolean"),
            ("an_int", "int"),
            ("a_bigint", "bigint"),
            ("a_float", "float"),
            ("a_double", "double"),
            ("a_decimal", "decimal(12,3)"),
            ("a_string", "string"),
            ("a_binary", "binary"),
            ("a_date", "date"),
            ("a_timestamp", "timestamp"),
            ("an_array", "array<array<int>>"),
            ("a_map", "map<string,struct<x:double>>"),
            (
                "a_struct",
                "struct<a:int,b:struct<c:string,d:array<decimal(4,1)>>>",
            ),
            ("an_embedding", "embedding(3)"),
        ],
        // Not in the order of the features: the order of the key decides.
        &[
            "k_string",
            "k_int",
            "k_bigint",
            "k_boolean",
            "k_date",
            "k_timestamp",
            "k_binary",
        ],
        Some("at"),
    )
    .to_spec();
    let mut features = spec.features;
    for (name, r#type, default) in [
        ("required_double", "double", Value::Double(-1.5)),
        ("required_binary", "binary", Value::Binary(vec![0, 255])),
    ] {
        let feature = Feature::new(name, r#type.parse().expect("valid")).expect("valid");
        features.push(feature.required().with_default(default).expect("fits"));
    }
    FeatureGroup::new(FeatureGroupSpec { features, ..spec }).expect("valid")
}

fn keys(text: &str, number: i64) -> Vec<Value> {
    vec![
        Value::Int(number.clamp(i32::MIN.into(), i32::MAX.into()) as i32),
        Value::BigInt(number),
        Value::String(text.to_owned()),
        Value::Boolean(number > 0),
        Value::Date(number.clamp(-719_162, 2_932_896) as i32),
        Value::Timestamp(number),
        Value::Binary(text.as_bytes().iter().rev().copied().collect()),
    ]
}

/// The rows behind the files, by the names of their lines.
fn golden_rows() -> Vec<(&'static str, Vec<Value>)> {
    let decimal = |unscaled, scale| Value::Decimal { unscaled, scale };
    let point = |x| Value::Struct(vec![Value::Double(x)]);
    let full = vec![
        Value::Timestamp(1_700_000_000_123_456),
        Value::Boolean(true),
        Value::Int(-70_000),
        Value::BigInt(1 << 40),
        Value::Float(1.5),
        Value::Double(-0.1),
        decimal(-123_456_789, 3),
        Value::String("zażółć 🙂".to_owned()),
        Value::Binary(vec![0, 1, 254, 255]),
        Value::Date(19_723),
        Value::Timestamp(-1),
        Value::Array(vec![
            Value::Array(vec![Value::Int(1), Value::Null]),
            Value::Null,
            Value::Array(vec![]),
        ]),
        Value::Map(vec![
            ("a".to_owned(), point(2.0)),
            (String::new(), Value::Null),
        ]),
        Value::Struct(vec![
            Value::Int(7),
            Value::Struct(vec![
                Value::String("deep".to_owned()),
                Value::Array(vec![decimal(-128, 1), decimal(128, 1)]),
            ]),
        ]),
        Value::Embedding(vec![0.25, -1.0, 3.0]),
        Value::Double(2.5),
        Value::Binary(vec![9]),
    ];
    let mut nulls = vec![Value::Null; full.len()];
    nulls[0] = Value::Timestamp(0);
    nulls[15] = Value::Double(0.0);
    nulls[16] = Value::Binary(Vec::new());
    let mut extremes = full.clone();
    extremes[0] = Value::Timestamp(253_402_300_799_999_999);
    extremes[2] = Value::Int(i32::MIN);
    extremes[3] = Value::BigInt(i64::MIN);
    extremes[4] = Value::Float(f32::INFINITY);
    extremes[5] = Value::Double(f64::MIN_POSITIVE);
    extremes[6] = decimal(999_999_999_999, 3);
    extremes[12] = Value::Map(Vec::new());
    let row = |keys: Vec<Value>, rest: Vec<Value>| [keys, rest].concat();
    vec![
        ("full", row(keys("abc", 42), full)),
        ("nulls", row(keys("", 0), nulls)),
        ("extremes", row(keys("ł\0\u{7f}", i64::MAX), extremes)),
    ]
}

fn golden_headers() -> Vec<(&'static str, Headers)> {
    let id = Some(*b"0123456789abcdef");
    let event_time = Some(EventTime::from_micros(1_700_000_000_123_456));
    let headers = |operation, ingestion_id, event_time| Headers {
        operation,
        ingestion_id,
        event_time,
    };
    vec![
        ("plain", headers(Operation::Upsert, None, None)),
        ("upsert", headers(Operation::Upsert, id, event_time)),
        (
            "delete",
            headers(Operation::Delete, None, Some(EventTime::MIN)),
        ),
        ("inserted", headers(Operation::Upsert, id, None)),
    ]
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    let byte = |pair: &[u8]| {
        let pair = std::str::from_utf8(pair).expect("ascii");
        u8::from_str_radix(pair, 16).expect("hexadecimal")
    };
    text.as_bytes().chunks(2).map(byte).collect()
}

fn lines(file: &str) -> Vec<(&str, Vec<u8>)> {
    file.lines()
        .map(|line| {
            let (name, bytes) = line.split_once(' ').expect("a name and bytes");
            (name, unhex(bytes))
        })
        .collect()
}

fn written<'a>(examples: impl IntoIterator<Item = (&'a str, Vec<u8>)>) -> String {
    examples
        .into_iter()
        .map(|(name, bytes)| format!("{name} {}\n", hex(&bytes)))
        .collect()
}

fn records() -> Vec<(&'static str, Vec<u8>)> {
    let group = golden_group();
    let mut encoder = Encoder::new(&group, SCHEMA).expect("encoder");
    golden_rows()
        .into_iter()
        .map(|(name, row)| {
            let encoded = encoder.encode(&batch(&group, &[row])).expect("encodes");
            (name, encoded.row(0).to_vec())
        })
        .collect()
}

#[test]
fn the_schema_is_written_as_ever() {
    assert_eq!(avro_schema(&golden_group()), AVRO_SCHEMA.trim_end());
}

#[test]
fn records_are_written_as_ever() {
    assert_eq!(written(records()), RECORDS);
}

#[test]
fn records_are_read_as_ever() {
    let group = golden_group();
    let (names, values): (Vec<_>, Vec<_>) = lines(RECORDS).into_iter().unzip();
    let (expected_names, rows): (Vec<_>, Vec<_>) = golden_rows().into_iter().unzip();
    assert_eq!(names, expected_names);
    let mut decoder = Decoder::new(&group).expect("decoder");
    decoder.add_schema(SCHEMA, AVRO_SCHEMA).expect("compiles");
    let decoded = decoder.decode(&values).expect("decodes");
    assert_eq!(decoded.defects, []);
    assert_eq!(decoded.batch, batch(&group, &rows));
    let all = Projection::compile(AVRO_SCHEMA, group.features()).expect("compiles");
    let inspector = Inspector::compile(AVRO_SCHEMA, &group).expect("compiles");
    for ((value, row), (_, key)) in values.iter().zip(&rows).zip(lines(KEYS)) {
        let (schema, body) = parse_frame(value).expect("framed");
        assert_eq!(schema, SCHEMA);
        let (mut read, mut inspected) = (Vec::new(), Vec::new());
        all.decode(body, &mut read).expect("valid");
        assert_eq!(&read, row);
        inspector.inspect(body, &mut inspected).expect("valid");
        assert_eq!(inspected, key);
    }
}

#[test]
fn keys_are_written_and_read_as_ever() {
    let group = golden_group();
    let encoder = KeyEncoder::new(&group);
    let key_of = |row: &[Value]| -> Vec<Value> {
        group
            .primary_key()
            .iter()
            .map(|index| row[*index].clone())
            .collect()
    };
    let encoded = golden_rows().into_iter().map(|(name, row)| {
        let mut key = Vec::new();
        encoder
            .encode_values(&key_of(&row), &mut key)
            .expect("fits");
        (name, key)
    });
    assert_eq!(written(encoded), KEYS);
    for ((_, key), (_, row)) in lines(KEYS).iter().zip(golden_rows()) {
        assert_eq!(decode_key(key, &group), Ok(key_of(&row)));
    }
}

#[test]
fn values_are_written_and_read_as_ever() {
    let bodies = records();
    let encoded = bodies.iter().map(|(name, record)| {
        let (schema, body) = parse_frame(record).expect("framed");
        let mut value = Vec::new();
        encode_value(OFFSET, schema, body, &mut value);
        (*name, value)
    });
    assert_eq!(written(encoded), VALUES);
    for ((_, value), (_, record)) in lines(VALUES).iter().zip(&bodies) {
        let view = ValueView::parse(value).expect("whole");
        assert_eq!((view.offset, view.schema), (OFFSET, SCHEMA));
        assert_eq!(view.body, parse_frame(record).expect("framed").1);
    }
}

#[test]
fn headers_are_written_and_read_as_ever() {
    let encoded = golden_headers().into_iter();
    let encoded = encoded.map(|(name, headers)| (name, headers.encode().to_vec()));
    assert_eq!(written(encoded), HEADERS);
    for ((_, bytes), (_, headers)) in lines(HEADERS).iter().zip(golden_headers()) {
        assert_eq!(Headers::decode(bytes), Ok(headers));
    }
}
