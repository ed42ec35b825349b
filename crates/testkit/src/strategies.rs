//! Proptest strategies for feature types, values, groups and rows. They shrink.

use arrow::array::RecordBatch;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::Union;
use twinfold_model::{Feature, FeatureGroup, FeatureType, StructField, Value};

use crate::groups::from_features;
use crate::rows::batch;

/// 0001-01-01 to 9999-12-31, what Delta, Python and Parquet statistics can all hold.
const DAYS: std::ops::Range<i32> = -719_162..2_932_896;
const DAY_US: i64 = 86_400_000_000;
/// 2000-01-01 to 2024-01-01: in the past of any test, and some of them the same.
const EVENT_DAYS: std::ops::Range<i32> = 10_957..19_723;

/// A type that may stand in a primary key.
pub fn key_type() -> impl Strategy<Value = FeatureType> {
    select(vec![
        FeatureType::Int,
        FeatureType::BigInt,
        FeatureType::String,
        FeatureType::Boolean,
        FeatureType::Date,
        FeatureType::Timestamp,
        FeatureType::Binary,
    ])
}

/// Any type, nested at most three deep.
pub fn feature_type() -> impl Strategy<Value = FeatureType> {
    let decimal = (1_u8..=38)
        .prop_flat_map(|precision| (Just(precision), 0..=precision))
        .prop_map(|(precision, scale)| FeatureType::Decimal { precision, scale });
    let leaf = prop_oneof![
        7 => key_type(),
        1 => Just(FeatureType::Float),
        1 => Just(FeatureType::Double),
        1 => decimal,
        1 => (1_u32..8).prop_map(FeatureType::Embedding),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            inner
                .clone()
                .prop_map(|item| FeatureType::Array(Box::new(item))),
            inner
                .clone()
                .prop_map(|item| FeatureType::Map(Box::new(item))),
            vec(inner, 1..4).prop_map(|types| {
                let field = |(index, r#type)| {
                    StructField::new(&format!("field_{index}"), r#type).expect("a valid name")
                };
                FeatureType::Struct(types.into_iter().enumerate().map(field).collect())
            }),
        ]
    })
}

/// A value of a type, never null itself; parts of nested values may be. Includes NaN.
pub fn value(r#type: &FeatureType) -> BoxedStrategy<Value> {
    match r#type {
        FeatureType::Boolean => any::<bool>().prop_map(Value::Boolean).boxed(),
        FeatureType::Int => any::<i32>().prop_map(Value::Int).boxed(),
        FeatureType::BigInt => any::<i64>().prop_map(Value::BigInt).boxed(),
        FeatureType::Float => float().prop_map(Value::Float).boxed(),
        FeatureType::Double => double().prop_map(Value::Double).boxed(),
        FeatureType::Decimal { precision, scale } => {
            let scale = *scale;
            let limit = 10_i128.pow(u32::from(*precision));
            (1 - limit..limit)
                .prop_map(move |unscaled| Value::Decimal { unscaled, scale })
                .boxed()
        }
        FeatureType::String => text().prop_map(Value::String).boxed(),
        FeatureType::Binary => vec(any::<u8>(), 0..20).prop_map(Value::Binary).boxed(),
        FeatureType::Date => DAYS.prop_map(Value::Date).boxed(),
        FeatureType::Timestamp => (DAYS, 0..DAY_US)
            .prop_map(|(day, us)| Value::Timestamp(i64::from(day) * DAY_US + us))
            .boxed(),
        FeatureType::Array(item) => vec(nullable(value(item)), 0..4)
            .prop_map(Value::Array)
            .boxed(),
        FeatureType::Map(item) => {
            proptest::collection::btree_map(text(), nullable(value(item)), 0..4)
                .prop_map(|entries| Value::Map(entries.into_iter().collect()))
                .boxed()
        }
        FeatureType::Struct(fields) => {
            let fields: Vec<_> = fields
                .iter()
                .map(|field| nullable(value(&field.r#type)))
                .collect();
            fields.prop_map(Value::Struct).boxed()
        }
        FeatureType::Embedding(length) => vec(float(), *length as usize)
            .prop_map(Value::Embedding)
            .boxed(),
    }
}

/// A value for a key feature: often from a small set, so that keys meet.
pub fn key_value(r#type: &FeatureType) -> BoxedStrategy<Value> {
    let common = match r#type {
        FeatureType::Int => (0..16).prop_map(Value::Int).boxed(),
        FeatureType::BigInt => (0_i64..16).prop_map(Value::BigInt).boxed(),
        FeatureType::String => "[a-d]".prop_map(Value::String).boxed(),
        FeatureType::Date => (16_000..16_016).prop_map(Value::Date).boxed(),
        FeatureType::Timestamp => (0_i64..16).prop_map(Value::Timestamp).boxed(),
        other => return value(other),
    };
    prop_oneof![3 => common, 1 => value(r#type)].boxed()
}

/// One row of a group, in the order of its features.
pub fn row(group: &FeatureGroup) -> BoxedStrategy<Vec<Value>> {
    let columns: Vec<BoxedStrategy<Value>> = group
        .features()
        .iter()
        .enumerate()
        .map(|(index, feature)| {
            if group.event_time() == Some(index) {
                event_time(&feature.r#type)
            } else if group.primary_key().contains(&index) {
                key_value(&feature.r#type)
            } else if feature.nullable {
                nullable(value(&feature.r#type))
            } else {
                value(&feature.r#type)
            }
        })
        .collect();
    columns.boxed()
}

/// A batch of at most `rows_max` rows of a group.
pub fn rows(group: &FeatureGroup, rows_max: usize) -> impl Strategy<Value = RecordBatch> + use<> {
    let group = group.clone();
    vec(row(&group), 0..=rows_max).prop_map(move |rows| batch(&group, &rows))
}

/// A group of one or two keys, perhaps an event time, and up to six features of any type.
pub fn feature_group() -> impl Strategy<Value = FeatureGroup> {
    let keys = vec(key_type(), 1..=2);
    let time = prop::option::of(select(vec![FeatureType::Timestamp, FeatureType::Date]));
    let others = vec((feature_type(), any::<bool>()), 0..=6);
    (keys, time, others).prop_map(|(keys, time, others)| {
        let feature = |name: String, r#type| Feature::new(&name, r#type).expect("a valid feature");
        let key_names: Vec<String> = (0..keys.len()).map(|n| format!("key_{n}")).collect();
        let has_time = time.is_some();
        let mut features: Vec<Feature> = others
            .into_iter()
            .enumerate()
            .map(|(n, (r#type, nullable))| {
                let feature = feature(format!("feature_{n}"), r#type);
                if nullable {
                    feature
                } else {
                    feature.required()
                }
            })
            .collect();
        features.extend(time.map(|r#type| feature("event_time".to_owned(), r#type)));
        // Keys last: their place in the row must not matter.
        features.extend(
            key_names
                .iter()
                .cloned()
                .zip(keys)
                .map(|(n, t)| feature(n, t)),
        );
        let key_names: Vec<&str> = key_names.iter().map(String::as_str).collect();
        let event_time = has_time.then_some("event_time");
        from_features("any_group", features, &key_names, event_time)
    })
}

/// A group with rows of it.
pub fn group_and_rows(rows_max: usize) -> impl Strategy<Value = (FeatureGroup, RecordBatch)> {
    feature_group().prop_flat_map(move |group| {
        let rows = rows(&group, rows_max);
        (Just(group), rows)
    })
}

fn nullable(inner: BoxedStrategy<Value>) -> BoxedStrategy<Value> {
    Union::new_weighted(vec![(1, Just(Value::Null).boxed()), (4, inner)]).boxed()
}

fn event_time(r#type: &FeatureType) -> BoxedStrategy<Value> {
    if *r#type == FeatureType::Date {
        return EVENT_DAYS.prop_map(Value::Date).boxed();
    }
    (EVENT_DAYS, select(vec![0, 1, DAY_US / 2]))
        .prop_map(|(day, us)| Value::Timestamp(i64::from(day) * DAY_US + us))
        .boxed()
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => "[a-z]{0,8}",
        1 => "\\PC{0,6}",
        1 => select(vec!["\0", "\n\"\\,;", "żółć", "🙂", "null"]).prop_map(str::to_owned),
    ]
}

fn float() -> impl Strategy<Value = f32> {
    prop_oneof![
        4 => proptest::num::f32::NORMAL,
        1 => select(vec![0.0, -0.0, f32::INFINITY, f32::NEG_INFINITY, f32::NAN, f32::MIN_POSITIVE]),
    ]
}

fn double() -> impl Strategy<Value = f64> {
    prop_oneof![
        4 => proptest::num::f64::NORMAL,
        1 => select(vec![0.0, -0.0, f64::INFINITY, f64::NEG_INFINITY, f64::NAN, f64::MIN_POSITIVE]),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arrow_schema;

    proptest! {
        #[test]
        fn types_are_valid_and_read_back(r#type in feature_type()) {
            prop_assert_eq!(r#type.to_string().parse::<FeatureType>(), Ok(r#type));
        }

        #[test]
        fn rows_have_the_schema_of_their_group((group, rows) in group_and_rows(20)) {
            prop_assert_eq!(rows.schema(), arrow_schema(&group));
            prop_assert!(rows.num_rows() <= 20);
        }
    }
}
