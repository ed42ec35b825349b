use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use twinfold_client::{Deletion, Error, Expected, Platform, WaitTarget};
use twinfold_model::{Feature, FeatureGroup, FeatureType, Operation, PartitionId, SchemaId, Value};
use twinfold_store_topic::{Append, NewRecord};
use twinfold_testkit::{batch, bench_group, bench_rows, rows, weather_group};
use twinfold_wire::record::{Encoder, Headers};

use crate::{WAIT_MAX, Way, column_i64, history, insert_and_wait, latest};

const GOOD_ROWS: usize = 100_000;
const YEAR_2100_US: i64 = 4_102_444_800_000_000;

const BOTH: WaitTarget = WaitTarget {
    online: true,
    offline: true,
};

/// One framed record that is good, to make bad ones of.
fn good_record(schema: SchemaId, id: i64) -> Vec<u8> {
    let mut encoder = Encoder::new(&bench_group(), schema).expect("encoder");
    encoder
        .encode(&bench_rows(id, 1, 0))
        .expect("encode")
        .row(0)
        .to_vec()
}

/// What a producer that is not ours appends.
fn foreign(values: impl IntoIterator<Item = Vec<u8>>) -> Append {
    let record = |value: Vec<u8>| NewRecord {
        key: Bytes::from_static(b"whatever"),
        value: Bytes::from(value),
    };
    Append {
        partition: PartitionId(1),
        headers: Headers {
            operation: Operation::Upsert,
            ingestion_id: None,
            event_time: None,
        },
        records: values.into_iter().map(record).collect(),
    }
}

/// A poison record of each kind, with the code that it must be listed under.
fn poison(schema: SchemaId) -> Vec<(&'static str, Vec<u8>)> {
    let good = good_record(schema, 7);
    let mut trailing = good.clone();
    trailing.push(0);
    let mut unknown = good.clone();
    unknown[1..5].copy_from_slice(&999_999_u32.to_be_bytes());
    let mut json = good.clone();
    json[0] = b'{';
    vec![
        ("invalid_frame", Vec::new()),
        ("invalid_frame", json),
        ("truncated", good[..3].to_vec()),
        ("truncated", good[..good.len() / 2].to_vec()),
        ("trailing_bytes", trailing),
        ("unknown_schema", unknown),
    ]
}

/// Three rows of weather that claim to be of the year 2100.
fn from_the_future(group: &FeatureGroup) -> RecordBatch {
    observed(group, YEAR_2100_US)
}

/// Three rows of weather of one place, from this time on.
fn observed(group: &FeatureGroup, since_us: i64) -> RecordBatch {
    let row = |index: i64| -> Vec<Value> {
        let value = |feature: &Feature| match feature.name.as_str() {
            "origin" => Value::String("JFK".to_owned()),
            "observed_at" => Value::Timestamp(since_us + index),
            _ => Value::Null,
        };
        group.features().iter().map(value).collect()
    };
    batch(group, &[row(0), row(1), row(2)])
}

pub async fn poison_among_good_rows_is_listed_and_harms_nobody(way: Way) {
    let mut deployment = way.deployment().await;
    let group = bench_group();
    let definition = deployment
        .platform()
        .create_feature_group(group.clone())
        .await
        .expect("create");
    let half = GOOD_ROWS as i64 / 2;
    deployment
        .platform()
        .insert(group.id(), vec![bench_rows(0, GOOD_ROWS / 2, 0)], &|_| ())
        .await
        .expect("insert");
    let poison = poison(definition.schema);
    let values = poison.iter().map(|(_, value)| value.clone());
    deployment
        .append_raw(&group.id().resource_name(1), vec![foreign(values)])
        .await;
    let platform = deployment.platform();
    insert_and_wait(platform, group.id(), bench_rows(half, GOOD_ROWS / 2, 0)).await;

    let all: Vec<i64> = (0..GOOD_ROWS as i64).collect();
    assert_eq!(column_i64(&latest(platform, group.id()).await, "id"), all);
    assert_eq!(
        column_i64(&history(platform, &group, None).await, "id"),
        all
    );
    let listed = platform
        .quarantined(group.id(), None, 100)
        .await
        .expect("list");
    let found: Vec<_> = listed
        .iter()
        .map(|record| (record.code.as_str(), record.value.clone()))
        .collect();
    assert_eq!(found, poison);
    assert!(listed.iter().all(|record| !record.reason.is_empty()));
}

pub async fn a_row_from_the_future_is_quarantined_and_the_receipt_says_so(way: Way) {
    let deployment = way.deployment().await;
    let platform = deployment.platform();
    let group = weather_group();
    platform
        .create_feature_group(group.clone())
        .await
        .expect("create");
    let receipt = platform
        .insert(group.id(), vec![from_the_future(&group)], &|_| ())
        .await
        .expect("insert");
    let error = platform
        .wait(&receipt, BOTH, WAIT_MAX)
        .await
        .expect_err("quarantined");
    let Error::Quarantined { records, .. } = error else {
        panic!("{error}");
    };
    assert_eq!(records.len(), 3);
    assert!(
        records
            .iter()
            .all(|record| record.code == "future_event_time")
    );
    assert_eq!(latest(platform, group.id()).await.num_rows(), 0);

    // Replayed too early they come back, under new positions, and the old ones are gone.
    let replayed = platform.replay(group.id(), &[]).await.expect("replay");
    assert_eq!(replayed.rows, 3);
    let error = platform
        .wait(&replayed, BOTH, WAIT_MAX)
        .await
        .expect_err("still ahead");
    assert!(
        matches!(error, Error::Quarantined { ref records, .. } if records.len() == 3),
        "{error}"
    );
    let listed = platform
        .quarantined(group.id(), None, 100)
        .await
        .expect("list");
    assert_eq!(listed.len(), 3);
}

/// A producer was quicker than whoever registers its schema.
pub async fn records_land_by_replay_once_their_schema_is_known(way: Way) {
    let mut deployment = way.deployment().await;
    let group = bench_group();
    let definition = deployment
        .platform()
        .create_feature_group(group.clone())
        .await
        .expect("create");
    let added = Feature::new("added", FeatureType::BigInt).expect("feature");
    let evolved = twinfold_model::evolve(&group, vec![added.clone()]).expect("evolves");
    let next = SchemaId(definition.schema.0 + 1);
    let rows = rows(&evolved, 1, 3);
    let mut encoder = Encoder::new(&evolved, next).expect("encoder");
    let encoded = encoder.encode(&rows).expect("encode");
    let values: Vec<Vec<u8>> = encoded.iter().map(|value| value.to_vec()).collect();
    deployment
        .append_raw(&group.id().resource_name(1), vec![foreign(values)])
        .await;
    let platform = deployment.platform();
    // Behind the records in time, so that both stores have looked at them before.
    insert_and_wait(platform, group.id(), bench_rows(0, 100, 0)).await;
    let listed = platform
        .quarantined(group.id(), None, 100)
        .await
        .expect("list");
    let codes: Vec<&str> = listed.iter().map(|record| record.code.as_str()).collect();
    assert_eq!(codes, ["unknown_schema"; 3]);

    let registered = platform
        .append_features(group.id(), vec![added], &Expected::Anything)
        .await
        .expect("evolve");
    assert_eq!(registered.schema, next);
    assert_replay_lands(platform, &evolved, 3).await;
}

pub async fn rows_from_the_future_land_by_replay_once_they_are_allowed(way: Way) {
    let mut deployment = way.deployment().await;
    let platform = deployment.platform();
    let group = weather_group();
    platform
        .create_feature_group(group.clone())
        .await
        .expect("create");
    let receipt = platform
        .insert(group.id(), vec![from_the_future(&group)], &|_| ())
        .await
        .expect("insert");
    let refused = platform.wait(&receipt, BOTH, WAIT_MAX).await;
    assert!(
        matches!(refused, Err(Error::Quarantined { .. })),
        "{refused:?}"
    );
    deployment
        .restart_with(|config| config.topic.future_skew_ms_max = 100 * 365 * 86_400_000)
        .await;
    assert_replay_lands(deployment.platform(), &group, 3).await;
}

/// Offsets begin anew with it, and the consumers of the one before may still be at work on bad rows.
pub async fn a_group_made_again_has_no_quarantine_of_the_one_before(way: Way) {
    let deployment = way.deployment().await;
    let platform = deployment.platform();
    let group = weather_group();
    let create = async || {
        let created = platform.create_feature_group(group.clone()).await;
        created.expect("create");
    };
    let insert_bad = async || {
        let rows = vec![from_the_future(&group)];
        let inserted = platform.insert(group.id(), rows, &|_| ()).await;
        inserted.expect("insert")
    };
    create().await;
    let waited = platform.wait(&insert_bad().await, BOTH, WAIT_MAX).await;
    assert!(
        matches!(waited, Err(Error::Quarantined { .. })),
        "{waited:?}"
    );
    // Nobody waits for these: whoever reads them may find the group gone, or made again.
    insert_bad().await;
    platform
        .delete_feature_group(group.id(), Deletion::RefuseIfUsed, &Expected::Anything)
        .await
        .expect("delete");
    create().await;

    insert_and_wait(platform, group.id(), observed(&group, 0)).await;
    let listed = platform.quarantined(group.id(), None, 100).await;
    assert_eq!(listed.expect("list"), []);
    let replayed = platform.replay(group.id(), &[]).await.expect("replay");
    assert_eq!(replayed.rows, 0);

    let own = insert_bad().await;
    let waited = platform.wait(&own, BOTH, WAIT_MAX).await;
    let Err(Error::Quarantined { records, .. }) = waited else {
        panic!("{waited:?}");
    };
    assert_eq!(records.len(), 3);
    assert!(records.iter().all(|record| record.resource == own.resource));
    let listed = platform.quarantined(group.id(), None, 100).await;
    assert_eq!(listed.expect("list"), records);
}

/// Everything that is listed lands in both stores, each row once, and is listed no more.
async fn assert_replay_lands(platform: &dyn Platform, group: &FeatureGroup, rows: usize) {
    let rows_before = history(platform, group, None).await.num_rows();
    let replayed = platform.replay(group.id(), &[]).await.expect("replay");
    assert_eq!(replayed.rows, rows as u64);
    platform
        .wait(&replayed, BOTH, WAIT_MAX)
        .await
        .expect("lands");
    let stored = history(platform, group, None).await.num_rows();
    assert_eq!(stored, rows_before + rows);
    assert!(latest(platform, group.id()).await.num_rows() > 0);
    let listed = platform.quarantined(group.id(), None, 1).await;
    assert!(listed.expect("list").is_empty());
    let again = platform.replay(group.id(), &[]).await.expect("replay");
    assert_eq!(again.rows, 0);
}
