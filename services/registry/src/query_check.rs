//! Whether a query can be answered by the groups it names. Pure: the groups are brought along.

use std::collections::BTreeMap;

use twinfold_model::{
    Error, FeatureGroup, FeatureGroupId, FeatureType, FeatureView, Filter, Join, Query, Result,
    Selection, comparable, constant,
};
use twinfold_wire::rest::{FILTER_DEPTH_MAX, filter_depth};

pub type Groups = BTreeMap<FeatureGroupId, FeatureGroup>;

/// The query with the literals of its filter brought to the types of their columns.
pub fn check_query(mut query: Query, groups: &Groups) -> Result<Query> {
    let columns = columns(&query, groups)?;
    let left = group(groups, &query.left.group)?;
    for join in &query.joins {
        check_join(join, left, group(groups, &join.right.group)?)?;
    }
    if let Some(filter) = query.filter.take() {
        let depth = filter_depth(&filter);
        if depth > FILTER_DEPTH_MAX {
            return invalid(format!(
                "the filter is nested {depth} levels deep, wanted at most {FILTER_DEPTH_MAX}"
            ));
        }
        query.filter = Some(check_filter(filter, &columns)?);
    }
    Ok(query)
}

/// The view with its defaults brought to the types of their columns.
pub fn check_view(mut view: FeatureView, groups: &Groups) -> Result<FeatureView> {
    view.validate()?;
    view.query = check_query(view.query, groups)?;
    let columns = columns(&view.query, groups)?;
    view.defaults = view
        .defaults
        .into_iter()
        .map(|(name, default)| {
            let default = constant(default, &name, column(&columns, &name)?)?;
            Ok((name, default))
        })
        .collect::<Result<_>>()?;
    Ok(view)
}

/// The columns of the result with their types, in order.
fn columns(query: &Query, groups: &Groups) -> Result<Vec<(String, FeatureType)>> {
    let names = query.output_names()?;
    let types = |selection: &Selection| -> Result<Vec<FeatureType>> {
        let group = group(groups, &selection.group)?;
        let features = selection.features.iter();
        features
            .map(|name| Ok(group.feature(name)?.r#type.clone()))
            .collect()
    };
    let mut all = types(&query.left)?;
    for join in &query.joins {
        all.extend(types(&join.right)?);
    }
    Ok(names.into_iter().zip(all).collect())
}

/// Each key feature of the right group is met by exactly one feature of the left, of the same type.
fn check_join(join: &Join, left: &FeatureGroup, right: &FeatureGroup) -> Result<()> {
    let by_name = || {
        right
            .key_features()
            .map(|key| (key.name.to_string(), key.name.to_string()))
    };
    let pairs: Vec<(String, String)> = if join.on.is_empty() {
        by_name().collect()
    } else {
        join.on.clone()
    };
    let join_fails = |reason: String| invalid(format!("join with `{}`: {reason}", right.id()));
    for key in right.key_features() {
        let name = key.name.as_str();
        match pairs.iter().filter(|(_, right)| right == name).count() {
            1 => {}
            0 => return join_fails(format!("key feature `{name}` is not joined on")),
            _ => return join_fails(format!("key feature `{name}` is joined on twice")),
        }
    }
    for (left_name, right_name) in &pairs {
        if !right
            .key_features()
            .any(|key| key.name.as_str() == right_name)
        {
            let keys: Vec<&str> = right.key_features().map(|key| key.name.as_str()).collect();
            return join_fails(format!(
                "`{right_name}` is not in its primary key ({})",
                keys.join(", ")
            ));
        }
        let (found, wanted) = (left.feature(left_name)?, right.feature(right_name)?);
        if found.r#type != wanted.r#type {
            return join_fails(format!(
                "`{left_name}` of `{}` is {}, but `{right_name}` is {}; keys join only on equal types",
                left.id(),
                found.r#type,
                wanted.r#type
            ));
        }
    }
    Ok(())
}

fn check_filter(filter: Filter, columns: &[(String, FeatureType)]) -> Result<Filter> {
    let inner = |filter: Box<Filter>| check_filter(*filter, columns).map(Box::new);
    Ok(match filter {
        Filter::Compare { feature, op, value } => Filter::Compare {
            value: comparable(value, &feature, column(columns, &feature)?)?,
            feature,
            op,
        },
        Filter::In { feature, values } => {
            let r#type = column(columns, &feature)?;
            Filter::In {
                values: values
                    .into_iter()
                    .map(|value| comparable(value, &feature, r#type))
                    .collect::<Result<_>>()?,
                feature,
            }
        }
        Filter::IsNull { feature } => {
            column(columns, &feature)?;
            Filter::IsNull { feature }
        }
        Filter::Not(filter) => Filter::Not(inner(filter)?),
        Filter::And(left, right) => Filter::And(inner(left)?, inner(right)?),
        Filter::Or(left, right) => Filter::Or(inner(left)?, inner(right)?),
    })
}

fn column<'a>(columns: &'a [(String, FeatureType)], name: &str) -> Result<&'a FeatureType> {
    columns
        .iter()
        .find(|(column, _)| column == name)
        .map(|(_, r#type)| r#type)
        .ok_or_else(|| Error::UnknownFeature {
            feature: name.to_owned(),
            owner: "the columns of the query".to_owned(),
            known: columns.iter().map(|(column, _)| column.clone()).collect(),
        })
}

fn group<'a>(groups: &'a Groups, id: &FeatureGroupId) -> Result<&'a FeatureGroup> {
    groups.get(id).ok_or_else(|| Error::InvalidQuery {
        reason: format!("feature group `{id}` does not exist"),
    })
}

fn invalid<T>(reason: String) -> Result<T> {
    Err(Error::InvalidQuery { reason })
}

#[cfg(test)]
mod tests {
    use twinfold_model::{CompareOp, FeatureViewId, JoinKind, Value};
    use twinfold_testkit::group;

    use super::*;

    fn groups() -> Groups {
        let trips = [
            ("id", "bigint"),
            ("place", "string"),
            ("day", "int"),
            ("fare", "double"),
            ("tip", "float"),
            ("tags", "array<string>"),
        ];
        let weather = [("place", "string"), ("day", "int"), ("temp", "double")];
        [
            group("trips", &trips, &["id"], None),
            group("weather", &weather, &["place", "day"], None),
        ]
        .map(|group| (group.id().clone(), group))
        .into()
    }

    fn selection(name: &str, features: &[&str]) -> Selection {
        Selection {
            group: FeatureGroupId::new("default", name, 1).expect("valid"),
            features: features.iter().map(ToString::to_string).collect(),
            as_of: None,
        }
    }

    fn query() -> Query {
        Query {
            left: selection("trips", &["fare", "tip", "tags"]),
            joins: vec![Join {
                right: selection("weather", &["temp", "day"]),
                on: Vec::new(),
                kind: JoinKind::Left,
                prefix: Some("w_".to_owned()),
            }],
            filter: None,
        }
    }

    fn with_pairs(pairs: &[(&str, &str)]) -> Query {
        let mut query = query();
        query.joins[0].on = pairs
            .iter()
            .map(|(left, right)| (left.to_string(), right.to_string()))
            .collect();
        query
    }

    fn with_filter(feature: &str, value: Value) -> Query {
        let mut query = query();
        query.filter = Some(Filter::Compare {
            feature: feature.to_owned(),
            op: CompareOp::Greater,
            value,
        });
        query
    }

    #[test]
    fn what_can_be_answered_passes() {
        for query in [
            query(),
            with_pairs(&[("day", "day"), ("place", "place")]),
            with_filter("tip", Value::Double(0.5)),
        ] {
            assert_eq!(check_query(query.clone(), &groups()), Ok(query));
        }
    }

    #[test]
    fn literals_take_the_type_of_their_column() {
        let checked = check_query(with_filter("fare", Value::Int(3)), &groups()).expect("widens");
        assert_eq!(checked, with_filter("fare", Value::Double(3.0)));
        let checked = check_query(with_filter("w_day", Value::BigInt(3)), &groups()).expect("fits");
        assert_eq!(checked, with_filter("w_day", Value::Int(3)));
        let checked = check_query(with_filter("fare", Value::BigInt(3)), &groups()).expect("fits");
        assert_eq!(checked, with_filter("fare", Value::Double(3.0)));
        let beyond_int = with_filter("w_day", Value::BigInt(1 << 40));
        assert_eq!(check_query(beyond_int.clone(), &groups()), Ok(beyond_int));
    }

    #[test]
    fn what_cannot_be_answered_is_explained() {
        let mut unknown_feature = query();
        unknown_feature.left.features.push("price".to_owned());
        let mut unknown_group = query();
        unknown_group.joins[0].right.group.version = 2;
        let mut deep = query();
        let null = |feature: &str| Filter::IsNull {
            feature: feature.to_owned(),
        };
        deep.filter = Some((0..40).fold(null("fare"), |inner, _| Filter::Not(Box::new(inner))));
        for (query, reason) in [
            (
                unknown_feature,
                "feature `price` does not exist in `default.trips_1`",
            ),
            (
                unknown_group,
                "feature group `default.weather_2` does not exist",
            ),
            (
                with_pairs(&[("place", "place")]),
                "query: join with `default.weather_1`: key feature `day` is not joined on",
            ),
            (
                with_pairs(&[("place", "place"), ("day", "day"), ("id", "day")]),
                "key feature `day` is joined on twice",
            ),
            (
                with_pairs(&[("place", "place"), ("day", "day"), ("fare", "temp")]),
                "`temp` is not in its primary key (place, day)",
            ),
            (
                with_pairs(&[("place", "place"), ("id", "day")]),
                "`id` of `default.trips_1` is bigint, but `day` is int",
            ),
            (
                with_pairs(&[("place", "place"), ("hour", "day")]),
                "feature `hour` does not exist in `default.trips_1`",
            ),
            (
                with_filter("temp", Value::Int(3)),
                "feature `temp` does not exist in `the columns of the query`; it has fare, tip, tags, w_temp, w_day",
            ),
            (with_filter("fare", Value::Null), "compares with null"),
            (
                with_filter("fare", Value::String("x".to_owned())),
                "feature `fare`: found string \"x\", wanted double",
            ),
            (
                with_filter("tags", Value::Array(Vec::new())),
                "values of type array<string> cannot be compared",
            ),
            (deep, "nested 41 levels deep, wanted at most 32"),
        ] {
            let error = check_query(query, &groups()).expect_err(reason).to_string();
            assert!(error.contains(reason), "{error}");
        }
    }

    #[test]
    fn defaults_of_a_view_take_the_type_of_their_column() {
        let view = |default: Value| FeatureView {
            id: FeatureViewId::new("default", "fares", 1).expect("valid"),
            query: query(),
            labels: vec!["fare".to_owned()],
            defaults: BTreeMap::from([("w_temp".to_owned(), default)]),
            description: String::new(),
        };
        let checked = check_view(view(Value::Int(3)), &groups());
        assert_eq!(checked, Ok(view(Value::Double(3.0))));
        let error = check_view(view(Value::Boolean(true)), &groups()).expect_err("no number");
        let wanted = "feature `w_temp`: found boolean true, wanted double";
        assert_eq!(error.to_string(), wanted);
    }
}
