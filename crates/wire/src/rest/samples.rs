//! Strategies that bring any valid noun, for the round-trip tests.

use std::collections::BTreeMap;

use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use twinfold_model::{
    AsOf, ColumnStatistics, CompareOp, DatasetFormat, DatasetSource, DatasetSpec, DatasetSplit,
    DatasetStatistics, EventTime, Feature, FeatureGroup, FeatureGroupId, FeatureGroupSpec,
    FeatureType, FeatureView, FeatureViewId, Filter, Join, JoinKind, Name, PinnedTable,
    ProjectName, Query, Selection, SplitStatistics, TrainingDataset, Ttl, Value,
};

/// Any value but NaN, which is equal to nothing.
pub fn value() -> impl Strategy<Value = Value> {
    let float = any::<f32>().prop_filter("NaN", |v| !v.is_nan());
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Boolean),
        any::<i32>().prop_map(Value::Int),
        any::<i64>().prop_map(Value::BigInt),
        float.clone().prop_map(Value::Float),
        any::<f64>()
            .prop_filter("NaN", |v| !v.is_nan())
            .prop_map(Value::Double),
        (any::<i128>(), any::<u8>())
            .prop_map(|(unscaled, scale)| Value::Decimal { unscaled, scale }),
        any::<String>().prop_map(Value::String),
        any::<Vec<u8>>().prop_map(Value::Binary),
        any::<i32>().prop_map(Value::Date),
        any::<i64>().prop_map(Value::Timestamp),
        vec(float, 0..4).prop_map(Value::Embedding),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::Array),
            vec((any::<String>(), inner.clone()), 0..4).prop_map(Value::Map),
            vec(inner, 0..4).prop_map(Value::Struct),
        ]
    })
}

pub fn filter() -> impl Strategy<Value = Filter> {
    use CompareOp as Op;
    let op = select(vec![
        Op::Equal,
        Op::NotEqual,
        Op::Less,
        Op::LessOrEqual,
        Op::Greater,
        Op::GreaterOrEqual,
    ]);
    let leaf = prop_oneof![
        (name(), op, value()).prop_map(|(feature, op, value)| Filter::Compare {
            feature,
            op,
            value
        }),
        (name(), vec(value(), 0..3)).prop_map(|(feature, values)| Filter::In { feature, values }),
        name().prop_map(|feature| Filter::IsNull { feature }),
    ];
    leaf.prop_recursive(4, 16, 2, |inner| {
        let pair = (inner.clone(), inner.clone());
        prop_oneof![
            inner.prop_map(|filter| Filter::Not(Box::new(filter))),
            pair.clone()
                .prop_map(|(left, right)| Filter::And(Box::new(left), Box::new(right))),
            pair.prop_map(|(left, right)| Filter::Or(Box::new(left), Box::new(right))),
        ]
    })
}

pub fn query() -> impl Strategy<Value = Query> {
    let join = (
        selection(),
        vec((name(), name()), 0..3),
        select(vec![JoinKind::Left, JoinKind::Inner]),
        option::of(name()),
    )
        .prop_map(|(right, on, kind, prefix)| Join {
            right,
            on,
            kind,
            prefix,
        });
    (selection(), vec(join, 0..3), option::of(filter())).prop_map(|(left, joins, filter)| Query {
        left,
        joins,
        filter,
    })
}

pub fn feature_group() -> impl Strategy<Value = FeatureGroup> {
    let features = btree_map(name(), feature(), 0..5);
    let ttl = option::of((1..i64::MAX).prop_filter_map("positive", Ttl::from_micros));
    (
        group_id(),
        features,
        any::<bool>(),
        ttl,
        any::<bool>(),
        1_u32..=1024,
        any::<String>(),
        btree_map(any::<String>(), any::<String>(), 0..3),
    )
        .prop_map(
            |(id, features, has_event_time, ttl, online_enabled, partitions, description, tags)| {
                let key = Feature::new("the_key_of_it", FeatureType::BigInt).expect("valid");
                let event_time = Feature::new("the_time_of_it", FeatureType::Date).expect("valid");
                let mut features: Vec<Feature> = features
                    .into_iter()
                    .map(|(name, feature)| Feature {
                        name: Name::new("feature", name).expect("valid"),
                        ..feature
                    })
                    .collect();
                features.extend([key, event_time]);
                FeatureGroup::new(FeatureGroupSpec {
                    id,
                    features,
                    primary_key: vec!["the_key_of_it".to_owned()],
                    event_time: has_event_time.then(|| "the_time_of_it".to_owned()),
                    ttl,
                    online_enabled,
                    partitions,
                    description,
                    tags,
                })
                .expect("valid")
            },
        )
}

pub fn feature_view() -> impl Strategy<Value = FeatureView> {
    let columns = btree_map(name(), option::of(value()), 1..5);
    (group_id(), columns, option::of(filter()), any::<String>()).prop_map(
        |(id, columns, filter, description)| FeatureView {
            id: FeatureViewId::new(id.project.as_str(), id.name.as_str(), id.version)
                .expect("valid"),
            query: Query {
                left: Selection {
                    group: id,
                    features: std::iter::once("the_label".to_owned())
                        .chain(columns.keys().filter(|name| *name != "the_label").cloned())
                        .chain(
                            ["served".to_owned()]
                                .into_iter()
                                .filter(|name| !columns.contains_key(name)),
                        )
                        .collect(),
                    as_of: None,
                },
                joins: Vec::new(),
                filter,
            },
            labels: vec!["the_label".to_owned()],
            defaults: columns
                .into_iter()
                .filter_map(|(name, value)| Some((name, value?)))
                .collect(),
            description,
        },
    )
}

pub fn training_dataset() -> impl Strategy<Value = TrainingDataset> {
    let times = (
        any::<i64>(),
        option::of(any::<i64>()),
        option::of(any::<i64>()),
    );
    (
        query(),
        group_id(),
        any::<bool>(),
        any::<u64>(),
        times,
        0.01..0.99_f64,
        feature(),
    )
        .prop_map(
            |(query, id, from_view, seed, (created_at, start, end), share, feature)| {
                let spec = DatasetSpec {
                    project: id.project.clone(),
                    name: id.name.clone(),
                    version: (seed % 2 == 0).then_some(id.version),
                    source: if from_view {
                        let view = FeatureViewId::new("p", "v", id.version).expect("valid");
                        DatasetSource::View(view)
                    } else {
                        DatasetSource::Query(query.clone())
                    },
                    labels: vec!["label".to_owned()],
                    defaults: BTreeMap::from([("a".to_owned(), Value::Double(share))]),
                    format: if from_view {
                        DatasetFormat::Parquet
                    } else {
                        DatasetFormat::Csv
                    },
                    splits: vec![
                        DatasetSplit {
                            name: "train".to_owned(),
                            share,
                        },
                        DatasetSplit {
                            name: "test".to_owned(),
                            share: 1.0 - share,
                        },
                    ],
                    seed,
                    event_time_start: start.map(EventTime::from_micros),
                    event_time_end: end.map(EventTime::from_micros),
                    description: String::new(),
                };
                TrainingDataset {
                    project: ProjectName::new(id.project.as_str()).expect("valid"),
                    name: id.name.clone(),
                    version: id.version,
                    spec,
                    query,
                    pins: vec![PinnedTable {
                        resource: id.resource_name(2),
                        group: id,
                        commit: seed,
                    }],
                    features: vec![("f".to_owned(), feature.r#type)],
                    rows: BTreeMap::from([("train".to_owned(), seed)]),
                    location: "datasets/fares_1".to_owned(),
                    digest: "00ff".to_owned(),
                    created_at: EventTime::from_micros(created_at),
                }
            },
        )
}

pub fn dataset_statistics() -> impl Strategy<Value = DatasetStatistics> {
    (
        split_statistics(),
        btree_map(name(), split_statistics(), 0..3),
    )
        .prop_map(|(whole, splits)| DatasetStatistics { whole, splits })
}

fn split_statistics() -> impl Strategy<Value = SplitStatistics> {
    (any::<u64>(), vec(column_statistics(), 0..3))
        .prop_map(|(rows, columns)| SplitStatistics { rows, columns })
}

fn column_statistics() -> impl Strategy<Value = ColumnStatistics> {
    let bound = || option::of(value().prop_filter("null", |value| !value.is_null()));
    let double = || option::of(any::<f64>().prop_filter("NaN", |v| !v.is_nan()));
    let count = || option::of(any::<u64>());
    (
        name(),
        any::<[u64; 3]>(),
        (bound(), bound()),
        (double(), double()),
        (count(), count(), count()),
    )
        .prop_map(
            |(name, [nulls, nans, infinities], bounds, moments, texts)| ColumnStatistics {
                name,
                nulls,
                nans,
                infinities,
                min: bounds.0,
                max: bounds.1,
                mean: moments.0,
                standard_deviation: moments.1,
                distinct_values: texts.0,
                length_min: texts.1,
                length_max: texts.2,
            },
        )
}

fn name() -> impl Strategy<Value = String> {
    "[a-z][a-z0-9_]{0,8}"
}

fn group_id() -> impl Strategy<Value = FeatureGroupId> {
    (name(), name(), 1_u32..).prop_map(|(project, name, version)| {
        FeatureGroupId::new(&project, &name, version).expect("valid")
    })
}

fn selection() -> impl Strategy<Value = Selection> {
    let as_of = prop_oneof![
        any::<u64>().prop_map(AsOf::Commit),
        any::<i64>().prop_map(|micros| AsOf::Time(EventTime::from_micros(micros))),
    ];
    (group_id(), vec(name(), 0..4), option::of(as_of)).prop_map(|(group, features, as_of)| {
        Selection {
            group,
            features,
            as_of,
        }
    })
}

/// A feature of some type, with or without a default that suits it; its name is replaced.
fn feature() -> impl Strategy<Value = Feature> {
    let typed = select(vec![
        ("int", Value::Int(i32::MIN)),
        ("bigint", Value::BigInt(i64::MAX)),
        ("float", Value::Float(f32::MIN_POSITIVE)),
        ("double", Value::Double(0.1)),
        (
            "decimal(38,10)",
            Value::Decimal {
                unscaled: -7,
                scale: 10,
            },
        ),
        ("array<string>", Value::Array(vec![Value::Null])),
        (
            "map<string,int>",
            Value::Map(vec![("k".to_owned(), Value::Int(1))]),
        ),
        (
            "struct<a:int,b:date>",
            Value::Struct(vec![Value::Null, Value::Date(3)]),
        ),
        ("embedding(2)", Value::Embedding(vec![0.1, -0.0])),
    ]);
    (typed, any::<bool>(), any::<bool>(), any::<String>()).prop_map(
        |((r#type, default), nullable, has_default, description)| {
            let mut feature = Feature::new("f", r#type.parse().expect("valid")).expect("valid");
            feature.nullable = nullable;
            feature.description = description;
            if has_default {
                feature = feature.with_default(default).expect("suits the type");
            }
            feature
        },
    )
}
