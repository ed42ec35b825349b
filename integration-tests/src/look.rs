use std::collections::BTreeMap;
use std::time::Duration;

use arrow::array::{Array, AsArray};
use arrow::compute::concat_batches;
use arrow::datatypes::Int64Type;
use arrow::record_batch::RecordBatch;
use futures::TryStreamExt;
use twinfold_client::{BatchStream, Platform, ReadRequest, Receipt, WaitTarget};
use twinfold_model::{AsOf, FeatureGroup, FeatureGroupId, Query, Selection};

/// Long enough for a busy machine; nothing here waits for time to pass.
pub const WAIT_MAX: Duration = Duration::from_secs(60);

/// Inserts and waits until both stores have the rows.
pub async fn insert_and_wait(
    platform: &dyn Platform,
    id: &FeatureGroupId,
    rows: RecordBatch,
) -> Receipt {
    let receipt = platform
        .insert(id, vec![rows], &|_| ())
        .await
        .expect("insert");
    let both = WaitTarget {
        online: true,
        offline: true,
    };
    platform.wait(&receipt, both, WAIT_MAX).await.expect("wait");
    receipt
}

/// Every row of a stream in one batch.
pub async fn read_all(stream: BatchStream) -> RecordBatch {
    let schema = stream.schema;
    let batches: Vec<RecordBatch> = stream.batches.try_collect().await.expect("rows");
    concat_batches(&schema, &batches).expect("one schema")
}

/// The whole history of a group.
pub async fn history(
    platform: &dyn Platform,
    group: &FeatureGroup,
    as_of: Option<AsOf>,
) -> RecordBatch {
    let request = ReadRequest {
        query: Query {
            left: Selection {
                group: group.id().clone(),
                features: group
                    .features()
                    .iter()
                    .map(|feature| feature.name.to_string())
                    .collect(),
                as_of,
            },
            joins: Vec::new(),
            filter: None,
        },
        defaults: BTreeMap::new(),
        spine: None,
        event_time_start: None,
        event_time_end: None,
    };
    read_all(platform.read(request).await.expect("read")).await
}

/// The newest rows of a group.
pub async fn latest(platform: &dyn Platform, id: &FeatureGroupId) -> RecordBatch {
    read_all(platform.read_online(id).await.expect("read online")).await
}

/// The values of a bigint column, nulls left out, sorted.
pub fn column_i64(batch: &RecordBatch, name: &str) -> Vec<i64> {
    let column = batch.column_by_name(name).expect("column");
    let mut values: Vec<i64> = column
        .as_primitive::<Int64Type>()
        .iter()
        .flatten()
        .collect();
    assert!(column.len() >= values.len());
    values.sort_unstable();
    values
}
