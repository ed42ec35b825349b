use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Int64Array, LargeStringArray, TimestampNanosecondArray,
};
use arrow::datatypes::{Float64Type, Int32Type, Int64Type};
use arrow::record_batch::RecordBatch;
use twinfold_model::{
    CompareOp, EventTime, Feature, FeatureGroup, FeatureType, Filter, JoinKind, SchemaId,
    StructField, Value,
};

use super::fixtures::*;
use crate::{Error, Options, Source};

fn clicks() -> Arc<FeatureGroup> {
    group(
        "clicks",
        &[
            ("user", FeatureType::BigInt),
            ("at", FeatureType::Timestamp),
            ("score", FeatureType::Double),
        ],
        &["user"],
        Some("at"),
        None,
    )
}

fn click(user: i64, at: i64, offset: i64, score: Option<f64>) -> Record {
    let score = score.map_or(Value::Null, Value::Double);
    upsert(
        at,
        offset,
        vec![Value::BigInt(user), Value::Timestamp(at), score],
    )
}

fn clicks_source(records: &[Record]) -> Vec<Source> {
    vec![source(&clicks(), records, 2, 3)]
}

fn bigints(batch: &RecordBatch, column: usize) -> Vec<Option<i64>> {
    batch
        .column(column)
        .as_primitive::<Int64Type>()
        .iter()
        .collect()
}

fn compare(feature: &str, op: CompareOp, value: Value) -> Filter {
    let feature = feature.to_owned();
    Filter::Compare { feature, op, value }
}

async fn users_where(filter: Filter) -> Vec<Option<i64>> {
    let sources = clicks_source(&[
        click(1, 10, 0, Some(0.5)),
        click(2, 11, 1, None),
        click(3, 12, 2, Some(2.0)),
    ]);
    let mut query = query(select(&clicks(), &["user", "score"]), vec![]);
    query.filter = Some(filter);
    let rows = run(&query, &sources, &Options::default())
        .await
        .expect("valid");
    bigints(&collected(rows).await, 0)
}

#[tokio::test]
async fn filters_know_three_truth_values() {
    let above_one = || compare("score", CompareOp::Greater, Value::Int(1));
    assert_eq!(users_where(above_one()).await, [Some(3)]);
    // Not unknown is unknown: the null score is in neither.
    assert_eq!(
        users_where(Filter::Not(Box::new(above_one()))).await,
        [Some(1)]
    );
    let is_null = Filter::IsNull {
        feature: "score".to_owned(),
    };
    assert_eq!(users_where(is_null.clone()).await, [Some(2)]);
    let either = Filter::Or(Box::new(is_null), Box::new(above_one()));
    assert_eq!(users_where(either).await, [Some(2), Some(3)]);
    let among = Filter::In {
        feature: "user".to_owned(),
        values: vec![Value::Int(1), Value::BigInt(3)],
    };
    let both = Filter::And(
        Box::new(among),
        Box::new(compare("user", CompareOp::NotEqual, Value::Int(1))),
    );
    assert_eq!(users_where(both).await, [Some(3)]);
}

/// It would be true of nothing, which is hardly what was meant.
#[tokio::test]
async fn a_filter_does_not_compare_with_null() {
    let mut query = query(select(&clicks(), &["user"]), vec![]);
    query.filter = Some(compare("user", CompareOp::Equal, Value::Null));
    let refused = run(&query, &clicks_source(&[]), &Options::default()).await;
    let reason = refused.err().expect("refused").to_string();
    assert!(reason.contains("compares with null"), "{reason}");
}

/// A constant that is wider than its column: the column is widened, not the constant cut.
#[tokio::test]
async fn a_column_is_compared_in_the_width_of_the_constant() {
    let group = group(
        "rides",
        &[("id", FeatureType::Int), ("tip", FeatureType::Float)],
        &["id"],
        None,
        None,
    );
    let record = |id: i32, tip| {
        let values = vec![Value::Int(id), Value::Float(tip)];
        upsert(id.into(), id.into(), values)
    };
    let sources = vec![source(&group, &[record(1, 0.1), record(2, 0.5)], 1, 3)];
    for (filter, wanted) in [
        // 0.1 as a float is a little more than 0.1.
        (compare("tip", CompareOp::Greater, Value::Double(0.1)), 2),
        (compare("tip", CompareOp::Equal, Value::Double(0.5)), 1),
        (compare("id", CompareOp::Less, Value::BigInt(1 << 40)), 2),
        (
            Filter::In {
                feature: "id".to_owned(),
                values: vec![Value::Int(2), Value::BigInt(1 << 40), Value::Double(0.5)],
            },
            1,
        ),
    ] {
        let mut query = query(select(&group, &["id", "tip"]), vec![]);
        query.filter = Some(filter.clone());
        let rows = run(&query, &sources, &Options::default()).await;
        let found = collected(rows.expect("valid")).await.num_rows();
        assert_eq!(found, wanted, "{filter:?}");
    }
}

#[tokio::test]
async fn a_filter_does_not_bring_superseded_rows_to_light() {
    let sources = clicks_source(&[click(1, 10, 0, Some(5.0)), click(1, 10, 1, Some(1.0))]);
    let mut query = query(select(&clicks(), &["score"]), vec![]);
    query.filter = Some(compare("score", CompareOp::Greater, Value::Double(2.0)));
    let rows = run(&query, &sources, &Options::default())
        .await
        .expect("valid");
    assert_eq!(collected(rows).await.num_rows(), 0);
}

#[tokio::test]
async fn bounds_hold_for_the_spine_and_not_for_what_it_looks_up() {
    let sources = clicks_source(&[
        click(1, 10, 0, Some(1.0)),
        click(1, 20, 1, Some(2.0)),
        click(1, 30, 2, Some(3.0)),
    ]);
    let options = Options {
        event_time_start: Some(EventTime::from_micros(20)),
        event_time_end: Some(EventTime::from_micros(30)),
        ..Options::default()
    };
    let only = query(select(&clicks(), &["score"]), vec![]);
    let rows = collected(run(&only, &sources, &options).await.expect("valid")).await;
    assert_eq!(
        rows.column(0).as_primitive::<Float64Type>().values(),
        &[2.0]
    );

    let dataframe = RecordBatch::try_from_iter([
        (
            "user",
            Arc::new(Int64Array::from(vec![1, 1, 1])) as ArrayRef,
        ),
        (
            "t",
            Arc::new(TimestampNanosecondArray::from(vec![15_000, 25_000, 35_000])),
        ),
    ])
    .expect("valid");
    let rows = run_dataframe(&only, &sources, vec![dataframe], Some("t"), &options)
        .await
        .expect("valid");
    let rows = collected(rows).await;
    assert_eq!(rows.schema().field(2).name(), "score");
    assert_eq!(
        rows.column(2).as_primitive::<Float64Type>().values(),
        &[2.0]
    );
}

#[tokio::test]
async fn a_delete_hides_up_to_its_time_and_a_later_row_comes_back() {
    let gone = delete(20, 5, vec![Value::BigInt(1), Value::Null, Value::Null]);
    let sources = clicks_source(&[
        click(1, 10, 0, Some(1.0)),
        click(1, 20, 9, Some(2.0)),
        gone,
        click(1, 21, 2, Some(3.0)),
    ]);
    let only = query(select(&clicks(), &["score"]), vec![]);
    let rows = run(&only, &sources, &Options::default())
        .await
        .expect("valid");
    let rows = collected(rows).await;
    assert_eq!(
        rows.column(0).as_primitive::<Float64Type>().values(),
        &[3.0]
    );

    let dataframe = RecordBatch::try_from_iter([
        ("user", Arc::new(Int64Array::from(vec![1; 4])) as ArrayRef),
        (
            "t",
            Arc::new(TimestampNanosecondArray::from(vec![
                9_000, 19_000, 20_000, 21_000,
            ])),
        ),
    ])
    .expect("valid");
    let rows = run_dataframe(
        &only,
        &sources,
        vec![dataframe],
        Some("t"),
        &Options::default(),
    )
    .await
    .expect("valid");
    let rows = collected(rows).await;
    let scores: Vec<_> = rows
        .column(2)
        .as_primitive::<Float64Type>()
        .iter()
        .collect();
    assert_eq!(scores, [None, Some(1.0), None, Some(3.0)]);
}

#[tokio::test]
async fn a_column_of_the_dataframe_stands_in_for_the_left_groups_feature() {
    let sources = clicks_source(&[click(1, 10, 0, Some(1.0))]);
    let dataframe = RecordBatch::try_from_iter([
        (
            "score",
            Arc::new(arrow::array::Float32Array::from(vec![9.0])) as ArrayRef,
        ),
        ("note", Arc::new(LargeStringArray::from(vec!["kept"]))),
    ])
    .expect("valid");
    let only = query(select(&clicks(), &["score"]), vec![]);
    let rows = run_dataframe(&only, &sources, vec![dataframe], None, &Options::default())
        .await
        .expect("valid");
    let rows = collected(rows).await;
    assert_eq!(rows.num_columns(), 2);
    assert_eq!(rows.column(1).as_string::<i32>().value(0), "kept");
}

/// A spine much larger than the memory is joined in many passes, to the same result.
#[tokio::test]
async fn memory_decides_the_number_of_passes_and_not_the_result() {
    let records: Vec<Record> = (0..400)
        .map(|row| click(row % 50, row, row, Some(row as f64)))
        .collect();
    let sources = clicks_source(&records);
    let dataframe = RecordBatch::try_from_iter([
        (
            "user",
            Arc::new(Int64Array::from_iter_values(
                (0..3_000).map(|row| row * 7 % 60),
            )) as ArrayRef,
        ),
        (
            "t",
            Arc::new(TimestampNanosecondArray::from_iter_values(
                (0..3_000).map(|row| row * 131 % 500 * 1_000),
            )),
        ),
    ])
    .expect("valid");
    let only = query(select(&clicks(), &["score"]), vec![]);
    let mut results = Vec::new();
    for memory_bytes_max in [1 << 30, 40_000] {
        let options = Options {
            memory_bytes_max,
            batch_rows: 128,
            ..Options::default()
        };
        let rows = run_dataframe(
            &only,
            &sources,
            vec![dataframe.clone()],
            Some("t"),
            &options,
        )
        .await
        .expect("valid");
        results.push(collected(rows).await);
    }
    assert_eq!(results[0].num_rows(), 3_000);
    assert!(results[0].column(2).null_count() < 3_000);
    assert_eq!(results[0], results[1]);

    let options = Options {
        memory_bytes_max: 64,
        ..Options::default()
    };
    let rows = run_dataframe(&only, &sources, vec![dataframe], Some("t"), &options);
    let batches: Result<Vec<_>, Error> =
        futures::TryStreamExt::try_collect(rows.await.expect("valid")).await;
    let error = batches.expect_err("nothing fits").to_string();
    assert!(error.contains("memory_bytes_max"), "{error}");
}

#[tokio::test]
async fn rows_whose_writer_lacked_a_feature_have_its_default() {
    let level = Feature::new("level", FeatureType::Int).expect("valid");
    let features = vec![
        Feature::new("user", FeatureType::BigInt).expect("valid"),
        level.with_default(Value::Int(7)).expect("valid"),
    ];
    let group = group_of("users", features, &["user"], None, None);
    let row = |user: i64, schema: i32, level: Value| Record {
        schema,
        ..upsert(user, user, vec![Value::BigInt(user), level])
    };
    let records = [
        row(1, 4, Value::Null),
        row(2, 5, Value::Null),
        row(3, 5, Value::Int(3)),
    ];
    let mut of_users = source(&group, &records, 1, 8);
    of_users.lacking = BTreeMap::from([("level".to_owned(), vec![SchemaId(2), SchemaId(4)])]);
    let query = query(
        select(&group, &["level"]),
        vec![join(
            select(&group, &["level"]),
            &[],
            JoinKind::Left,
            "same_",
        )],
    );
    let sources = [of_users.clone(), of_users];
    let rows = run(&query, &sources, &Options::default()).await;
    let rows = collected(rows.expect("valid")).await;
    for column in rows.columns() {
        let levels: Vec<_> = column.as_primitive::<Int32Type>().iter().collect();
        assert_eq!(levels, [Some(7), None, Some(3)]);
    }
}

/// A snapshot from before a feature was added has no column for it.
#[tokio::test]
async fn a_feature_that_the_snapshot_lacks_is_null() {
    let old = clicks();
    let mut spec = old.to_spec();
    spec.features
        .push(Feature::new("added", FeatureType::String).expect("valid"));
    let new = Arc::new(FeatureGroup::new(spec).expect("valid"));
    let mut of_old = source(&old, &[click(1, 10, 0, Some(1.0))], 1, 8);
    of_old.group = Arc::clone(&new);
    let query = query(
        select(&new, &["user"]),
        vec![join(
            select(&new, &["added", "score"]),
            &[],
            JoinKind::Left,
            "then_",
        )],
    );
    let rows = run(&query, &[of_old.clone(), of_old], &Options::default())
        .await
        .expect("valid");
    let rows = collected(rows).await;
    assert!(rows.column(1).is_null(0));
    assert_eq!(rows.column(2).as_primitive::<Float64Type>().value(0), 1.0);
}

#[tokio::test]
async fn every_type_comes_through_a_join() {
    let point = FeatureType::Struct(vec![
        StructField::new("x", FeatureType::Double).expect("valid"),
        StructField::new("name", FeatureType::String).expect("valid"),
    ]);
    let cases = [
        (FeatureType::Boolean, Value::Boolean(true)),
        (FeatureType::Int, Value::Int(1)),
        (FeatureType::Float, Value::Float(1.5)),
        (
            FeatureType::Decimal {
                precision: 10,
                scale: 2,
            },
            Value::Decimal {
                unscaled: 1234,
                scale: 2,
            },
        ),
        (FeatureType::String, text("s")),
        (FeatureType::Binary, Value::Binary(vec![0, 255])),
        (FeatureType::Date, Value::Date(3)),
        (FeatureType::Timestamp, Value::Timestamp(4)),
        (
            FeatureType::Array(Box::new(FeatureType::Int)),
            Value::Array(vec![Value::Int(1), Value::Null]),
        ),
        (
            FeatureType::Map(Box::new(FeatureType::Double)),
            Value::Map(vec![("k".to_owned(), Value::Null)]),
        ),
        (point, Value::Struct(vec![Value::Double(0.5), Value::Null])),
        (FeatureType::Embedding(2), Value::Embedding(vec![1.0, 2.0])),
    ];
    let mut features = vec![Feature::new("id", FeatureType::Int).expect("valid")];
    let mut names = Vec::new();
    for (index, (r#type, _)) in cases.iter().enumerate() {
        names.push(format!("f{index}"));
        features.push(Feature::new(&names[index], r#type.clone()).expect("valid"));
    }
    let group = group_of("all", features, &["id"], None, None);
    let row = |id: i32, values: Vec<Value>| [vec![Value::Int(id)], values].concat();
    let full: Vec<Value> = cases.iter().map(|(_, value)| value.clone()).collect();
    let empty = vec![Value::Null; cases.len()];
    let records = [
        upsert(1, 0, row(1, full.clone())),
        upsert(1, 1, row(2, empty.clone())),
        upsert(2, 2, row(3, full.clone())),
    ];
    let gone = delete(3, 3, row(3, empty.clone()));
    let records = [records.to_vec(), vec![gone]].concat();
    let of_all = source(&group, &records, 2, 1);
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let dataframe = RecordBatch::try_from_iter([(
        "id",
        Arc::new(arrow::array::Int32Array::from(vec![3, 2, 1, 4, 1])) as ArrayRef,
    )])
    .expect("valid");
    let only = query(select(&group, &names), vec![]);
    let rows = run_dataframe(&only, &[of_all], vec![dataframe], None, &Options::default())
        .await
        .expect("valid");
    let rows = collected(rows).await;
    let types: Vec<FeatureType> = cases.iter().map(|(r#type, _)| r#type.clone()).collect();
    let wanted = [empty.clone(), empty.clone(), full.clone(), empty, full];
    assert_eq!(&rows.columns()[1..], columns_of(&wanted, &types).as_slice());
}
