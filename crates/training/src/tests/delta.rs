//! The same queries over real tables, read at pinned commits.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, AsArray};
use arrow::datatypes::Float64Type;
use twinfold_model::{
    AsOf, Feature, FeatureGroup, FeatureType, JoinKind, Offset, PartitionId, Positions, Value,
};
use twinfold_store_offline::{AppendRequest, OfflineStore, open};
use twinfold_wire::record::history_schema;

use super::fixtures::*;
use crate::{Options, Source, digest_rows};

fn labels() -> Arc<FeatureGroup> {
    let features = [
        ("id", FeatureType::Int),
        ("at", FeatureType::Timestamp),
        ("user", FeatureType::String),
    ];
    group("labels", &features, &["id"], Some("at"), None)
}

fn users() -> Arc<FeatureGroup> {
    let embedding = FeatureType::Embedding(2);
    let features = [
        ("user", FeatureType::String),
        ("at", FeatureType::Timestamp),
        ("balance", FeatureType::Double),
        ("taste", embedding),
        ("tags", FeatureType::Map(Box::new(FeatureType::Int))),
    ];
    group("users", &features, &["user"], Some("at"), Some(1_000))
}

fn user(name: &str, at: i64, offset: i64, balance: f64) -> Record {
    let values = vec![
        text(name),
        Value::Timestamp(at),
        Value::Double(balance),
        Value::Embedding(vec![balance as f32, 0.0]),
        Value::Map(vec![("n".to_owned(), Value::Int(1))]),
    ];
    upsert(at, offset, values)
}

async fn append(store: &dyn OfflineStore, group: &FeatureGroup, records: &[Record]) {
    let offsets = || records.iter().map(|record| record.offset.cast_unsigned());
    let first = offsets().min().expect("records");
    let mut positions = Positions::new();
    let next = Offset(offsets().max().expect("records") + 1);
    positions.advance(PartitionId(0), next);
    let deleted = records.iter().filter(|record| record.deleted).count() as u64;
    let request = AppendRequest {
        batches: vec![history_batch(group, records)],
        follows: Positions::from_iter([(PartitionId(0), Offset(first))]),
        positions,
        rows_upserted: records.len() as u64 - deleted,
        rows_deleted: deleted,
    };
    store
        .append(&group.id().resource_name(1), request)
        .await
        .expect("appended");
}

async fn source_at(
    store: &dyn OfflineStore,
    group: &Arc<FeatureGroup>,
    as_of: Option<AsOf>,
) -> Source {
    let table = group.id().resource_name(1);
    Source {
        group: Arc::clone(group),
        snapshot: store.snapshot(&table, as_of).await.expect("there"),
        lacking: BTreeMap::new(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(
    clippy::too_many_lines,
    reason = "one story from the first commit to the pinned read"
)]
async fn pinned_commits_give_the_same_dataset_after_more_was_written() {
    let folder = tempfile::tempdir().expect("folder");
    let url = format!("file://{}", folder.path().display());
    let store = open(&url).await.expect("opened");
    let (labels, users) = (labels(), users());
    for group in [&labels, &users] {
        let table = group.id().resource_name(1);
        let schema = history_schema(group);
        store.create_table(&table, schema).await.expect("created");
    }
    let label = |id: i32, at: i64, name: &str| {
        let values = vec![Value::Int(id), Value::Timestamp(at), text(name)];
        upsert(at, id.into(), values)
    };
    let of_labels = [
        label(1, 100, "ann"),
        label(2, 200, "bob"),
        label(3, 1_500, "ann"),
    ];
    append(store.as_ref(), &labels, &of_labels).await;
    append(
        store.as_ref(),
        &users,
        &[user("ann", 90, 0, 1.0), user("bob", 150, 1, 2.0)],
    )
    .await;
    let gone = vec![
        text("bob"),
        Value::Null,
        Value::Null,
        Value::Null,
        Value::Null,
    ];
    append(store.as_ref(), &users, &[delete(180, 2, gone)]).await;

    let query = query(
        select(&labels, &["id"]),
        vec![join(
            select(&users, &["balance", "taste", "tags"]),
            &[],
            JoinKind::Left,
            "",
        )],
    );
    let sources = [
        source_at(store.as_ref(), &labels, None).await,
        source_at(store.as_ref(), &users, None).await,
    ];
    let pins: Vec<u64> = sources
        .iter()
        .map(|source| source.snapshot.commit)
        .collect();
    let options = Options::default();
    let rows = collected(run(&query, &sources, &options).await.expect("valid")).await;
    let balances: Vec<_> = rows
        .column(1)
        .as_primitive::<Float64Type>()
        .iter()
        .collect();
    // Bob was deleted before his label, and Ann's row was too old for her second one.
    assert_eq!(balances, [Some(1.0), None, None]);
    assert!(rows.column(2).is_valid(0) && rows.column(3).is_valid(0));
    let rows = run(&query, &sources, &options).await.expect("valid");
    let digest = digest_rows(rows, &[], 0).await.expect("digest");

    // More rows and a feature more, then the same query at the pins.
    append(store.as_ref(), &users, &[user("ann", 1_400, 3, 5.0)]).await;
    let mut spec = users.to_spec();
    spec.features
        .push(Feature::new("added", FeatureType::Int).expect("valid"));
    let evolved = Arc::new(FeatureGroup::new(spec).expect("valid"));
    let schema = history_schema(&evolved);
    let table = evolved.id().resource_name(1);
    store.create_table(&table, schema).await.expect("evolved");
    let pinned = |commit| Some(AsOf::Commit(commit));
    let sources = [
        source_at(store.as_ref(), &labels, pinned(pins[0])).await,
        source_at(store.as_ref(), &evolved, pinned(pins[1])).await,
    ];
    let rows = run(&query, &sources, &options).await.expect("valid");
    assert_eq!(digest_rows(rows, &[], 0).await.expect("digest"), digest);

    let newest = [
        source_at(store.as_ref(), &labels, None).await,
        source_at(store.as_ref(), &evolved, None).await,
    ];
    let rows = collected(run(&query, &newest, &options).await.expect("valid")).await;
    let balances: Vec<_> = rows
        .column(1)
        .as_primitive::<Float64Type>()
        .iter()
        .collect();
    assert_eq!(balances, [Some(1.0), None, Some(5.0)]);
}
