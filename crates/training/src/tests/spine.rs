use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Date64Array, Int64Array, TimestampNanosecondArray,
    TimestampSecondArray,
};
use arrow::datatypes::Float64Type;
use arrow::record_batch::RecordBatch;
use twinfold_model::{FeatureGroup, FeatureType, Query, Value};

use super::fixtures::*;
use crate::{Options, Result, Source};

const DAY_MS: i64 = 86_400_000;
const DAY_US: i64 = 86_400_000_000;

fn clicks() -> Arc<FeatureGroup> {
    let features = [
        ("user", FeatureType::BigInt),
        ("at", FeatureType::Timestamp),
        ("score", FeatureType::Double),
    ];
    group("clicks", &features, &["user"], Some("at"), None)
}

fn scores() -> Query {
    query(select(&clicks(), &["score"]), vec![])
}

fn clicks_at(times_us: &[i64]) -> Vec<Source> {
    let click = |(offset, at): (usize, &i64)| {
        let score = Value::Double(offset as f64);
        let values = vec![Value::BigInt(1), Value::Timestamp(*at), score];
        upsert(*at, offset as i64, values)
    };
    let records: Vec<Record> = times_us.iter().enumerate().map(click).collect();
    vec![source(&clicks(), &records, 1, 8)]
}

/// User 1 at these times.
fn dataframe(times: ArrayRef) -> RecordBatch {
    let users = Arc::new(Int64Array::from(vec![1; times.len()])) as ArrayRef;
    RecordBatch::try_from_iter([("user", users), ("t", times)]).expect("valid")
}

async fn scores_at(
    sources: &[Source],
    dataframe: Vec<RecordBatch>,
    options: &Options,
) -> Result<Vec<Option<f64>>> {
    let rows = run_dataframe(&scores(), sources, dataframe, Some("t"), options).await?;
    let rows = collected(rows).await;
    Ok(rows
        .column(2)
        .as_primitive::<Float64Type>()
        .iter()
        .collect())
}

#[tokio::test]
async fn times_of_any_unit_are_taken_whole() {
    let sources = clicks_at(&[-1, 0, 1_000_000, DAY_US]);
    let options = Options::default();
    let seconds = dataframe(Arc::new(TimestampSecondArray::from(vec![0, 1])));
    let found = scores_at(&sources, vec![seconds], &options).await;
    assert_eq!(found.expect("whole"), [Some(1.0), Some(2.0)]);
    let nanoseconds = vec![Some(-1_000), None, Some(999_999_000)];
    let nanoseconds = dataframe(Arc::new(TimestampNanosecondArray::from(nanoseconds)));
    let found = scores_at(&sources, vec![nanoseconds], &options).await;
    assert_eq!(found.expect("whole"), [Some(0.0), None, Some(1.0)]);
    let days = dataframe(Arc::new(Date64Array::from(vec![0, DAY_MS])));
    let found = scores_at(&sources, vec![days], &options).await;
    assert_eq!(found.expect("whole"), [Some(1.0), Some(3.0)]);
}

#[tokio::test]
async fn times_that_would_lose_something_are_errors_with_their_row() {
    let sources = clicks_at(&[0]);
    let options = Options::default();
    let whole = dataframe(Arc::new(TimestampNanosecondArray::from(vec![0, 1_000])));
    let torn = dataframe(Arc::new(TimestampNanosecondArray::from(vec![2_000, -1])));
    let error = scores_at(&sources, vec![whole, torn], &options).await;
    let error = error.expect_err("one nanosecond before").to_string();
    assert!(
        error.contains("`t`") && error.contains("of -1") && error.contains("row 3"),
        "{error}"
    );
    let noon = dataframe(Arc::new(Date64Array::from(vec![0, DAY_MS / 2])));
    let error = scores_at(&sources, vec![noon], &options).await;
    let error = error.expect_err("a date with a time of day").to_string();
    assert!(
        error.contains("43200000") && error.contains("row 1"),
        "{error}"
    );
}

#[tokio::test]
async fn batches_have_a_row_at_least() {
    let sources = clicks_at(&[0]);
    let options = Options {
        batch_rows: 0,
        ..Options::default()
    };
    let times = dataframe(Arc::new(TimestampSecondArray::from(vec![0, 1])));
    let found = scores_at(&sources, vec![times], &options).await;
    assert_eq!(found.expect("ends"), [Some(0.0), Some(0.0)]);
}
