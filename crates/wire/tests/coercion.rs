//! What dataframes hold, and what becomes of it.

use std::sync::Arc;

use arrow::array::*;
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::cast;
use arrow::datatypes::*;
use twinfold_model::{Feature, FeatureGroup, FeatureGroupSpec, FeatureType, Value, evolve};
use twinfold_testkit::{all_types_group, batch, group, rows, weather_group};
use twinfold_wire::record::{arrow_schema, arrow_type_of, coerce, coerce_keys, feature_type_of};
use twinfold_wire::row::{KEY_BYTES_MAX, KeyEncoder};

const FIRST_ROW: u64 = 1_000;

fn frame(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter(columns).expect("columns of one length")
}

/// Coerces `column` as the feature `f` beside the key.
fn coerce_column(r#type: &str, column: ArrayRef) -> Result<ArrayRef, String> {
    let group = group("g", &[("id", "int"), ("f", r#type)], &["id"], None);
    let ids = Int32Array::from_iter_values(0..column.len() as i32);
    let frame = frame(vec![("f", column), ("id", Arc::new(ids))]);
    let coerced = coerce(&frame, &group, FIRST_ROW).map_err(|error| error.to_string())?;
    assert_eq!(coerced.schema(), arrow_schema(&group));
    Ok(coerced.column(1).clone())
}

fn ok(r#type: &str, column: impl Array + 'static, expected: impl Array + 'static) {
    let name = format!("{} as {type}", column.data_type());
    let coerced = coerce_column(r#type, Arc::new(column)).unwrap_or_else(|e| panic!("{name}: {e}"));
    let expected: ArrayRef = Arc::new(expected);
    assert_eq!(&coerced, &expected, "{name}");
}

fn refused(r#type: &str, column: impl Array + 'static, message: &str) {
    let found = column.data_type().clone();
    match coerce_column(r#type, Arc::new(column)) {
        Ok(_) => panic!("{found} was taken as {type}"),
        Err(error) => assert!(error.contains(message), "{error}"),
    }
}

#[test]
fn numbers_widen_without_loss() {
    ok(
        "int",
        Int8Array::from(vec![Some(-1), None]),
        Int32Array::from(vec![Some(-1), None]),
    );
    ok(
        "int",
        UInt16Array::from(vec![65535]),
        Int32Array::from(vec![65535]),
    );
    ok(
        "bigint",
        UInt8Array::from(vec![7]),
        Int64Array::from(vec![7]),
    );
    ok(
        "bigint",
        UInt32Array::from(vec![u32::MAX]),
        Int64Array::from(vec![i64::from(u32::MAX)]),
    );
    ok(
        "double",
        Int16Array::from(vec![3]),
        Float64Array::from(vec![3.0]),
    );
    ok(
        "double",
        Float32Array::from(vec![0.5]),
        Float64Array::from(vec![0.5]),
    );
    let half = cast(&Float32Array::from(vec![0.5]), &DataType::Float16).expect("casts");
    assert_eq!(
        coerce_column("float", half),
        Ok(Arc::new(Float32Array::from(vec![0.5])) as _)
    );
}

#[test]
fn numbers_that_could_lose_something_are_refused() {
    refused(
        "int",
        Int64Array::from(vec![1]),
        "feature `f`: found bigint, wanted int (row 1000)",
    );
    refused(
        "float",
        Int32Array::from(vec![1]),
        "found int, wanted float",
    );
    refused(
        "float",
        Float64Array::from(vec![1.0]),
        "found double, wanted float",
    );
    refused(
        "double",
        Int64Array::from(vec![1]),
        "found bigint, wanted double",
    );
    refused(
        "bigint",
        UInt64Array::from(vec![1]),
        "its range exceeds bigint",
    );
    refused(
        "int",
        UInt32Array::from(vec![None, Some(1)]),
        "found bigint, wanted int (row 1001)",
    );
    refused(
        "boolean",
        Int32Array::from(vec![1]),
        "found int, wanted boolean",
    );
    refused(
        "int",
        StringArray::from(vec!["1"]),
        "found string, wanted int",
    );
}

#[test]
fn text_and_bytes_come_in_any_layout() {
    let expected = || StringArray::from(vec![Some("a"), None, Some("bc")]);
    ok(
        "string",
        LargeStringArray::from(vec![Some("a"), None, Some("bc")]),
        expected(),
    );
    ok(
        "string",
        StringViewArray::from(vec![Some("a"), None, Some("bc")]),
        expected(),
    );
    let categories: DictionaryArray<Int8Type> =
        vec![Some("a"), None, Some("bc")].into_iter().collect();
    ok("string", categories, expected());
    let bytes: Vec<Option<&[u8]>> = vec![Some(b"x"), None];
    ok(
        "binary",
        LargeBinaryArray::from(bytes.clone()),
        BinaryArray::from(bytes.clone()),
    );
    ok(
        "binary",
        BinaryViewArray::from(bytes.clone()),
        BinaryArray::from(bytes.clone()),
    );
    let fixed = FixedSizeBinaryArray::try_from_sparse_iter_with_size(bytes.clone().into_iter(), 1);
    ok(
        "binary",
        fixed.expect("one byte each"),
        BinaryArray::from(bytes),
    );
    refused(
        "binary",
        StringArray::from(vec!["a"]),
        "found string, wanted binary",
    );
}

#[test]
fn times_keep_their_instant_or_are_refused_with_the_row() {
    let utc =
        |values: Vec<Option<i64>>| TimestampMicrosecondArray::from(values).with_timezone("UTC");
    let second = || utc(vec![Some(2_000_000), None]);
    ok(
        "timestamp",
        TimestampSecondArray::from(vec![Some(2), None]),
        second(),
    );
    ok(
        "timestamp",
        TimestampMillisecondArray::from(vec![Some(2000), None]),
        second(),
    );
    ok(
        "timestamp",
        TimestampMicrosecondArray::from(vec![Some(2_000_000), None]),
        second(),
    );
    let warsaw = TimestampNanosecondArray::from(vec![Some(2_000_000_000), None]);
    ok("timestamp", warsaw.with_timezone("Europe/Warsaw"), second());
    ok(
        "timestamp",
        Date32Array::from(vec![1]),
        utc(vec![Some(86_400_000_000)]),
    );
    ok(
        "date",
        Date64Array::from(vec![Some(-86_400_000), None]),
        Date32Array::from(vec![Some(-1), None]),
    );
    refused(
        "timestamp",
        TimestampNanosecondArray::from(vec![Some(1000), None, Some(1001)]),
        "Timestamp(ns) of 1001, which has no exact value, wanted timestamp (row 1002)",
    );
    refused(
        "timestamp",
        TimestampSecondArray::from(vec![i64::MAX]),
        "(row 1000)",
    );
    refused(
        "timestamp",
        Date32Array::from(vec![0, i32::MAX]),
        "(row 1001)",
    );
    refused(
        "date",
        Date64Array::from(vec![1]),
        "of 1, which has no exact value, wanted date",
    );
    refused(
        "date",
        TimestampSecondArray::from(vec![0]),
        "found timestamp, wanted date",
    );
    refused(
        "timestamp",
        Int64Array::from(vec![0]),
        "found bigint, wanted timestamp",
    );
}

#[test]
fn decimals_fit_by_value() {
    let wanted = |values: Vec<Option<i128>>| {
        let values = Decimal128Array::from(values);
        values.with_precision_and_scale(5, 2).expect("valid")
    };
    let found = |values: Vec<Option<i128>>, precision, scale| {
        let values = Decimal128Array::from(values);
        values
            .with_precision_and_scale(precision, scale)
            .expect("valid")
    };
    ok(
        "decimal(5,2)",
        found(vec![Some(123), None], 3, 2),
        wanted(vec![Some(123), None]),
    );
    ok(
        "decimal(5,2)",
        found(vec![Some(-12)], 20, 1),
        wanted(vec![Some(-120)]),
    );
    ok(
        "decimal(5,2)",
        found(vec![Some(5000)], 20, 3),
        wanted(vec![Some(500)]),
    );
    let wide = Decimal256Array::from(vec![i256::from_i128(99_999)]);
    ok(
        "decimal(5,2)",
        wide.with_precision_and_scale(50, 2).expect("valid"),
        wanted(vec![Some(99_999)]),
    );
    let small = Decimal32Array::from(vec![7])
        .with_precision_and_scale(3, 0)
        .expect("valid");
    ok("decimal(5,2)", small, wanted(vec![Some(700)]));
    refused(
        "decimal(5,2)",
        found(vec![Some(1), Some(100_000)], 20, 2),
        "(row 1001)",
    );
    refused(
        "decimal(5,2)",
        found(vec![Some(5001)], 20, 3),
        "wanted decimal(5,2) (row 1000)",
    );
    refused(
        "decimal(5,2)",
        Float64Array::from(vec![1.5]),
        "found double, wanted decimal(5,2)",
    );
}

#[test]
fn lists_come_in_any_layout_and_errors_name_the_row() {
    let expected = || {
        ListArray::from_iter_primitive::<Int64Type, _, _>(vec![
            Some(vec![Some(1), None]),
            None,
            Some(vec![]),
            Some(vec![Some(2)]),
        ])
    };
    let narrow = ListArray::from_iter_primitive::<Int32Type, _, _>(vec![
        Some(vec![Some(1), None]),
        None,
        Some(vec![]),
        Some(vec![Some(2)]),
    ]);
    let large = DataType::LargeList(Arc::new(Field::new("element", DataType::Int16, true)));
    ok(
        "array<bigint>",
        cast(&narrow, &large)
            .expect("casts")
            .as_list::<i64>()
            .clone(),
        expected(),
    );
    let sliced = ListArray::from_iter_primitive::<Int32Type, _, _>(vec![
        Some(vec![Some(9)]),
        Some(vec![Some(1), None]),
        None,
        Some(vec![]),
        Some(vec![Some(2)]),
    ]);
    ok("array<bigint>", sliced.slice(1, 4), expected());
    ok("array<bigint>", narrow, expected());
    let ns = TimestampNanosecondArray::from(vec![0, 1, 1]);
    let item = Arc::new(Field::new("item", ns.data_type().clone(), true));
    let nulls = NullBuffer::from(vec![true, false, true]);
    let hidden = ListArray::new(
        item.clone(),
        OffsetBuffer::from_lengths([1, 2, 0]),
        Arc::new(ns.clone()),
        Some(nulls),
    );
    assert!(
        coerce_column("array<timestamp>", Arc::new(hidden)).is_ok(),
        "no value is wrong"
    );
    let shown = ListArray::new(
        item,
        OffsetBuffer::from_lengths([1, 0, 2]),
        Arc::new(ns),
        None,
    );
    refused("array<timestamp>", shown, "(row 1002)");
    refused(
        "array<int>",
        expected(),
        "found bigint, wanted int (row 1000)",
    );
}

#[test]
fn embeddings_have_one_length_and_no_nulls() {
    let lists = |rows: Vec<Option<Vec<Option<f32>>>>| {
        ListArray::from_iter_primitive::<Float32Type, _, _>(rows)
    };
    let item = Arc::new(Field::new("item", DataType::Float32, true));
    let floats = Arc::new(Float32Array::from(vec![1.0, 2.0, 0.0, 0.0, 3.0, 4.0]));
    let nulls = NullBuffer::from(vec![true, false, true]);
    let expected = FixedSizeListArray::new(item, 2, floats, Some(nulls));
    let rows = vec![
        Some(vec![Some(1.0), Some(2.0)]),
        None,
        Some(vec![Some(3.0), Some(4.0)]),
    ];
    ok("embedding(2)", lists(rows), expected.clone());
    let nullable_items = Arc::new(Field::new("element", DataType::Float32, true));
    let items = Float32Array::from(vec![Some(1.0), Some(2.0), None, None, Some(3.0), Some(4.0)]);
    let nulls = NullBuffer::from(vec![true, false, true]);
    let fixed = FixedSizeListArray::new(nullable_items, 2, Arc::new(items), Some(nulls));
    ok("embedding(2)", fixed.clone(), expected);
    refused(
        "embedding(3)",
        fixed,
        "found a list of 2 items, wanted embedding(3) (row 1000)",
    );
    refused(
        "embedding(1)",
        lists(vec![Some(vec![Some(1.0)]), Some(vec![])]),
        "(row 1001)",
    );
    refused(
        "embedding(1)",
        lists(vec![None, Some(vec![None])]),
        "found a null item, wanted embedding(1) (row 1001)",
    );
    let doubles = ListArray::from_iter_primitive::<Float64Type, _, _>(vec![Some(vec![Some(1.0)])]);
    refused("embedding(1)", doubles, "found double, wanted float");
}

#[test]
fn structs_are_matched_by_name_and_maps_by_entry() {
    let ints: ArrayRef = Arc::new(Int16Array::from(vec![Some(1), None]));
    let field = |name: &str, r#type: &DataType| Arc::new(Field::new(name, r#type.clone(), true));
    let found = StructArray::from(vec![(field("y", ints.data_type()), ints)]);
    let coerced = coerce_column("struct<x:string,y:bigint>", Arc::new(found.clone()));
    let coerced = coerced.expect("fits");
    assert_eq!(coerced.as_struct().column(0).null_count(), 2);
    let y = coerced.as_struct().column(1).as_primitive::<Int64Type>();
    assert_eq!(y, &Int64Array::from(vec![Some(1), None]));
    refused(
        "struct<x:string>",
        found,
        "found a struct with field `y`, wanted struct<x:string>",
    );

    let mut builder = MapBuilder::new(None, StringBuilder::new(), Int8Builder::new());
    builder.keys().append_value("k");
    builder.values().append_value(5);
    builder.append(true).expect("even");
    builder.append(false).expect("even");
    let map = builder.finish();
    let expected = coerce_column("map<string,int>", Arc::new(map.clone())).expect("fits");
    assert_eq!(
        expected.data_type(),
        &arrow_type_of(&"map<string,int>".parse().expect("valid"))
    );
    assert_eq!(
        expected
            .as_map()
            .values()
            .as_primitive::<Int32Type>()
            .values(),
        &[5]
    );
    let entry = Fields::from(vec![
        Field::new("key", DataType::Utf8, true),
        Field::new("value", DataType::Int8, true),
    ]);
    let entries = StructArray::new(entry.clone(), map.entries().columns().to_vec(), None);
    let list = ListArray::new(
        Arc::new(Field::new("item", DataType::Struct(entry), true)),
        map.offsets().clone(),
        Arc::new(entries),
        map.nulls().cloned(),
    );
    assert_eq!(
        coerce_column("map<string,int>", Arc::new(list)),
        Ok(expected)
    );
    refused(
        "map<string,string>",
        map,
        "found int, wanted string (row 1000)",
    );
}

#[test]
fn a_column_of_nulls_fits_every_nullable_feature() {
    for feature in all_types_group().features() {
        let r#type = feature.r#type.to_string();
        let nulls = coerce_column(&r#type, Arc::new(NullArray::new(3))).expect("nullable");
        assert_eq!(nulls.null_count(), 3, "{type}");
    }
}

#[test]
fn columns_are_matched_by_name() {
    let group = weather_group();
    let origin: ArrayRef = Arc::new(StringArray::from(vec!["a", "b"]));
    let at: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![1, 2]));
    let error = |columns: Vec<(&str, ArrayRef)>| {
        coerce(&frame(columns), &group, FIRST_ROW)
            .expect_err("refused")
            .to_string()
    };
    let coerced = coerce(
        &frame(vec![
            ("observed_at", at.clone()),
            ("origin", origin.clone()),
        ]),
        &group,
        0,
    );
    let coerced = coerced.expect("the rest may be null");
    assert_eq!(coerced.schema(), arrow_schema(&group));
    assert_eq!(coerced.column(2).null_count(), 2);
    assert_eq!(
        error(vec![
            ("origin", origin.clone()),
            ("observed_at", at.clone()),
            ("tmp", at.clone())
        ]),
        "feature `tmp` does not exist in `default.weather_1`; it has origin, observed_at, temp, \
         wind_speed, visibility"
    );
    assert_eq!(
        error(vec![("observed_at", at.clone())]),
        "feature `origin` does not exist in `the dataframe`; it has observed_at"
    );
    assert!(
        error(vec![("origin", origin.clone())]).contains("feature `observed_at` does not exist")
    );
    let holes: ArrayRef = Arc::new(StringArray::from(vec![Some("a"), None]));
    assert_eq!(
        error(vec![("origin", holes), ("observed_at", at.clone())]),
        "feature `origin`: found null, wanted string (row 1001)"
    );
    let categories: DictionaryArray<Int8Type> = vec![Some("a"), None].into_iter().collect();
    assert!(
        error(vec![("origin", Arc::new(categories)), ("observed_at", at)]).contains("row 1001")
    );
    let nulls: ArrayRef = Arc::new(NullArray::new(2));
    assert!(error(vec![("origin", origin), ("observed_at", nulls)]).contains("found null"));
}

#[test]
fn absent_features_take_their_default() {
    let added = Feature::new("humidity", FeatureType::Double)
        .expect("valid")
        .required();
    let added = added.with_default(Value::Double(0.5)).expect("fits");
    let group = evolve(&weather_group(), vec![added]).expect("compatible");
    let frame = rows(&weather_group(), 1, 2);
    let coerced = coerce(&frame, &group, 0).expect("the default fills it");
    assert_eq!(
        coerced.column(5).as_primitive::<Float64Type>().values(),
        &[0.5, 0.5]
    );
}

#[test]
fn deletes_need_the_key_alone() {
    let group = weather_group();
    let origin: ArrayRef = Arc::new(StringArray::from(vec!["a"]));
    let deletes = coerce_keys(&frame(vec![("origin", origin)]), &group, 0).expect("enough");
    let zero = vec![
        Value::String("a".to_owned()),
        Value::Timestamp(0),
        Value::Null,
        Value::Null,
        Value::Null,
    ];
    assert_eq!(deletes, batch(&group, &[zero]));
    let other: ArrayRef = Arc::new(Int32Array::from(vec![1]));
    let error = coerce_keys(&frame(vec![("visibility", other)]), &group, 0).expect_err("no key");
    assert!(
        error
            .to_string()
            .contains("feature `origin` does not exist in `the dataframe`")
    );
}

#[test]
fn a_group_can_be_made_from_the_columns_of_a_dataframe() {
    for feature in all_types_group().features() {
        let field = Field::new("c", arrow_type_of(&feature.r#type), true);
        assert_eq!(feature_type_of(&field).expect("canonical"), feature.r#type);
    }
    let dictionary = |value| DataType::Dictionary(Box::new(DataType::Int32), Box::new(value));
    let list = |item| Arc::new(Field::new("item", item, true));
    for (found, expected) in [
        (DataType::UInt16, "int"),
        (DataType::UInt32, "bigint"),
        (DataType::Float16, "float"),
        (DataType::LargeUtf8, "string"),
        (dictionary(DataType::Utf8), "string"),
        (DataType::Date64, "date"),
        (DataType::Timestamp(TimeUnit::Nanosecond, None), "timestamp"),
        (DataType::LargeList(list(DataType::Float32)), "array<float>"),
        (
            DataType::FixedSizeList(list(DataType::Float32), 8),
            "embedding(8)",
        ),
        (
            DataType::FixedSizeList(list(DataType::Float64), 8),
            "array<double>",
        ),
        (DataType::Decimal256(20, 3), "decimal(20,3)"),
    ] {
        let inferred = feature_type_of(&Field::new("c", found, true)).expect(expected);
        assert_eq!(inferred.to_string(), expected);
    }
    for (found, reason) in [
        (DataType::UInt64, "its range exceeds bigint"),
        (DataType::Null, "it holds only nulls"),
        (
            DataType::Duration(TimeUnit::Second),
            "column `c` has type Duration(s)",
        ),
        (
            DataType::Interval(IntervalUnit::DayTime),
            "column `c` has type Interval(DayTime)",
        ),
        (
            DataType::Time64(TimeUnit::Microsecond),
            "column `c` has type Time64(µs)",
        ),
        (DataType::Decimal256(60, 3), "at most 38 digits"),
        (DataType::Decimal128(5, -2), "at most 38 digits"),
        (
            DataType::List(list(DataType::UInt64)),
            "its range exceeds bigint",
        ),
        (
            DataType::FixedSizeList(list(DataType::Float32), 0),
            "wanted a length from 1",
        ),
    ] {
        let error = feature_type_of(&Field::new("c", found, true))
            .expect_err(reason)
            .to_string();
        assert!(error.contains(reason), "{error}");
    }
}

/// A group whose key is the event time too still coerces; composite definitions go through `to_spec`.
#[test]
fn a_key_may_be_the_event_time() {
    let spec = FeatureGroupSpec {
        event_time: Some("at".to_owned()),
        ..group("g", &[("at", "timestamp")], &["at"], None).to_spec()
    };
    let group = FeatureGroup::new(spec).expect("valid");
    let at: ArrayRef = Arc::new(TimestampSecondArray::from(vec![3]));
    let coerced = coerce(&frame(vec![("at", at)]), &group, 0).expect("fits");
    assert_eq!(coerced, batch(&group, &[vec![Value::Timestamp(3_000_000)]]));
}

#[test]
fn a_key_that_no_store_takes_is_refused_before_it_is_sent() {
    let group = group(
        "g",
        &[("a", "string"), ("b", "int"), ("c", "binary")],
        &["c", "a", "b"],
        None,
    );
    // The version, the int and two lengths come on top.
    let longest = KEY_BYTES_MAX - 1 - 4 - 2 * 4;
    let frame_of = |bytes: usize| {
        let text = "k".repeat(bytes - 10);
        let texts: ArrayRef = Arc::new(StringArray::from(vec!["short", text.as_str()]));
        let numbers: ArrayRef = Arc::new(Int32Array::from(vec![1, 2]));
        let binaries: ArrayRef = Arc::new(BinaryArray::from(vec![&[0; 10][..], &[0; 10][..]]));
        frame(vec![("a", texts), ("b", numbers), ("c", binaries)])
    };
    let keys = KeyEncoder::new(&group);
    for check in [coerce, coerce_keys] {
        let fits = check(&frame_of(longest), &group, FIRST_ROW).expect("fits");
        let key = keys.encode(&fits).expect("canonical").key(1);
        assert_eq!(key.len(), KEY_BYTES_MAX);
        let error = check(&frame_of(longest + 1), &group, FIRST_ROW).expect_err("too long");
        assert_eq!(
            error.to_string(),
            "feature `c, a, b`: found a key of 65536 bytes, wanted at most 65535 bytes (row 1001)"
        );
    }
    let values = [
        Value::Binary(vec![0; 10]),
        Value::String("k".repeat(longest - 9)),
        Value::Int(1),
    ];
    let mut key = vec![7];
    let error = keys.encode_values(&values, &mut key).expect_err("too long");
    assert!(error.to_string().contains("65536 bytes"), "{error}");
    assert_eq!(key, [7]);
}
