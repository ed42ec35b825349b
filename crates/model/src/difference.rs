use crate::{Feature, FeatureGroup};

/// The first of the wanted features that a group does not have as it is wanted, or one that it has besides and
/// that every row needs; in words. Descriptions do not count, nor does the order. Other features that the group
/// has besides may have been added since.
pub fn feature_difference(existing: &FeatureGroup, wanted: &[Feature]) -> Option<String> {
    for feature in wanted {
        let name = feature.name.as_str();
        let Ok(found) = existing.feature(name) else {
            return Some(format!("it has no feature `{name}`"));
        };
        let wanted = text(&as_made(existing, feature));
        let found = text(found);
        if found != wanted {
            return Some(format!("its feature `{name}` is {found}, wanted {wanted}"));
        }
    }
    let is_wanted = |found: &Feature| wanted.iter().any(|feature| feature.name == found.name);
    let needed = |found: &&Feature| !found.nullable && found.default.is_none();
    let mut besides = existing.features().iter().filter(|found| !is_wanted(found));
    let besides = besides.find(needed)?;
    Some(format!("it also has a feature `{}`", besides.name))
}

/// Features of the key and the event time are required, whatever was said.
fn as_made(group: &FeatureGroup, feature: &Feature) -> Feature {
    let mut required = group.key_features().chain(group.event_time_feature());
    let is_required = required.any(|required| required.name == feature.name);
    Feature {
        nullable: feature.nullable && !is_required,
        ..feature.clone()
    }
}

/// All of a feature that matters, as text, because NaN is equal to nothing.
fn text(feature: &Feature) -> String {
    let nullable = if feature.nullable { "" } else { " not null" };
    let default = match &feature.default {
        None => String::new(),
        Some(default) => format!(" default {default:?}"),
    };
    format!("{}{nullable}{default}", feature.r#type)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{FeatureGroupId, FeatureGroupSpec, FeatureType, Value};

    fn feature(name: &str, r#type: FeatureType) -> Feature {
        Feature::new(name, r#type).expect("valid")
    }

    fn features() -> Vec<Feature> {
        let rain = feature("rain", FeatureType::Double).with_default(Value::Double(f64::NAN));
        vec![
            feature("origin", FeatureType::String),
            feature("at", FeatureType::Timestamp),
            feature("temp", FeatureType::Double),
            rain.expect("a double"),
        ]
    }

    fn group(features: Vec<Feature>) -> FeatureGroup {
        FeatureGroup::new(FeatureGroupSpec {
            id: FeatureGroupId::new("default", "weather", 1).expect("valid"),
            features,
            primary_key: vec!["origin".to_owned()],
            event_time: Some("at".to_owned()),
            ttl: None,
            online_enabled: true,
            partitions: 4,
            description: String::new(),
            tags: BTreeMap::new(),
        })
        .expect("valid")
    }

    fn changed(change: impl FnOnce(&mut Vec<Feature>)) -> Vec<Feature> {
        let mut features = features();
        change(&mut features);
        features
    }

    #[test]
    fn what_does_not_matter_is_no_difference() {
        let group = group(features());
        for wanted in [
            features(),
            changed(|features| features.reverse()),
            changed(|features| features[2].description = "in degrees".to_owned()),
            changed(|features| features.truncate(2)),
        ] {
            assert_eq!(feature_difference(&group, &wanted), None, "{wanted:?}");
        }
    }

    #[test]
    fn the_first_difference_is_told() {
        let with_wind = changed(|features| {
            features.push(feature("wind", FeatureType::BigInt).required());
        });
        for (existing, wanted, told) in [
            (features(), with_wind.clone(), "it has no feature `wind`"),
            (with_wind, features(), "it also has a feature `wind`"),
            (
                features(),
                changed(|features| features[2].r#type = FeatureType::Float),
                "its feature `temp` is double, wanted float",
            ),
            (
                features(),
                changed(|features| features[2].nullable = false),
                "its feature `temp` is double, wanted double not null",
            ),
            (
                features(),
                changed(|features| features[3].default = None),
                "its feature `rain` is double default Double(NaN), wanted double",
            ),
        ] {
            let found = feature_difference(&group(existing), &wanted);
            assert_eq!(found.as_deref(), Some(told));
        }
    }
}
