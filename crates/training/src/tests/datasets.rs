use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::task::Poll;

use arrow::array::Array;
use arrow::compute::concat_batches;
use arrow::datatypes::{Field, Schema};
use arrow::record_batch::RecordBatch;
use proptest::prelude::*;
use twinfold_model::{
    DatasetFormat, DatasetSource, DatasetSpec, DatasetSplit, EventTime, FeatureType, Name,
    ProjectName, StructField, TrainingDataset, Value,
};
use twinfold_wire::record::arrow_type_of;

use super::fixtures::*;
use crate::{
    DatasetPlace, Error, Rows, WHOLE_SPLIT, Written, digest_files, digest_rows, read_dataset,
    verify, write_dataset,
};

pub(super) fn spec(format: DatasetFormat, splits: &[(&str, f64)]) -> DatasetSpec {
    let split = |(name, share): &(&str, f64)| DatasetSplit {
        name: (*name).to_owned(),
        share: *share,
    };
    DatasetSpec {
        project: ProjectName::new("default").expect("valid"),
        name: Name::new("dataset", "churn").expect("valid"),
        version: None,
        source: DatasetSource::Query(the_query()),
        labels: vec![],
        defaults: BTreeMap::new(),
        format,
        splits: splits.iter().map(split).collect(),
        seed: 42,
        event_time_start: None,
        event_time_end: None,
        description: String::new(),
    }
}

fn the_query() -> twinfold_model::Query {
    let group = group("g", &[("id", FeatureType::Int)], &["id"], None, None);
    query(select(&group, &["id"]), vec![])
}

fn dataset(spec: &DatasetSpec, written: &Written) -> TrainingDataset {
    TrainingDataset {
        project: spec.project.clone(),
        name: spec.name.clone(),
        version: 1,
        spec: spec.clone(),
        query: the_query(),
        pins: vec![],
        features: written.features.clone(),
        rows: written.rows.clone(),
        location: "datasets/churn_1".to_owned(),
        digest: written.digest.clone(),
        created_at: EventTime::from_micros(0),
    }
}

fn flat_types() -> Vec<FeatureType> {
    vec![
        FeatureType::String,
        FeatureType::Double,
        FeatureType::Timestamp,
        FeatureType::Binary,
        FeatureType::Boolean,
        FeatureType::Decimal {
            precision: 12,
            scale: 3,
        },
        FeatureType::Float,
        FeatureType::Date,
        FeatureType::BigInt,
    ]
}

fn flat_rows() -> impl Strategy<Value = Vec<Vec<Value>>> {
    let row = (
        prop_oneof![
            Just(String::new()),
            Just("a,\"b\"\nc".to_owned()),
            any::<String>()
        ],
        any::<f64>(),
        -1_000_000_000_000_000_i64..4_000_000_000_000_000,
        prop::collection::vec(any::<u8>(), 0..5),
        any::<bool>(),
        -999_999_999_999_i128..999_999_999_999,
        any::<f32>(),
        -100_000_i32..100_000,
        any::<i64>(),
        prop::collection::vec(prop::bool::weighted(0.2), 9),
    );
    let values = row.prop_map(|row| {
        let values = vec![
            Value::String(row.0),
            Value::Double(row.1),
            Value::Timestamp(row.2),
            Value::Binary(row.3),
            Value::Boolean(row.4),
            Value::Decimal {
                unscaled: row.5,
                scale: 3,
            },
            Value::Float(row.6),
            Value::Date(row.7),
            Value::BigInt(row.8),
        ];
        let keep_or_null = |(value, null): (Value, bool)| if null { Value::Null } else { value };
        values.into_iter().zip(row.9).map(keep_or_null).collect()
    });
    prop::collection::vec(values, 0..60)
}

pub(super) fn batch(rows: &[Vec<Value>], types: &[FeatureType]) -> RecordBatch {
    let field = |(index, r#type): (usize, &FeatureType)| {
        Field::new(format!("c{index}"), arrow_type_of(r#type), true)
    };
    let fields: Vec<Field> = types.iter().enumerate().map(field).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns_of(rows, types)).expect("valid")
}

pub(super) fn rows_of(batch: &RecordBatch, batch_rows: usize) -> Rows {
    let starts = (0..batch.num_rows()).step_by(batch_rows);
    let slice = |at| Ok(batch.slice(at, batch_rows.min(batch.num_rows() - at)));
    let slices: Vec<_> = starts.map(slice).collect();
    Rows::new(batch.schema(), futures::stream::iter(slices))
}

async fn read_back(
    folder: &Path,
    spec: &DatasetSpec,
    split: &str,
    written: &Written,
) -> RecordBatch {
    let rows = read_dataset(folder, spec.format, split, &written.features).expect("there");
    collected(rows).await
}

pub(super) fn wait<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread().build();
    runtime.expect("threads").block_on(future)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn files_read_back_to_the_same_rows_and_digest(
        rows in flat_rows(), csv in any::<bool>(), batch_rows in 1_usize..40,
    ) {
        let format = if csv { DatasetFormat::Csv } else { DatasetFormat::Parquet };
        let spec = spec(format, &[("train", 0.5), ("test", 0.5)]);
        let original = batch(&rows, &flat_types());
        let parent = tempfile::tempdir().expect("folder");
        let folder = parent.path().join("churn_1");
        wait(async {
            let written = write_dataset(rows_of(&original, batch_rows), &spec, &folder)
                .await
                .expect("written");
            verify(&folder, &dataset(&spec, &written)).await.expect("unchanged");
            let again = digest_rows(rows_of(&original, 7), &spec.splits, spec.seed).await;
            assert_eq!(again.expect("digest").combined(), written.digest);
            let train = read_back(&folder, &spec, "train", &written).await;
            let test = read_back(&folder, &spec, "test", &written).await;
            assert_eq!(train.num_rows() as u64, written.rows["train"]);
            assert_eq!(train.num_rows() + test.num_rows(), rows.len());

            let whole = self::spec(format, &[]);
            let folder = parent.path().join("churn_2");
            let written = write_dataset(rows_of(&original, batch_rows), &whole, &folder)
                .await
                .expect("written");
            let read = read_back(&folder, &whole, WHOLE_SPLIT, &written).await;
            // NaN is not equal to itself, so compare as the digest does.
            let digest = |rows| digest_rows(rows, &[], 0);
            assert_eq!(
                digest(rows_of(&read, 5)).await.expect("digest"),
                digest(rows_of(&original, 9)).await.expect("digest")
            );
        });
    }

    #[test]
    fn any_changed_value_changes_the_digest(
        rows in flat_rows(), row in any::<prop::sample::Index>(), column in 0_usize..9,
    ) {
        prop_assume!(!rows.is_empty());
        let mut changed = rows.clone();
        let value = &mut changed[row.index(rows.len())][column];
        *value = match value {
            Value::Null => batch_default(&flat_types()[column]),
            _ => Value::Null,
        };
        let digest = |rows: &[Vec<Value>]| {
            let rows = rows_of(&batch(rows, &flat_types()), 8);
            wait(digest_rows(rows, &[], 0)).expect("digest")
        };
        prop_assert_ne!(digest(&rows), digest(&changed));
    }
}

/// What a null is hashed like, but for its being null.
fn batch_default(r#type: &FeatureType) -> Value {
    match r#type {
        FeatureType::String => text(""),
        FeatureType::Double => Value::Double(0.0),
        FeatureType::Timestamp => Value::Timestamp(0),
        FeatureType::Binary => Value::Binary(vec![]),
        FeatureType::Boolean => Value::Boolean(false),
        FeatureType::Float => Value::Float(0.0),
        FeatureType::Date => Value::Date(0),
        FeatureType::BigInt => Value::BigInt(0),
        other => Value::Decimal {
            unscaled: 0,
            scale: match other {
                FeatureType::Decimal { scale, .. } => *scale,
                _ => 0,
            },
        },
    }
}

fn nested() -> RecordBatch {
    let pair = FeatureType::Struct(vec![
        StructField::new("x", FeatureType::Double).expect("valid"),
        StructField::new("y", FeatureType::String).expect("valid"),
    ]);
    let types = [
        FeatureType::Array(Box::new(pair)),
        FeatureType::Map(Box::new(FeatureType::Array(Box::new(FeatureType::Int)))),
        FeatureType::Embedding(2),
    ];
    let item = |x: f64, y: &str| Value::Struct(vec![Value::Double(x), text(y)]);
    let entry = |key: &str, items: Vec<Value>| (key.to_owned(), Value::Array(items));
    let rows = vec![
        vec![
            Value::Array(vec![item(1.0, "a"), Value::Null, item(f64::NAN, "")]),
            Value::Map(vec![
                entry("k", vec![Value::Int(1), Value::Null]),
                entry("l", vec![]),
            ]),
            Value::Embedding(vec![0.5, -0.5]),
        ],
        vec![Value::Null, Value::Null, Value::Null],
        vec![
            Value::Array(vec![]),
            Value::Map(vec![]),
            Value::Embedding(vec![1.0, 2.0]),
        ],
    ];
    batch(&rows, &types)
}

#[tokio::test]
async fn nested_columns_keep_their_digest_through_parquet_and_are_refused_as_csv() {
    let parent = tempfile::tempdir().expect("folder");
    let folder = parent.path().join("nested_1");
    let parquet = spec(DatasetFormat::Parquet, &[]);
    let written = write_dataset(rows_of(&nested(), 2), &parquet, &folder)
        .await
        .expect("written");
    verify(&folder, &dataset(&parquet, &written))
        .await
        .expect("unchanged");
    // A slice hashes like what it shows, not like what it is cut from.
    let tail = nested().slice(1, 2);
    let copy =
        concat_batches(&tail.schema(), [&tail.slice(0, 1), &tail.slice(1, 1)]).expect("same");
    let digest = |batch: RecordBatch| async move {
        digest_rows(rows_of(&batch, 9), &[], 0)
            .await
            .expect("digest")
    };
    assert_eq!(digest(tail).await, digest(copy).await);

    let folder = parent.path().join("nested_2");
    let csv = spec(DatasetFormat::Csv, &[]);
    let error = write_dataset(rows_of(&nested(), 2), &csv, &folder)
        .await
        .expect_err("nested");
    assert!(matches!(error, Error::CsvType { .. }), "{error}");
    assert_eq!(fs::read_dir(parent.path()).expect("folder").count(), 1);
}

#[tokio::test]
async fn verify_sees_a_changed_file() {
    let parent = tempfile::tempdir().expect("folder");
    let folder = parent.path().join("churn_1");
    let spec = spec(DatasetFormat::Csv, &[]);
    let types = [FeatureType::BigInt, FeatureType::String];
    let rows = vec![
        vec![Value::BigInt(1234), text("x")],
        vec![Value::Null, text("")],
    ];
    let written = write_dataset(rows_of(&batch(&rows, &types), 8), &spec, &folder)
        .await
        .expect("written");
    let made = dataset(&spec, &written);
    let file = folder.join(&written.files[0]);
    let text = fs::read_to_string(&file).expect("text");
    assert_eq!(text, "c0,c1\n1234,x\n,\"\"\n");

    fs::write(&file, text.replace("1234", "1235")).expect("changed");
    let error = verify(&folder, &made).await.expect_err("changed");
    assert!(matches!(error, Error::DigestMismatch { .. }), "{error}");
    fs::write(&file, text.replace("1234", "no number")).expect("changed");
    let error = verify(&folder, &made).await.expect_err("broken");
    assert!(matches!(error, Error::Corrupt { .. }), "{error}");
    fs::write(&file, &text[..text.len() - 1]).expect("cut");
    let error = verify(&folder, &made).await.expect_err("cut off");
    assert!(matches!(error, Error::Corrupt { .. }), "{error}");
    fs::write(&file, text).expect("restored");
    assert_eq!(
        digest_files(&folder, &made)
            .await
            .expect("whole")
            .combined(),
        made.digest
    );
}

#[tokio::test]
async fn a_failed_query_and_a_taken_folder_leave_nothing_behind() {
    let parent = tempfile::tempdir().expect("folder");
    let folder = parent.path().join("churn_1");
    let spec = spec(DatasetFormat::Parquet, &[]);
    let good = batch(&[vec![Value::BigInt(1)]], &[FeatureType::BigInt]);
    let failing = futures::stream::iter(vec![
        Ok(good.clone()),
        Err(Error::InvalidSource {
            reason: "torn".to_owned(),
        }),
    ]);
    let error = write_dataset(Rows::new(good.schema(), failing), &spec, &folder)
        .await
        .expect_err("torn");
    assert!(error.to_string().contains("torn"));
    assert_eq!(fs::read_dir(parent.path()).expect("folder").count(), 0);

    fs::create_dir(&folder).expect("taken");
    let error = write_dataset(rows_of(&good, 1), &spec, &folder)
        .await
        .expect_err("taken");
    assert!(matches!(error, Error::DatasetExists { .. }), "{error}");
}

#[tokio::test]
async fn a_dataset_is_removed_finished_or_not_and_nothing_else_is() {
    let parent = tempfile::tempdir().expect("folder");
    let datasets = parent.path().join("datasets");
    let place = |name| DatasetPlace::Folder(datasets.join(name));
    place("churn_1").remove().await.expect("there is none");
    let spec = spec(DatasetFormat::Parquet, &[]);
    let good = batch(&[vec![Value::BigInt(1)]], &[FeatureType::BigInt]);
    for name in ["churn_1", "churn_3"] {
        place(name).check_free().await.expect("free");
        let written = place(name).write(rows_of(&good, 1), &spec).await;
        written.expect("written");
    }
    let taken = place("churn_3").check_free().await;
    assert!(matches!(taken, Err(Error::DatasetExists { .. })));
    let left = datasets.join(".churn_2.unfinished").join("all");
    fs::create_dir_all(&left).expect("left by a crash");
    fs::write(left.join("part-00000.parquet"), "torn").expect("left by a crash");
    for name in ["churn_2", "churn_3"] {
        place(name).remove().await.expect("removed");
    }
    assert_eq!(names(&datasets), ["churn_1"]);
}

fn names(folder: &Path) -> Vec<std::ffi::OsString> {
    let entries = fs::read_dir(folder).expect("folder");
    let names = entries.map(|entry| entry.expect("readable").file_name());
    let mut names: Vec<_> = names.collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_dataset_that_nobody_waits_for_leaves_nothing() {
    let parent = tempfile::tempdir().expect("folder");
    let spec = spec(DatasetFormat::Parquet, &[]);
    let good = batch(&[vec![Value::BigInt(1)]], &[FeatureType::BigInt]);
    let is_asked = Arc::new(tokio::sync::Notify::new());
    let asked = Arc::clone(&is_asked);
    let endless = futures::stream::poll_fn(move |_| {
        asked.notify_one();
        Poll::Pending
    });
    let has_begun = async {
        is_asked.notified().await;
        assert_eq!(names(parent.path()), [".churn_1.unfinished"]);
    };
    let folder = parent.path().join("churn_1");
    tokio::select! {
        _ = write_dataset(Rows::new(good.schema(), endless), &spec, &folder) => {
            panic!("rows that never end were written")
        }
        () = has_begun => {}
    }
    assert!(names(parent.path()).is_empty());
    write_dataset(rows_of(&good, 1), &spec, &folder)
        .await
        .expect("the name is free");
}

#[tokio::test]
async fn an_empty_result_is_a_dataset_too() {
    let parent = tempfile::tempdir().expect("folder");
    let none = batch(&[], &[FeatureType::BigInt]);
    assert_eq!(none.column(0).len(), 0);
    for (format, name) in [(DatasetFormat::Parquet, "p"), (DatasetFormat::Csv, "c")] {
        let spec = spec(format, &[("train", 0.8), ("test", 0.2)]);
        let folder = parent.path().join(name);
        let written = write_dataset(rows_of(&none, 1), &spec, &folder)
            .await
            .expect("written");
        assert_eq!(written.files.len(), 2);
        assert_eq!(
            read_back(&folder, &spec, "test", &written).await.num_rows(),
            0
        );
    }
}
