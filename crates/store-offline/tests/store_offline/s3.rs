//! `DeltaStore` in a bucket against the guarantees of the port.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use twinfold_model::{Offset, PartitionId, Positions};
use twinfold_store_offline::{
    AppendRequest, DeltaStore, Error, OfflineStore, S3Credentials, S3Options,
    offline_store_conformance,
};
use twinfold_testkit::servers;

/// A prefix that nobody else uses.
fn options() -> S3Options {
    let s3 = &servers().s3;
    S3Options {
        bucket: s3.bucket.clone(),
        prefix: format!("history-{}", uuid::Uuid::new_v4()),
        endpoint: Some(s3.endpoint.clone()),
        region: Some(s3.region.clone()),
        credentials: Some(S3Credentials {
            access_key_id: s3.access_key_id.clone(),
            secret_access_key: s3.secret_access_key.clone(),
        }),
    }
}

fn store(options: &S3Options) -> Arc<dyn OfflineStore> {
    Arc::new(DeltaStore::in_bucket(options).expect("options that hold together"))
}

offline_store_conformance!({
    let options = options();
    (async move || store(&options), ())
});

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("id", DataType::Int64, false)]))
}

fn append(partition: u32, next: u64) -> AppendRequest {
    let id = i64::try_from(next).expect("small");
    let columns: Vec<ArrayRef> = vec![Arc::new(Int64Array::from(vec![id]))];
    AppendRequest {
        batches: vec![RecordBatch::try_new(schema(), columns).expect("a row")],
        follows: Positions::from_iter([(PartitionId(partition), Offset(next - 1))]),
        positions: Positions::from_iter([(PartitionId(partition), Offset(next))]),
        rows_upserted: 1,
        rows_deleted: 0,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_writers_one_commits_and_the_other_hears_of_it() {
    let options = options();
    let (one, two) = (store(&options), store(&options));
    one.create_table("t", schema()).await.expect("create");
    for next in 1..10 {
        let (a, b) = tokio::join!(
            one.append("t", append(0, next)),
            two.append("t", append(0, next))
        );
        let outcomes = [a, b];
        let taken = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
        assert_eq!(taken, 1, "{outcomes:?}");
        for refused in outcomes.into_iter().filter_map(Result::err) {
            let expected = matches!(
                refused,
                Error::AlreadyCommitted { .. } | Error::Conflict { .. }
            );
            assert!(expected, "{refused:?}");
        }
    }
    let commits = two.commits("t", None, 100).await.expect("commits");
    assert_eq!(
        commits
            .iter()
            .map(|commit| commit.rows_upserted)
            .sum::<u64>(),
        9
    );
}

#[tokio::test]
async fn a_bucket_that_is_not_there_is_a_clear_failure() {
    let options = S3Options {
        bucket: "no-such-bucket".to_owned(),
        ..options()
    };
    let failed = store(&options).create_table("t", schema()).await;
    let error = failed.expect_err("no bucket").to_string();
    assert!(error.contains("NoSuchBucket"), "{error}");
}
