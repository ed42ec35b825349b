use std::collections::BTreeMap;

use arrow::record_batch::RecordBatch;
use twinfold_client::{
    Entry, Error, Platform, ServingRequest, ServingSource, VectorOptions, WaitTarget,
};
use twinfold_model::{
    AsOf, EventTime, FeatureGroup, FeatureView, FeatureViewId, Presence, Query, Selection, Value,
};
use twinfold_testkit::{batch, weather_group};

use crate::{Way, history, insert_and_wait, latest};

const HOUR_US: i64 = 3_600_000_000;

/// (origin, hours since 1970, temperature)
fn weather(rows: &[(&str, i64, f64)]) -> RecordBatch {
    let group = weather_group();
    let values: Vec<Vec<Value>> = rows
        .iter()
        .map(|(origin, hours, temp)| {
            let value = |name: &str| match name {
                "origin" => Value::String((*origin).to_owned()),
                "observed_at" => Value::Timestamp(hours * HOUR_US),
                "temp" => Value::Double(*temp),
                _ => Value::Null,
            };
            group
                .features()
                .iter()
                .map(|feature| value(feature.name.as_str()))
                .collect()
        })
        .collect();
    batch(&group, &values)
}

async fn view(platform: &dyn Platform, group: &FeatureGroup) -> FeatureViewId {
    let id = FeatureViewId::new("default", "conditions", 1).expect("id");
    let view = FeatureView {
        id: id.clone(),
        query: Query {
            left: Selection {
                group: group.id().clone(),
                features: vec!["origin".to_owned(), "temp".to_owned()],
                as_of: None,
            },
            joins: Vec::new(),
            filter: None,
        },
        labels: Vec::new(),
        defaults: BTreeMap::from([("temp".to_owned(), Value::Double(-1.0))]),
        description: String::new(),
    };
    platform.create_feature_view(view).await.expect("view");
    id
}

fn entry(origin: &str) -> Entry {
    BTreeMap::from([("origin".to_owned(), Value::String(origin.to_owned()))])
}

const LENIENT: VectorOptions = VectorOptions {
    allow_missing: true,
    allow_error: false,
};
const STRICT: VectorOptions = VectorOptions {
    allow_missing: false,
    allow_error: false,
};

pub async fn a_vector_holds_the_newest_row_or_says_why_not(way: Way) {
    let deployment = way.deployment().await;
    let platform = deployment.platform();
    let group = weather_group();
    platform
        .create_feature_group(group.clone())
        .await
        .expect("create");
    insert_and_wait(
        platform,
        group.id(),
        weather(&[("JFK", 2, 20.0), ("JFK", 1, 10.0)]),
    )
    .await;
    let source = ServingSource::View(view(platform, &group).await);
    let reader = platform
        .vector_reader(ServingRequest { source })
        .await
        .expect("reader");

    let entries = [entry("JFK"), entry("EWR")];
    let vectors = reader
        .vectors(&entries, &[], LENIENT)
        .await
        .expect("vectors");
    assert_eq!(
        vectors[0].values,
        [Value::String("JFK".to_owned()), Value::Double(20.0)]
    );
    assert_eq!(vectors[0].groups[0].presence, Presence::Present);
    assert_eq!(
        vectors[0].groups[0].event_time,
        Some(EventTime::from_micros(2 * HOUR_US))
    );
    assert_eq!(
        vectors[1].values,
        [Value::String("EWR".to_owned()), Value::Double(-1.0)]
    );
    assert_eq!(vectors[1].groups[0].presence, Presence::Missing);

    let error = reader
        .vectors(&entries, &[], STRICT)
        .await
        .expect_err("EWR is missing");
    assert!(matches!(error, Error::MissingRow { .. }), "{error}");
    let passed = [
        Entry::new(),
        BTreeMap::from([
            ("temp".to_owned(), Value::Double(5.0)),
            ("origin".to_owned(), Value::String("EWR".to_owned())),
        ]),
    ];
    let vectors = reader
        .vectors(&entries, &passed, STRICT)
        .await
        .expect("all passed");
    assert_eq!(vectors[1].values[1], Value::Double(5.0));
}

pub async fn a_delete_hides_in_both_stores_and_a_later_row_returns(way: Way) {
    let deployment = way.deployment().await;
    let platform = deployment.platform();
    let group = weather_group();
    platform
        .create_feature_group(group.clone())
        .await
        .expect("create");
    insert_and_wait(
        platform,
        group.id(),
        weather(&[("JFK", 1, 10.0), ("EWR", 1, 11.0)]),
    )
    .await;
    let before = platform
        .commits(group.id(), None, 1)
        .await
        .expect("commits")[0]
        .id;

    let at = EventTime::from_micros(3 * HOUR_US);
    let keys = weather(&[("JFK", 0, 0.0)]);
    let receipt = platform
        .delete(group.id(), vec![keys], Some(at))
        .await
        .expect("delete");
    let both = WaitTarget {
        online: true,
        offline: true,
    };
    platform
        .wait(&receipt, both, std::time::Duration::from_secs(60))
        .await
        .expect("wait");
    assert_eq!(latest(platform, group.id()).await.num_rows(), 1);
    assert_eq!(history(platform, &group, None).await.num_rows(), 1);
    assert_eq!(
        history(platform, &group, Some(AsOf::Commit(before)))
            .await
            .num_rows(),
        2
    );

    // Older than the delete, or exactly as old: stays hidden. Later: back.
    insert_and_wait(
        platform,
        group.id(),
        weather(&[("JFK", 2, 12.0), ("JFK", 3, 13.0)]),
    )
    .await;
    assert_eq!(latest(platform, group.id()).await.num_rows(), 1);
    insert_and_wait(platform, group.id(), weather(&[("JFK", 4, 14.0)])).await;
    assert_eq!(latest(platform, group.id()).await.num_rows(), 2);
    assert_eq!(history(platform, &group, None).await.num_rows(), 2);
}
