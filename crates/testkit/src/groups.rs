//! Feature groups for tests.

use std::collections::BTreeMap;

use twinfold_model::{
    Feature, FeatureGroup, FeatureGroupId, FeatureGroupSpec, FeatureType, StructField,
};

/// Partitions of every group made here: more than one, so that order across them is never assumed.
pub const PARTITIONS: u32 = 4;

/// A group `default.<name>_1` that is online, with nullable features except key and event time.
///
/// Types are written as users write them: `("temp", "double")`.
pub fn group(
    name: &str,
    features: &[(&str, &str)],
    primary_key: &[&str],
    event_time: Option<&str>,
) -> FeatureGroup {
    let features = features
        .iter()
        .map(|(name, text)| {
            let r#type: FeatureType = text.parse().expect("a valid feature type");
            Feature::new(name, r#type).expect("a valid feature name")
        })
        .collect();
    from_features(name, features, primary_key, event_time)
}

pub(crate) fn from_features(
    name: &str,
    features: Vec<Feature>,
    primary_key: &[&str],
    event_time: Option<&str>,
) -> FeatureGroup {
    FeatureGroup::new(FeatureGroupSpec {
        id: FeatureGroupId::new("default", name, 1).expect("a valid group name"),
        features,
        primary_key: primary_key.iter().map(ToString::to_string).collect(),
        event_time: event_time.map(str::to_owned),
        ttl: None,
        online_enabled: true,
        partitions: PARTITIONS,
        description: String::new(),
        tags: BTreeMap::new(),
    })
    .expect("a valid feature group")
}

/// Small and plain: key `origin`, event time `observed_at`, two doubles and an int.
pub fn weather_group() -> FeatureGroup {
    group(
        "weather",
        &[
            ("origin", "string"),
            ("observed_at", "timestamp"),
            ("temp", "double"),
            ("wind_speed", "double"),
            ("visibility", "int"),
        ],
        &["origin"],
        Some("observed_at"),
    )
}

/// A composite key of two features, an event time, and every type once, nested ones twice deep.
pub fn all_types_group() -> FeatureGroup {
    let point = FeatureType::Struct(vec![
        StructField::new("x", FeatureType::Double).expect("a valid field"),
        StructField::new("label", FeatureType::String).expect("a valid field"),
        StructField::new("tags", FeatureType::Array(Box::new(FeatureType::String)))
            .expect("a valid field"),
    ]);
    let nested = point.to_string();
    group(
        "all_types",
        &[
            ("id", "bigint"),
            ("region", "string"),
            ("event_time", "timestamp"),
            ("a_boolean", "boolean"),
            ("an_int", "int"),
            ("a_bigint", "bigint"),
            ("a_float", "float"),
            ("a_double", "double"),
            ("a_decimal", "decimal(10,2)"),
            ("a_wide_decimal", "decimal(38,6)"),
            ("a_string", "string"),
            ("a_binary", "binary"),
            ("a_date", "date"),
            ("a_timestamp", "timestamp"),
            ("an_array", "array<int>"),
            ("an_array_of_arrays", "array<array<double>>"),
            ("a_map", "map<string,double>"),
            ("a_map_of_arrays", "map<string,array<string>>"),
            ("a_struct", nested.as_str()),
            ("an_embedding", "embedding(4)"),
        ],
        &["id", "region"],
        Some("event_time"),
    )
}

/// The group of every benchmark: 11 features, about 940 bytes as an Avro record.
pub fn bench_group() -> FeatureGroup {
    group(
        "bench",
        &[
            ("id", "bigint"),
            ("event_time", "timestamp"),
            ("amount", "double"),
            ("latitude", "double"),
            ("longitude", "double"),
            ("clicks", "int"),
            ("visits", "int"),
            ("city", "string"),
            ("device", "string"),
            ("campaign", "string"),
            ("comment", "string"),
        ],
        &["id"],
        Some("event_time"),
    )
}
