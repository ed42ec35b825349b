use std::collections::BTreeSet;

use proptest::prelude::*;
use twinfold_model::{
    ColumnStatistics, DISTINCT_VALUES_MAX, DatasetFormat, DatasetStatistics, FeatureType,
    SplitStatistics, Value,
};

use super::datasets::{batch, rows_of, spec, wait};
use super::fixtures::text;
use crate::{Written, write_dataset};

const TWO_SPLITS: [(&str, f64); 2] = [("train", 0.5), ("test", 0.5)];

fn written(
    rows: &[Vec<Value>],
    types: &[FeatureType],
    splits: &[(&str, f64)],
    batch_rows: usize,
) -> Written {
    let parent = tempfile::tempdir().expect("folder");
    let folder = parent.path().join("churn_1");
    let rows = rows_of(&batch(rows, types), batch_rows);
    let spec = spec(DatasetFormat::Parquet, splits);
    wait(write_dataset(rows, &spec, &folder)).expect("written")
}

/// The statistics of a dataset of one column.
fn of_column(r#type: FeatureType, values: Vec<Value>) -> ColumnStatistics {
    let rows: Vec<Vec<Value>> = values.into_iter().map(|value| vec![value]).collect();
    let statistics = written(&rows, &[r#type], &[], 2).statistics;
    assert!(statistics.splits.is_empty(), "{statistics:?}");
    assert_eq!(statistics.whole.rows, rows.len() as u64);
    let columns: [ColumnStatistics; 1] = statistics.whole.columns.try_into().expect("one column");
    let [column] = columns;
    column
}

/// What is said of a column of which there is nothing to say.
fn nothing() -> ColumnStatistics {
    ColumnStatistics {
        name: "c0".to_owned(),
        ..ColumnStatistics::default()
    }
}

fn decimal() -> FeatureType {
    FeatureType::Decimal {
        precision: 38,
        scale: 3,
    }
}

#[test]
fn floats_are_told_by_what_is_finite() {
    let doubles = [1.0, f64::NAN, 2.0, f64::INFINITY, 4.0, f64::NEG_INFINITY];
    let values = doubles.map(Value::Double).into_iter().chain([Value::Null]);
    let found = of_column(FeatureType::Double, values.collect());
    let wanted = ColumnStatistics {
        nulls: 1,
        nans: 1,
        infinities: 2,
        min: Some(Value::Double(1.0)),
        max: Some(Value::Double(4.0)),
        mean: found.mean,
        standard_deviation: found.standard_deviation,
        ..nothing()
    };
    assert_eq!(found, wanted);
    assert_close(found.mean, Some(7.0 / 3.0), 4.0);
    let deviation = (7.0_f64 / 3.0).sqrt();
    assert_close(found.standard_deviation, Some(deviation), 4.0);

    let none_finite = [f64::NAN, f64::INFINITY].map(Value::Double).into();
    let found = of_column(FeatureType::Double, none_finite);
    let wanted = ColumnStatistics {
        nans: 1,
        infinities: 1,
        ..nothing()
    };
    assert_eq!(found, wanted);
    let zeros = of_column(FeatureType::Float, [0.0, -0.0].map(Value::Float).into());
    // Equal to `==`, so it is their signs that are compared.
    assert_eq!(format!("{:?}", zeros.min), "Some(Float(-0.0))");
    assert_eq!(format!("{:?}", zeros.max), "Some(Float(0.0))");
}

#[test]
fn numbers_have_exact_bounds() {
    let extremes = [i64::MIN, i64::MAX].map(Value::BigInt);
    let found = of_column(FeatureType::BigInt, extremes.to_vec());
    assert_eq!(found.min, Some(Value::BigInt(i64::MIN)));
    assert_eq!(found.max, Some(Value::BigInt(i64::MAX)));
    assert_close(found.mean, Some(0.0), 2_f64.powi(63));
    let apart = 2_f64.powi(64);
    assert_close(found.standard_deviation, Some(apart / 2_f64.sqrt()), apart);

    let unscaled = [-1_i128, 10_i128.pow(37), 2];
    let decimals = unscaled.map(|unscaled| Value::Decimal { unscaled, scale: 3 });
    let found = of_column(decimal(), decimals.to_vec());
    assert_eq!(found.min, Some(decimals[0].clone()));
    assert_eq!(found.max, Some(decimals[1].clone()));
    assert_close(found.mean, Some(1e34 / 3.0), 1e34);
}

#[test]
fn times_have_bounds_and_no_mean() {
    let times = [5, i64::MIN, 7].map(Value::Timestamp);
    let wanted = ColumnStatistics {
        min: Some(times[1].clone()),
        max: Some(times[2].clone()),
        ..nothing()
    };
    assert_eq!(of_column(FeatureType::Timestamp, times.to_vec()), wanted);
    let dates = [-3, 3].map(Value::Date);
    let wanted = ColumnStatistics {
        min: Some(dates[0].clone()),
        max: Some(dates[1].clone()),
        ..nothing()
    };
    assert_eq!(of_column(FeatureType::Date, dates.to_vec()), wanted);
}

#[test]
fn texts_are_counted_and_measured_in_characters() {
    let values = vec![text("naïve"), text("é"), Value::Null, text("é")];
    let wanted = ColumnStatistics {
        nulls: 1,
        distinct_values: Some(2),
        length_min: Some(1),
        length_max: Some(5),
        ..nothing()
    };
    assert_eq!(of_column(FeatureType::String, values), wanted);
    let many = (0..=DISTINCT_VALUES_MAX).map(|number| text(&number.to_string()));
    let found = of_column(FeatureType::String, many.collect());
    assert_eq!(found.distinct_values, None);
    assert_eq!(found.length_max, Some(4));
}

#[test]
fn booleans_and_bytes_have_what_suits_them() {
    let same = vec![Value::Boolean(true), Value::Null, Value::Boolean(true)];
    let wanted = ColumnStatistics {
        nulls: 1,
        distinct_values: Some(1),
        ..nothing()
    };
    assert_eq!(of_column(FeatureType::Boolean, same), wanted);
    let bytes = vec![Value::Null, Value::Binary(vec![1])];
    let wanted = ColumnStatistics {
        nulls: 1,
        ..nothing()
    };
    assert_eq!(of_column(FeatureType::Binary, bytes), wanted);
    let embeddings = vec![Value::Embedding(vec![0.5, f32::NAN]), Value::Null];
    assert_eq!(of_column(FeatureType::Embedding(2), embeddings), wanted);
}

#[test]
fn little_content_has_little_to_tell() {
    let types = [FeatureType::Int, FeatureType::Double, decimal()];
    for r#type in types {
        let none = of_column(r#type.clone(), vec![]);
        assert_eq!(none, nothing());
        let nulls = of_column(r#type, vec![Value::Null; 3]);
        let wanted = ColumnStatistics {
            nulls: 3,
            ..nothing()
        };
        assert_eq!(nulls, wanted);
    }
    let no_text = of_column(FeatureType::String, vec![]);
    assert_eq!(
        (no_text.distinct_values, no_text.length_min),
        (Some(0), None)
    );
    let one = of_column(FeatureType::Int, vec![Value::Int(7)]);
    let wanted = ColumnStatistics {
        min: Some(Value::Int(7)),
        max: Some(Value::Int(7)),
        mean: Some(7.0),
        ..nothing()
    };
    assert_eq!(one, wanted);
}

fn column_types() -> Vec<FeatureType> {
    vec![
        FeatureType::Double,
        FeatureType::Float,
        FeatureType::BigInt,
        FeatureType::Int,
        decimal(),
        FeatureType::Timestamp,
        FeatureType::String,
        FeatureType::Boolean,
    ]
}

fn some_rows() -> impl Strategy<Value = Vec<Vec<Value>>> {
    let double = prop_oneof![
        8 => -1e6..1e6,
        1 => prop::sample::select(vec![f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, -0.0]),
    ];
    let bigint = prop_oneof![
        any::<i64>(),
        prop::sample::select(vec![i64::MIN, i64::MAX]),
        0_i64..3
    ];
    let row = (
        double.clone(),
        double,
        bigint,
        any::<i32>(),
        -(10_i128.pow(37))..10_i128.pow(37),
        -1_000_000_000_000_000_i64..4_000_000_000_000_000,
        "[aé]{0,3}",
        any::<bool>(),
        prop::collection::vec(prop::bool::weighted(0.2), 8),
    );
    let values = row.prop_map(|row| {
        let values = vec![
            Value::Double(row.0),
            Value::Float(row.1 as f32),
            Value::BigInt(row.2),
            Value::Int(row.3),
            Value::Decimal {
                unscaled: row.4,
                scale: 3,
            },
            Value::Timestamp(row.5),
            Value::String(row.6),
            Value::Boolean(row.7),
        ];
        let keep_or_null = |(value, null): (Value, bool)| if null { Value::Null } else { value };
        values.into_iter().zip(row.8).map(keep_or_null).collect()
    });
    prop::collection::vec(values, 0..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn statistics_are_those_of_the_values(rows in some_rows(), batch_rows in 1_usize..40) {
        let types = column_types();
        let dealt = written(&rows, &types, &TWO_SPLITS, batch_rows);
        assert_said_of(&dealt.statistics.whole, &rows);
        let split_rows: u64 = dealt.statistics.splits.values().map(|split| split.rows).sum();
        prop_assert_eq!(split_rows, rows.len() as u64);
        prop_assert_eq!(
            dealt.statistics.splits.keys().collect::<Vec<_>>(),
            dealt.rows.keys().collect::<Vec<_>>()
        );
        let undivided = written(&rows, &types, &[], batch_rows).statistics;
        assert_said_of(&undivided.whole, &rows);
    }

    #[test]
    fn the_same_digest_has_the_same_statistics(
        rows in some_rows(), one in 1_usize..40, other in 1_usize..40,
    ) {
        for splits in [&[][..], &TWO_SPLITS[..]] {
            let [one, other] = [one, other].map(|batch_rows| {
                written(&rows, &column_types(), splits, batch_rows)
            });
            prop_assert_eq!(&one.digest, &other.digest);
            // Every bit, signs of zeros too.
            prop_assert_eq!(bits(&one.statistics), bits(&other.statistics));
        }
    }
}

fn bits(statistics: &DatasetStatistics) -> String {
    format!("{statistics:?}")
}

/// Says the same of every column as a look at all of its values does.
fn assert_said_of(found: &SplitStatistics, rows: &[Vec<Value>]) {
    assert_eq!(found.rows, rows.len() as u64);
    for (index, column) in found.columns.iter().enumerate() {
        let values: Vec<&Value> = rows.iter().map(|row| &row[index]).collect();
        assert_eq!(column.name, format!("c{index}"));
        let nulls = values.iter().filter(|value| value.is_null()).count();
        assert_eq!(column.nulls, nulls as u64);
        let present: Vec<&Value> = values.into_iter().filter(|v| !v.is_null()).collect();
        match index {
            0..=4 => assert_numbers(column, &present),
            5 => assert_eq!((column.mean, column.standard_deviation), (None, None)),
            _ => assert_distinct(column, &present),
        }
    }
}

fn assert_numbers(column: &ColumnStatistics, present: &[&Value]) {
    let all: Vec<f64> = present.iter().map(|value| double(value)).collect();
    let count = |is: fn(f64) -> bool| all.iter().filter(|v| is(**v)).count() as u64;
    assert_eq!(column.nans, count(f64::is_nan));
    assert_eq!(column.infinities, count(f64::is_infinite));
    let finite: Vec<f64> = all.iter().copied().filter(|v| v.is_finite()).collect();
    let greatest = finite.iter().fold(0.0, |most: f64, v| most.max(v.abs()));
    let n = finite.len() as f64;
    let mean = finite.iter().sum::<f64>() / n;
    let squares: f64 = finite.iter().map(|v| (v - mean) * (v - mean)).sum();
    let deviation = (squares / (n - 1.0)).sqrt();
    assert_close(column.mean, (n > 0.0).then_some(mean), greatest);
    let wanted = (n > 1.0).then_some(deviation);
    assert_close(column.standard_deviation, wanted, greatest);
    let ordered = |a: &&&Value, b: &&&Value| compared(a, b);
    let finite = || present.iter().filter(|value| double(value).is_finite());
    let (min, max) = (finite().min_by(ordered), finite().max_by(ordered));
    assert_eq!(column.min.as_ref(), min.copied());
    assert_eq!(column.max.as_ref(), max.copied());
}

fn assert_distinct(column: &ColumnStatistics, present: &[&Value]) {
    let shown: BTreeSet<String> = present.iter().map(|value| format!("{value:?}")).collect();
    assert_eq!(column.distinct_values, Some(shown.len() as u64));
    let lengths = || {
        present.iter().filter_map(|value| match value {
            Value::String(text) => Some(text.chars().count() as u64),
            _ => None,
        })
    };
    assert_eq!(column.length_min, lengths().min());
    assert_eq!(column.length_max, lengths().max());
}

fn double(value: &Value) -> f64 {
    match value {
        Value::Double(v) => *v,
        Value::Float(v) => f64::from(*v),
        Value::BigInt(v) => *v as f64,
        Value::Int(v) => f64::from(*v),
        Value::Decimal { unscaled, .. } => *unscaled as f64 / 1000.0,
        other => panic!("{other:?} is no number"),
    }
}

/// Integers as such: as doubles some that differ would be equal.
fn compared(left: &Value, right: &Value) -> std::cmp::Ordering {
    match (left, right) {
        (Value::BigInt(left), Value::BigInt(right)) => left.cmp(right),
        (
            Value::Decimal { unscaled: left, .. },
            Value::Decimal {
                unscaled: right, ..
            },
        ) => left.cmp(right),
        _ => double(left).total_cmp(&double(right)),
    }
}

/// Equal but for rounding, which grows with the greatest number.
fn assert_close(found: Option<f64>, wanted: Option<f64>, greatest: f64) {
    match (found, wanted) {
        (Some(found), Some(wanted)) => {
            let apart = (found - wanted).abs();
            assert!(apart <= greatest * 1e-12, "{found} instead of {wanted}");
        }
        _ => assert_eq!(found, wanted),
    }
}
