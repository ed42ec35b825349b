use std::sync::Arc;

use super::*;
use crate::tests::{group, join, query, select};
use arrow::datatypes::{DataType, Field, TimeUnit};
use twinfold_model::{CompareOp, Value};

fn left() -> Arc<FeatureGroup> {
    group(
        "labels",
        &[
            ("id", FeatureType::Int),
            ("at", FeatureType::Timestamp),
            ("shop", FeatureType::String),
            ("label", FeatureType::Double),
        ],
        &["id"],
        Some("at"),
        None,
    )
}

fn right() -> Arc<FeatureGroup> {
    group(
        "shops",
        &[
            ("shop", FeatureType::String),
            ("floor", FeatureType::Int),
            ("size", FeatureType::Double),
        ],
        &["shop", "floor"],
        None,
        None,
    )
}

fn plan(query: &Query) -> Result<Plan> {
    Plan::new(query, &[left(), right()], SpineSchema::LeftGroup)
}

const ON: [(&str, &str); 2] = [("shop", "shop"), ("id", "floor")];

#[test]
fn keys_pair_up_and_prefixes_name_columns() {
    let joined = join(
        select(&right(), &["size", "shop"]),
        &ON,
        JoinKind::Inner,
        "shop_",
    );
    let plan = plan(&query(select(&left(), &["label"]), vec![joined])).expect("valid");
    let names: Vec<&str> = plan
        .columns()
        .iter()
        .map(|column| column.name.as_str())
        .collect();
    assert_eq!(names, ["label", "shop_size", "shop_shop"]);
    assert_eq!(
        plan.features()[2],
        ("shop_shop".to_owned(), FeatureType::String)
    );
    let lookup = &plan.lookups[0];
    assert!(!lookup.timed, "the right group has no event time");
    let sources = lookup.keys.iter().map(|key| {
        let column = plan.spine.iter().find(|column| column.name == *key);
        column.expect("brought").source.as_str()
    });
    assert_eq!(sources.collect::<Vec<_>>(), ["shop", "id"]);
}

#[test]
fn what_does_not_fit_is_refused_by_name() {
    let all = |features: &[&str], on: &[(&str, &str)], prefix: &str| {
        let joined = join(select(&right(), features), on, JoinKind::Left, prefix);
        query(select(&left(), &["shop", "label"]), vec![joined])
    };
    for (query, reason) in [
        (
            all(&["width"], &ON, ""),
            "`width` does not exist in `default.shops_1`",
        ),
        (
            all(&["size"], &[], ""),
            "`floor` does not exist in `left group default.labels_1`",
        ),
        (
            all(&["size"], &ON[..1], ""),
            "key feature `floor` of default.shops_1 is not joined on",
        ),
        (
            all(&["size"], &[("shop", "shop"), ("label", "floor")], ""),
            "feature `label`: found double, wanted int, like key `floor`",
        ),
        (
            all(&["size"], &[("id", "size")], ""),
            "`size` is not a key feature",
        ),
        (
            all(
                &["size"],
                &[("id", "floor"), ("id", "floor"), ("shop", "shop")],
                "",
            ),
            "`floor` of default.shops_1 is joined on twice",
        ),
        (
            all(&["shop"], &ON, ""),
            "column `shop` comes from two places; give one of the joins a prefix",
        ),
        (
            query(select(&left(), &[]), vec![]),
            "no feature is selected",
        ),
        (
            query(select(&left(), &["colour"]), vec![]),
            "`colour` does not exist",
        ),
    ] {
        let error = plan(&query).expect_err(reason).to_string();
        assert!(error.contains(reason), "{error}");
    }
    let missing = Plan::new(&all(&["size"], &ON, ""), &[left()], SpineSchema::LeftGroup);
    assert!(
        missing
            .expect_err("missing")
            .to_string()
            .contains("definition of feature group default.shops_1")
    );
}

#[test]
fn filters_are_checked_against_the_columns() {
    let with = |feature: &str, value: Value| {
        let mut query = query(select(&left(), &["label"]), vec![]);
        query.filter = Some(Filter::Not(Box::new(Filter::Compare {
            feature: feature.to_owned(),
            op: CompareOp::Less,
            value,
        })));
        plan(&query)
    };
    assert!(with("label", Value::Int(3)).is_ok());
    let error = with("label", Value::String("x".to_owned()))
        .expect_err("type")
        .to_string();
    assert!(
        error.contains("`label`: found string \"x\", wanted double"),
        "{error}"
    );
    // Not selected, so not a column of the result.
    let error = with("shop", Value::Int(3))
        .expect_err("unknown")
        .to_string();
    assert!(
        error.contains("`shop` does not exist in `the query's result`"),
        "{error}"
    );
}

#[test]
fn a_dataframe_replaces_the_left_group() {
    let schema = Schema::new(vec![
        Field::new("id", DataType::Int8, true),
        Field::new(
            "when",
            DataType::Timestamp(TimeUnit::Nanosecond, None),
            true,
        ),
        Field::new("shop", DataType::LargeUtf8, true),
    ]);
    let spine = |event_time| SpineSchema::Dataframe {
        schema: &schema,
        event_time,
    };
    let joined = join(select(&right(), &["size"]), &ON, JoinKind::Left, "");
    let query = query(select(&left(), &["label", "shop"]), vec![joined]);
    let plan = Plan::new(&query, &[left(), right()], spine(Some("when"))).expect("valid");
    let names: Vec<&str> = plan
        .columns()
        .iter()
        .map(|column| column.name.as_str())
        .collect();
    assert_eq!(names, ["id", "when", "shop", "label", "size"]);
    assert_eq!(
        plan.lookups[0].features,
        [("label".to_owned(), "label".to_owned())]
    );
    assert!(plan.lookups[0].timed);

    for (event_time, reason) in [
        (Some("then"), "`then` does not exist in `the dataframe`"),
        (
            Some("shop"),
            "`shop`: found string, wanted timestamp or date",
        ),
    ] {
        let error = Plan::new(&query, &[left(), right()], spine(event_time)).expect_err(reason);
        assert!(error.to_string().contains(reason), "{error}");
    }
}
