use bytes::Bytes;
use twinfold_client::{Error, WaitTarget};
use twinfold_integration_tests::{Deployment, column_i64, history, insert_and_wait, latest};
use twinfold_model::{Feature, Operation, PartitionId, SchemaId, Value};
use twinfold_store_topic::{Append, NewRecord};
use twinfold_testkit::{batch, bench_group, bench_rows, weather_group};
use twinfold_wire::record::{Encoder, Headers};

const GOOD_ROWS: usize = 100_000;
const YEAR_2100_US: i64 = 4_102_444_800_000_000;

/// One framed record that is good, to make bad ones of.
fn good_record(schema: SchemaId, id: i64) -> Vec<u8> {
    let mut encoder = Encoder::new(&bench_group(), schema).expect("encoder");
    encoder
        .encode(&bench_rows(id, 1, 0))
        .expect("encode")
        .row(0)
        .to_vec()
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

#[tokio::test(flavor = "multi_thread")]
async fn poison_among_good_rows_is_listed_and_harms_nobody() {
    let mut deployment = Deployment::embedded().await;
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
    let record = |value: &[u8]| NewRecord {
        key: Bytes::from_static(b"whatever"),
        value: Bytes::copy_from_slice(value),
    };
    let append = Append {
        partition: PartitionId(1),
        headers: Headers {
            operation: Operation::Upsert,
            ingestion_id: None,
            event_time: None,
        },
        records: poison.iter().map(|(_, value)| record(value)).collect(),
    };
    deployment
        .append_raw(&group.id().resource_name(), vec![append])
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

#[tokio::test(flavor = "multi_thread")]
async fn a_row_from_the_future_is_quarantined_and_the_receipt_says_so() {
    let deployment = Deployment::embedded().await;
    let platform = deployment.platform();
    let group = weather_group();
    platform
        .create_feature_group(group.clone())
        .await
        .expect("create");
    let ahead = |feature: &Feature| match feature.name.as_str() {
        "origin" => Value::String("JFK".to_owned()),
        "observed_at" => Value::Timestamp(YEAR_2100_US),
        _ => Value::Null,
    };
    let row: Vec<Value> = group.features().iter().map(ahead).collect();
    let rows = batch(&group, &[row.clone(), row.clone(), row]);
    let receipt = platform
        .insert(group.id(), vec![rows], &|_| ())
        .await
        .expect("insert");
    let both = WaitTarget {
        online: true,
        offline: true,
    };
    let error = platform
        .wait(&receipt, both, std::time::Duration::from_secs(60))
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
        .wait(&replayed, both, std::time::Duration::from_secs(60))
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
