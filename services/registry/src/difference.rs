use twinfold_model::{Feature, FeatureGroup, Ttl};

/// The first thing in which two definitions of a group differ, in words; descriptions and tags do not
/// count, nor does the order of features.
pub fn first_difference(existing: &FeatureGroup, wanted: &FeatureGroup) -> Option<String> {
    let differs = |what: &str, found: String, wanted: String| {
        (found != wanted).then(|| format!("its {what} is {found}, wanted {wanted}"))
    };
    differs("primary key", key(existing), key(wanted))
        .or_else(|| differs("event time", event_time(existing), event_time(wanted)))
        .or_else(|| feature_difference(existing, wanted))
        .or_else(|| differs("ttl", ttl(existing), ttl(wanted)))
        .or_else(|| {
            let online = |group: &FeatureGroup| group.online_enabled().to_string();
            differs("online_enabled", online(existing), online(wanted))
        })
        .or_else(|| {
            let partitions = |group: &FeatureGroup| group.partitions().to_string();
            differs(
                "number of partitions",
                partitions(existing),
                partitions(wanted),
            )
        })
}

fn feature_difference(existing: &FeatureGroup, wanted: &FeatureGroup) -> Option<String> {
    for feature in wanted.features() {
        let name = &feature.name;
        match existing.feature(name.as_str()) {
            Err(_) => return Some(format!("it has no feature `{name}`")),
            Ok(found) if text(found) != text(feature) => {
                return Some(format!(
                    "its feature `{name}` is {}, wanted {}",
                    text(found),
                    text(feature)
                ));
            }
            Ok(_) => {}
        }
    }
    existing
        .features()
        .iter()
        .find(|feature| wanted.feature(feature.name.as_str()).is_err())
        .map(|feature| format!("it also has a feature `{}`", feature.name))
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

fn key(group: &FeatureGroup) -> String {
    let names: Vec<&str> = group
        .key_features()
        .map(|feature| feature.name.as_str())
        .collect();
    format!("({})", names.join(", "))
}

fn event_time(group: &FeatureGroup) -> String {
    group.event_time_feature().map_or_else(
        || "not set".to_owned(),
        |feature| format!("`{}`", feature.name),
    )
}

fn ttl(group: &FeatureGroup) -> String {
    group
        .ttl()
        .map(Ttl::micros)
        .map_or_else(|| "not set".to_owned(), |micros| format!("{micros} µs"))
}

#[cfg(test)]
mod tests {
    use twinfold_model::{FeatureGroupSpec, FeatureType, Value};
    use twinfold_testkit::weather_group;

    use super::*;

    fn changed(change: impl FnOnce(&mut FeatureGroupSpec)) -> FeatureGroup {
        let mut spec = weather_group().to_spec();
        change(&mut spec);
        FeatureGroup::new(spec).expect("valid")
    }

    #[test]
    fn what_does_not_matter_is_no_difference() {
        let wanted = changed(|spec| {
            spec.description = "other".to_owned();
            spec.tags.insert("team".to_owned(), "sky".to_owned());
            spec.features.reverse();
        });
        assert_eq!(first_difference(&weather_group(), &wanted), None);
    }

    #[test]
    fn a_default_of_nan_equals_itself() {
        let with_nan = || changed(|spec| spec.features[2].default = Some(Value::Double(f64::NAN)));
        assert_eq!(first_difference(&with_nan(), &with_nan()), None);
    }

    #[test]
    fn the_first_difference_is_told() {
        let cases: [(FeatureGroup, &str); 7] = [
            (
                changed(|spec| spec.primary_key.push("visibility".to_owned())),
                "its primary key is (origin), wanted (origin, visibility)",
            ),
            (
                changed(|spec| spec.event_time = None),
                "its event time is `observed_at`, wanted not set",
            ),
            (
                changed(|spec| spec.features[2].r#type = FeatureType::Float),
                "its feature `temp` is double, wanted float",
            ),
            (
                changed(|spec| spec.features[4].default = Some(Value::Int(3))),
                "its feature `visibility` is int, wanted int default Int(3)",
            ),
            (
                changed(|spec| spec.features.truncate(4)),
                "it also has a feature `visibility`",
            ),
            (
                changed(|spec| spec.ttl = Ttl::from_micros(5)),
                "its ttl is not set, wanted 5 µs",
            ),
            (
                changed(|spec| spec.partitions = 9),
                "its number of partitions is 4, wanted 9",
            ),
        ];
        for (wanted, text) in cases {
            let found = first_difference(&weather_group(), &wanted);
            assert_eq!(found.as_deref(), Some(text));
        }
    }
}
