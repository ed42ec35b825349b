use std::path::Path;

use arrow::array::Int64Array;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use twinfold_model::{Offset, PartitionId, Positions};
use twinfold_store_offline::AppendRequest;

use super::*;

const TABLE: &str = "t";

/// As a new process finds it.
async fn opened(folder: &Path) -> (Arc<dyn OfflineStore>, Upkeep) {
    let url = format!("file://{}", folder.display());
    let store = twinfold_store_offline::open(&url).await.expect("opens");
    let config = UpkeepConfig {
        compaction_commits: NonZeroU64::new(3).expect("not zero"),
        retention_hours: 1,
    };
    let upkeep = Upkeep::new(Arc::clone(&store), config);
    (store, upkeep)
}

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("id", DataType::Int64, false)]))
}

/// A commit of one row.
async fn append(store: &dyn OfflineStore, next: u64) {
    let rows = Arc::new(Int64Array::from(vec![7]));
    let request = AppendRequest {
        batches: vec![RecordBatch::try_new(schema(), vec![rows]).expect("fits")],
        follows: Positions::from_iter([(PartitionId(0), Offset(next - 1))]),
        positions: Positions::from_iter([(PartitionId(0), Offset(next))]),
        rows_upserted: 1,
        rows_deleted: 0,
    };
    store.append(TABLE, request).await.expect("appends");
}

#[tokio::test]
async fn so_many_commits_after_the_last_a_compaction_is_due_whoever_made_them() {
    let folder = twinfold_testkit::temp_dir();
    let (store, mut upkeep) = opened(folder.path()).await;
    store.create_table(TABLE, schema()).await.expect("creates");
    append(store.as_ref(), 1).await;
    append(store.as_ref(), 2).await;
    assert!(!upkeep.is_compaction_due(TABLE).await.expect("reads"));
    append(store.as_ref(), 3).await;
    assert!(upkeep.is_compaction_due(TABLE).await.expect("reads"));

    // The next process finds the same.
    let (store, mut upkeep) = opened(folder.path()).await;
    assert!(upkeep.is_compaction_due(TABLE).await.expect("reads"));
    assert!(upkeep.compact(TABLE).await.expect("merges"), "commit 4");
    assert!(!upkeep.compact(TABLE).await.expect("nothing is left"));
    assert!(!upkeep.is_compaction_due(TABLE).await.expect("reads"));
    append(store.as_ref(), 4).await;
    append(store.as_ref(), 5).await;

    // The one after it knows of the compaction.
    let (store, mut upkeep) = opened(folder.path()).await;
    assert!(!upkeep.is_compaction_due(TABLE).await.expect("reads"));
    append(store.as_ref(), 6).await;
    assert!(upkeep.is_compaction_due(TABLE).await.expect("reads"));
}

#[tokio::test]
async fn commits_that_leave_nothing_to_merge_are_not_looked_at_again() {
    let folder = twinfold_testkit::temp_dir();
    let (store, mut upkeep) = opened(folder.path()).await;
    store.create_table(TABLE, schema()).await.expect("creates");
    for next in 1..=3 {
        let empty = AppendRequest {
            batches: Vec::new(),
            follows: Positions::from_iter([(PartitionId(0), Offset(next - 1))]),
            positions: Positions::from_iter([(PartitionId(0), Offset(next))]),
            rows_upserted: 0,
            rows_deleted: 0,
        };
        store.append(TABLE, empty).await.expect("appends");
    }
    assert!(upkeep.is_compaction_due(TABLE).await.expect("reads"));
    assert!(!upkeep.compact(TABLE).await.expect("nothing to merge"));
    assert!(!upkeep.is_compaction_due(TABLE).await.expect("reads"));
}
