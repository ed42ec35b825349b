//! What producers other than our own may write, and what hostile ones may.

#[expect(dead_code, reason = "the other half serves the round trips")]
mod avro_oracle;

use apache_avro::types::Value as Avro;
use arrow::array::{Array, AsArray};
use arrow::datatypes::{Float64Type, Int64Type, TimestampMicrosecondType};
use twinfold_model::{EventTime, FeatureGroup, FeatureGroupSpec, SchemaId, Value, evolve};
use twinfold_model::{Feature, FeatureType};
use twinfold_testkit::{batch, group, weather_group};
use twinfold_wire::record::{Decoder, Defect, Encoder, Inspector, avro_schema, parse_frame};
use twinfold_wire::row::{KEY_BYTES_MAX, KeyEncoder, Projection};

const SCHEMA: SchemaId = SchemaId(3);

fn sensors() -> FeatureGroup {
    group(
        "sensors",
        &[
            ("id", "bigint"),
            ("at", "timestamp"),
            ("level", "double"),
            ("ratio", "double"),
            ("price", "decimal(6,2)"),
            ("note", "string"),
            ("spot", "struct<x:int,y:double>"),
            ("vector", "embedding(2)"),
            ("lists", "array<array<int>>"),
        ],
        &["id"],
        Some("at"),
    )
}

/// Other order, nulls last, narrower numbers, a date for a timestamp, fixed for a decimal, and
/// features of every kind that the group does not have.
const FOREIGN: &str = r#"{
  "type": "record", "name": "Sensor", "namespace": "com.example", "doc": "foreign",
  "fields": [
    {"name": "node", "type": ["null", {"type": "record", "name": "Node", "fields": [
        {"name": "label", "type": "string"}, {"name": "next", "type": ["null", "Node"]}]}]},
    {"name": "vector", "type": {"type": "array", "items": ["float", "null"]}},
    {"name": "color", "type": {"type": "enum", "name": "Color", "symbols": ["RED", "BLUE"]}},
    {"name": "ratio", "type": ["float", "null"], "default": 0},
    {"name": "price", "type": {"type": "fixed", "name": "Cents", "size": 4,
        "logicalType": "decimal", "precision": 9, "scale": 2}},
    {"name": "any", "type": ["string", "long", "null", {"type": "map", "values": "bytes"}]},
    {"name": "at", "type": {"type": "int", "logicalType": "date"}},
    {"name": "other", "type": "com.example.Color"},
    {"name": "level", "type": "int"},
    {"name": "spot", "type": ["null", {"type": "record", "name": "Spot", "fields": [
        {"name": "y", "type": ["float", "null"]}, {"name": "unused", "type": "string"}]}]},
    {"name": "id", "type": ["null", "int"]}
  ]
}"#;

fn foreign_record(id: Avro) -> Avro {
    let node = |label: &str, next: Avro| {
        let fields = vec![
            ("label".to_owned(), Avro::String(label.to_owned())),
            ("next".to_owned(), next),
        ];
        Avro::Union(1, Box::new(Avro::Record(fields)))
    };
    let null = || Avro::Union(0, Box::new(Avro::Null));
    let first = |value| Avro::Union(0, Box::new(value));
    let spot = vec![
        ("y".to_owned(), first(Avro::Float(0.5))),
        ("unused".to_owned(), Avro::String("x".to_owned())),
    ];
    let fields: Vec<(&str, Avro)> = vec![
        ("node", node("a", node("b", null()))),
        (
            "vector",
            Avro::Array(vec![first(Avro::Float(1.0)), first(Avro::Float(2.0))]),
        ),
        ("color", Avro::Enum(1, "BLUE".to_owned())),
        ("ratio", first(Avro::Float(0.25))),
        (
            "price",
            Avro::Decimal(apache_avro::Decimal::from(&(-1234_i32).to_be_bytes())),
        ),
        ("any", Avro::Union(1, Box::new(Avro::Long(7)))),
        ("at", Avro::Date(3)),
        ("other", Avro::Enum(0, "RED".to_owned())),
        ("level", Avro::Int(-4)),
        ("spot", Avro::Union(1, Box::new(Avro::Record(spot)))),
        ("id", id),
    ];
    let fields = fields
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value));
    Avro::Record(fields.collect())
}

fn foreign_body(id: Avro) -> Vec<u8> {
    avro_oracle::encode(&avro_oracle::schema(FOREIGN), foreign_record(id))
}

fn framed(body: &[u8]) -> Vec<u8> {
    let mut value = vec![0];
    value.extend_from_slice(&SCHEMA.0.to_be_bytes());
    value.extend_from_slice(body);
    value
}

#[test]
fn a_foreign_record_is_read_as_the_group_declares_it() {
    let group = sensors();
    let body = foreign_body(Avro::Union(1, Box::new(Avro::Int(42))));
    let mut key = Vec::new();
    let inspector = Inspector::compile(FOREIGN, &group).expect("compiles");
    let at = inspector.inspect(&body, &mut key).expect("valid");
    assert_eq!(at, Some(EventTime::from_days(3)));
    let mut expected = Vec::new();
    let keys = KeyEncoder::new(&group);
    keys.encode_values(&[Value::BigInt(42)], &mut expected)
        .expect("fits");
    assert_eq!(
        key, expected,
        "an int writer gives the key of the bigint the group declares"
    );

    let mut values = Vec::new();
    let all = Projection::compile(FOREIGN, group.features()).expect("compiles");
    all.decode(&body, &mut values).expect("valid");
    assert_eq!(
        values,
        [
            Value::BigInt(42),
            Value::Timestamp(3 * 86_400_000_000),
            Value::Double(-4.0),
            Value::Double(0.25),
            Value::Decimal {
                unscaled: -1234,
                scale: 2
            },
            Value::Null,
            Value::Struct(vec![Value::Null, Value::Double(0.5)]),
            Value::Embedding(vec![1.0, 2.0]),
            Value::Null,
        ]
    );

    let mut decoder = Decoder::new(&group).expect("decoder");
    decoder.add_schema(SCHEMA, FOREIGN).expect("compiles");
    let decoded = decoder.decode(&[framed(&body)]).expect("decodes");
    assert_eq!(decoded.defects, []);
    let column = |name: &str| decoded.batch.column_by_name(name).expect("exists").clone();
    assert_eq!(column("id").as_primitive::<Int64Type>().value(0), 42);
    assert_eq!(column("level").as_primitive::<Float64Type>().value(0), -4.0);
    let at = column("at");
    assert_eq!(
        at.as_primitive::<TimestampMicrosecondType>().value(0),
        3 * 86_400_000_000
    );
    assert!(column("note").is_null(0) && column("lists").is_null(0));
}

#[test]
fn a_null_key_is_a_defect_that_names_the_feature() {
    let body = foreign_body(Avro::Union(0, Box::new(Avro::Null)));
    let inspector = Inspector::compile(FOREIGN, &sensors()).expect("compiles");
    let defect = inspector.inspect(&body, &mut Vec::new()).expect_err("null");
    assert_eq!(defect.code(), "null_key");
    assert_eq!(defect.to_string(), "feature `id`: a key feature is null");
}

#[test]
fn a_key_that_no_store_of_a_deployment_can_hold_is_a_defect() {
    let group = group("g", &[("id", "string")], &["id"], None);
    let inspector = Inspector::compile(&avro_schema(&group), &group).expect("compiles");
    let mut encoder = Encoder::new(&group, SCHEMA).expect("encoder");
    let mut key_of = |length: usize| {
        let row = vec![Value::String("k".repeat(length))];
        let record = encoder.encode(&batch(&group, &[row])).expect("encodes");
        let record = record.row(0);
        let (_, body) = parse_frame(&record).expect("framed");
        let mut key = Vec::new();
        inspector.inspect(body, &mut key).map(|_| key.len())
    };
    // The version and the length of the string come before it.
    let longest = KEY_BYTES_MAX - 5;
    assert_eq!(key_of(longest), Ok(KEY_BYTES_MAX));
    let defect = key_of(longest + 1).expect_err("too long");
    assert_eq!(defect.code(), "key_too_long");
    assert_eq!(
        defect.to_string(),
        "a key of 65536 bytes, wanted at most 65535"
    );
}

#[test]
fn several_writers_mix_in_one_batch_and_keep_their_order() {
    let old = weather_group();
    let added = Feature::new("humidity", FeatureType::Double).expect("valid");
    let added = added.with_default(Value::Double(0.5)).expect("fits");
    let station = Feature::new("station", FeatureType::String).expect("valid");
    let new = evolve(&old, vec![added, station]).expect("compatible");
    let row = |origin: &str, more: &[Value]| {
        let mut row = vec![
            Value::String(origin.to_owned()),
            Value::Timestamp(5),
            Value::Double(1.5),
            Value::Null,
            Value::Int(9),
        ];
        row.extend_from_slice(more);
        row
    };
    let humid = [Value::Double(0.75), Value::String("s".to_owned())];
    let record = |group: &FeatureGroup, id: u32, row: Vec<Value>| {
        let mut encoder = Encoder::new(group, SchemaId(id)).expect("encoder");
        let encoded = encoder.encode(&batch(group, &[row])).expect("encodes");
        encoded.row(0)
    };
    let values = [
        record(&old, 1, row("a", &[])),
        record(&new, 2, row("b", &humid)),
        record(&old, 1, row("c", &[])),
        record(&old, 9, row("d", &[])),
    ];
    let mut decoder = Decoder::new(&new).expect("decoder");
    decoder
        .add_schema(SchemaId(1), &avro_schema(&old))
        .expect("compiles");
    decoder
        .add_schema(SchemaId(2), &avro_schema(&new))
        .expect("compiles");
    let decoded = decoder.decode(&values).expect("decodes");
    assert_eq!(decoded.rows, [0, 1, 2]);
    assert_eq!(decoded.defects, [(3, Defect::UnknownSchema { id: 9 })]);
    let lacking = [Value::Double(0.5), Value::Null];
    let expected = [row("a", &lacking), row("b", &humid), row("c", &lacking)];
    assert_eq!(decoded.batch, batch(&new, &expected));
}

#[test]
fn a_reader_of_the_older_group_skips_what_it_does_not_know() {
    let old = weather_group();
    let added = Feature::new("extra", FeatureType::Map(Box::new(FeatureType::Double)));
    let new = evolve(&old, vec![added.expect("valid")]).expect("compatible");
    let row = vec![
        Value::String("a".to_owned()),
        Value::Timestamp(5),
        Value::Null,
        Value::Null,
        Value::Null,
        Value::Map(vec![("k".to_owned(), Value::Double(1.0))]),
    ];
    let mut encoder = Encoder::new(&new, SCHEMA).expect("encoder");
    let record = encoder
        .encode(&batch(&new, &[row]))
        .expect("encodes")
        .row(0);
    let inspector = Inspector::compile(&avro_schema(&new), &old).expect("compiles");
    let (_, body) = parse_frame(&record).expect("framed");
    let at = inspector.inspect(body, &mut Vec::new()).expect("valid");
    assert_eq!(at, Some(EventTime::from_micros(5)));
}

#[test]
fn schemas_that_do_not_lead_to_the_group_say_why() {
    let group = group("g", &[("id", "int"), ("score", "int")], &["id"], None);
    let record =
        |fields: &str| format!(r#"{{"type": "record", "name": "R", "fields": [{fields}]}}"#);
    let id = r#"{"name": "id", "type": "int"}"#;
    let with_id = |field: &str| record(&format!("{id}, {field}"));
    for (schema, reason) in [
        ("{".to_owned(), "not JSON"),
        (r#""string""#.to_owned(), "wanted a record at the top"),
        (
            record(""),
            "feature `id` does not exist in `the writer schema`",
        ),
        (
            record(r#"{"name": "id", "type": "long"}"#),
            "feature `id`: found bigint, wanted int",
        ),
        (
            record(r#"{"name": "id", "type": "null"}"#),
            "feature `id`: found null, wanted int",
        ),
        (record(&format!("{id}, {id}")), "field `id` stands twice"),
        (
            with_id(r#"{"name": "score", "type": ["null", "int", "long"]}"#),
            "feature `score`: found union of null and int and bigint, wanted int",
        ),
        (
            with_id(r#"{"name": "score", "type": {"type": "enum", "name": "E", "symbols": []}}"#),
            "feature `score`: found enum, wanted int",
        ),
        (
            with_id(r#"{"name": "score", "type": "Missing"}"#),
            "type `Missing` is not known",
        ),
        (with_id(r#"{"name": "score"}"#), "field `score` has no type"),
        (
            with_id(r#"{"name": "score", "type": {"type": "array"}}"#),
            "`items` is missing",
        ),
        (
            with_id(r#"{"name": "score", "type": []}"#),
            "a union has no branches",
        ),
    ] {
        let error = Inspector::compile(&schema, &group)
            .expect_err(reason)
            .to_string();
        assert!(error.contains(reason), "{error}");
    }
    let deep = "[".repeat(100_000);
    assert!(Inspector::compile(&deep, &group).is_err());
}

/// A group with the key `id` alone and a writer with a field `odd` beside it.
fn with_odd_field(r#type: &str) -> Inspector {
    let group = group("g", &[("id", "int")], &["id"], None);
    let schema = format!(
        r#"{{"type": "record", "name": "R", "fields": [
            {{"name": "odd", "type": {type}}}, {{"name": "id", "type": "int"}}]}}"#
    );
    Inspector::compile(&schema, &group).expect("compiles")
}

fn inspect(inspector: &Inspector, body: &[u8]) -> Result<(), &'static str> {
    let inspected = inspector.inspect(body, &mut Vec::new());
    inspected.map(drop).map_err(|defect| defect.code())
}

const HUGE_COUNT: [u8; 10] = [0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];

#[test]
fn items_without_bytes_do_not_loop() {
    let nulls = with_odd_field(r#"{"type": "array", "items": "null"}"#);
    let mut body = HUGE_COUNT.to_vec();
    body.extend_from_slice(&[0, 14]);
    assert_eq!(inspect(&nulls, &body), Ok(()));
    // Each level holds the one below twice: 2^30 values, not one byte.
    let mut nested = r#""null""#.to_owned();
    for level in 0..30 {
        let inner = if level == 0 {
            nested.clone()
        } else {
            format!("\"L{}\"", level - 1)
        };
        nested = format!(
            r#"{{"type": "record", "name": "L{level}", "fields": [
                {{"name": "a", "type": {nested}}}, {{"name": "b", "type": {inner}}}]}}"#
        );
    }
    assert_eq!(inspect(&with_odd_field(&nested), &[14]), Ok(()));
    let group = group("g", &[("id", "int"), ("odd", "array<int>")], &["id"], None);
    let schema = r#"{"type": "record", "name": "R", "fields": [{"name": "id", "type": "int"},
        {"name": "odd", "type": {"type": "array", "items": "null"}}]}"#;
    let error = Inspector::compile(schema, &group)
        .expect_err("no bytes")
        .to_string();
    assert!(
        error.contains("feature `odd`: found array, wanted array<int>"),
        "{error}"
    );
}

#[test]
fn blocks_must_hold_what_they_say() {
    let ints = with_odd_field(r#"{"type": "array", "items": "int"}"#);
    assert_eq!(inspect(&ints, &[4, 2, 4, 0, 14]), Ok(()));
    assert_eq!(
        inspect(&ints, &[3, 4, 2, 4, 0, 14]),
        Ok(()),
        "a block with its size"
    );
    assert_eq!(inspect(&ints, &[3, 2, 2, 4, 0, 14]), Err("invalid_length"));
    assert_eq!(inspect(&ints, &[3, 60, 2, 4, 0, 14]), Err("truncated"));
    assert_eq!(inspect(&ints, &[3, 1, 2, 4, 0, 14]), Err("invalid_length"));
    let mut body = HUGE_COUNT.to_vec();
    body.extend_from_slice(&[2, 2, 0, 14]);
    assert_eq!(inspect(&ints, &body), Err("truncated"));
    let min = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
    assert_eq!(inspect(&ints, &min), Err("truncated"));
}

#[test]
fn endless_nesting_is_cut() {
    let node = r#"["null", {"type": "record", "name": "N", "fields": [
        {"name": "next", "type": ["null", "N"]}]}]"#;
    let inspector = with_odd_field(node);
    let chain = |levels: usize| {
        let mut body = vec![2; levels];
        body.extend_from_slice(&[0, 14]);
        body
    };
    assert_eq!(inspect(&inspector, &chain(5)), Ok(()));
    assert_eq!(inspect(&inspector, &chain(100_000)), Err("nested_too_deep"));
    let itself = r#"{"type": "record", "name": "N", "fields": [{"name": "n", "type": "N"}]}"#;
    assert_eq!(
        inspect(&with_odd_field(itself), &[14]),
        Err("nested_too_deep")
    );
}

#[test]
fn null_embeddings_in_lists_do_not_exhaust_memory() {
    let group = group(
        "g",
        &[("id", "int"), ("e", "array<embedding(65536)>")],
        &["id"],
        None,
    );
    let inspector = Inspector::compile(&avro_schema(&group), &group).expect("compiles");
    let body = |items: i64| {
        let mut body = vec![14, 2];
        body.extend_from_slice(&varint(items));
        body.extend(std::iter::repeat_n(0, items as usize + 1));
        body
    };
    assert_eq!(inspect(&inspector, &body(200)), Ok(()));
    assert_eq!(inspect(&inspector, &body(10_000)), Err("too_many_nulls"));
}

fn varint(value: i64) -> Vec<u8> {
    avro_oracle::encode(&avro_oracle::schema(r#""long""#), Avro::Long(value))
}

#[test]
fn values_are_checked_against_their_types() {
    let group = group(
        "g",
        &[
            ("id", "int"),
            ("flag", "boolean"),
            ("price", "decimal(3,1)"),
            ("e", "embedding(2)"),
        ],
        &["id"],
        None,
    );
    let inspector = Inspector::compile(&avro_schema(&group), &group).expect("compiles");
    let floats = [0_u8; 8];
    let body = |id: &[u8], flag: &[u8], price: &[u8], count: u8| {
        let tail = [&[2, count][..], &floats, &[0]].concat();
        [id, flag, price, &tail].concat()
    };
    let good = body(&[14], &[2, 1], &[2, 4, 0x03, 0xe7], 4);
    assert_eq!(inspect(&inspector, &good), Ok(()));
    for (body, code) in [
        (body(&[14], &[2, 2], &[0], 4), "invalid_boolean"),
        (body(&[14], &[4, 1], &[0], 4), "invalid_union_branch"),
        (body(&[14], &[1, 1], &[0], 4), "invalid_union_branch"),
        (
            body(&[14], &[0], &[2, 4, 0x03, 0xe8], 4),
            "decimal_overflow",
        ),
        (body(&[14], &[0], &[2, 0], 4), "invalid_length"),
        (body(&[14], &[0], &[0], 2), "embedding_length"),
        (body(&[14], &[0], &[0], 6), "embedding_length"),
        (
            body(&[0xfe, 0xff, 0xff, 0xff, 0x7f], &[0], &[0], 4),
            "invalid_integer",
        ),
        ([&good[..], &[0]].concat(), "trailing_bytes"),
    ] {
        assert_eq!(inspect(&inspector, &body), Err(code), "{body:?}");
    }
}

#[test]
fn an_event_date_beyond_the_microseconds_is_a_defect() {
    let group = group("g", &[("id", "int"), ("day", "date")], &["id"], Some("day"));
    let encode = |day: i32| {
        let rows = batch(&group, &[vec![Value::Int(1), Value::Date(day)]]);
        let mut encoder = Encoder::new(&group, SCHEMA).expect("encoder");
        encoder.encode(&rows).expect("encodes").row(0)
    };
    let inspector = Inspector::compile(&avro_schema(&group), &group).expect("compiles");
    assert_eq!(inspect(&inspector, &encode(106_000_000)[5..]), Ok(()));
    assert_eq!(
        inspect(&inspector, &encode(i32::MAX)[5..]),
        Err("event_time_out_of_range")
    );
}

#[test]
fn a_key_of_many_features_in_another_order_than_the_record_is_found() {
    let names: Vec<String> = (0..20).map(|n| format!("k{n}")).collect();
    let features: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "int")).collect();
    let reversed: Vec<String> = names.iter().rev().cloned().collect();
    let spec = FeatureGroupSpec {
        primary_key: reversed,
        ..group("g", &features, &["k0"], None).to_spec()
    };
    let group = FeatureGroup::new(spec).expect("valid");
    let row: Vec<Value> = (0..20).map(Value::Int).collect();
    let mut encoder = Encoder::new(&group, SCHEMA).expect("encoder");
    let record = encoder
        .encode(&batch(&group, std::slice::from_ref(&row)))
        .expect("encodes");
    let inspector = Inspector::compile(&avro_schema(&group), &group).expect("compiles");
    let (mut key, mut expected) = (Vec::new(), Vec::new());
    inspector
        .inspect(&record.row(0)[5..], &mut key)
        .expect("valid");
    let values: Vec<Value> = row.into_iter().rev().collect();
    KeyEncoder::new(&group)
        .encode_values(&values, &mut expected)
        .expect("fits");
    assert_eq!(key, expected);
}
