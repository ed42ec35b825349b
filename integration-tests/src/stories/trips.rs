//! What several stories are about: trips that name a zone, whose demand changes with time, and a driver,
//! whose rating has no time.

use std::collections::BTreeMap;

use arrow::record_batch::RecordBatch;
use twinfold_client::{Entry, Platform, ReadRequest};
use twinfold_model::{
    AsOf, FeatureGroup, FeatureView, FeatureViewId, Join, JoinKind, Query, Selection, Value,
};
use twinfold_testkit::{BENCH_START_US, batch, group};

use crate::insert_and_wait;

const HOUR_US: i64 = 3_600_000_000;

pub fn trips() -> FeatureGroup {
    let features = [
        ("trip", "bigint"),
        ("at", "timestamp"),
        ("zone", "string"),
        ("driver", "string"),
        ("tip", "bigint"),
    ];
    group("trips", &features, &["trip"], Some("at"))
}

pub fn zones() -> FeatureGroup {
    let features = [
        ("zone", "string"),
        ("at", "timestamp"),
        ("demand", "bigint"),
    ];
    group("zones", &features, &["zone"], Some("at"))
}

pub fn drivers() -> FeatureGroup {
    let features = [("driver", "string"), ("rating", "bigint")];
    group("drivers", &features, &["driver"], None)
}

/// (trip, hour, zone, driver, tip)
pub fn trip_rows(of: &[(i64, i64, &str, &str, i64)]) -> RecordBatch {
    let row = |(trip, hour, zone, driver, tip): &(i64, i64, &str, &str, i64)| {
        vec![
            Value::BigInt(*trip),
            at(*hour),
            text(zone),
            text(driver),
            Value::BigInt(*tip),
        ]
    };
    batch(&trips(), &of.iter().map(row).collect::<Vec<_>>())
}

/// (zone, hour, demand)
pub fn zone_rows(of: &[(&str, i64, i64)]) -> RecordBatch {
    let row = |(zone, hour, demand): &(&str, i64, i64)| {
        vec![text(zone), at(*hour), Value::BigInt(*demand)]
    };
    batch(&zones(), &of.iter().map(row).collect::<Vec<_>>())
}

/// (driver, rating)
fn driver_rows(of: &[(&str, i64)]) -> RecordBatch {
    let row = |(driver, rating): &(&str, i64)| vec![text(driver), Value::BigInt(*rating)];
    batch(&drivers(), &of.iter().map(row).collect::<Vec<_>>())
}

fn at(hour: i64) -> Value {
    Value::Timestamp(BENCH_START_US + hour * HOUR_US)
}

fn text(of: &str) -> Value {
    Value::String(of.to_owned())
}

/// The three groups with some rows: four trips, the last of them to where nobody has looked.
pub async fn begin(platform: &dyn Platform) {
    for group in [trips(), zones(), drivers()] {
        platform.create_feature_group(group).await.expect("create");
    }
    let demand = [("north", 0, 10), ("north", 5, 20), ("south", 0, 7)];
    insert_and_wait(platform, zones().id(), zone_rows(&demand)).await;
    let ratings = [("ada", 5), ("bob", 3)];
    insert_and_wait(platform, drivers().id(), driver_rows(&ratings)).await;
    let driven = [
        (1, 3, "north", "ada", 1),
        (2, 6, "north", "bob", 2),
        (3, 4, "south", "ada", 0),
        (4, 4, "west", "eve", 0),
    ];
    insert_and_wait(platform, trips().id(), trip_rows(&driven)).await;
}

/// Each trip with the demand of its zone, as one commit of that had it, and the rating of its driver.
pub fn query(demand_as_of: Option<AsOf>) -> Query {
    let select = |group: FeatureGroup, features: &[&str], as_of| Selection {
        group: group.id().clone(),
        features: features.iter().map(ToString::to_string).collect(),
        as_of,
    };
    let join = |right| Join {
        right,
        on: Vec::new(),
        kind: JoinKind::Left,
        prefix: None,
    };
    Query {
        left: select(trips(), &["trip", "tip"], None),
        joins: vec![
            join(select(zones(), &["demand"], demand_as_of)),
            join(select(drivers(), &["rating"], None)),
        ],
        filter: None,
    }
}

/// What a model takes that guesses tips.
pub fn view() -> FeatureView {
    FeatureView {
        id: FeatureViewId::new("default", "tips", 1).expect("id"),
        query: query(None),
        labels: vec!["tip".to_owned()],
        defaults: BTreeMap::from([("demand".to_owned(), Value::BigInt(-1))]),
        description: String::new(),
    }
}

/// All rows of a query, with the defaults of the view.
pub fn read(query: Query) -> ReadRequest {
    ReadRequest {
        query,
        defaults: view().defaults,
        spine: None,
        event_time_start: None,
        event_time_end: None,
    }
}

pub fn entry(trip: i64, zone: &str, driver: &str) -> Entry {
    BTreeMap::from([
        ("trip".to_owned(), Value::BigInt(trip)),
        ("zone".to_owned(), text(zone)),
        ("driver".to_owned(), text(driver)),
    ])
}
