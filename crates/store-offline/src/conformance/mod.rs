//! What every backend of [`OfflineStore`] has to pass: one function for each guarantee.
//!
//! Each takes a way to open the store; opening it again finds the same data. The functions panic where
//! a guarantee is broken.

mod rows;

use std::sync::Arc;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, Field, Float64Type, Schema};
use arrow::record_batch::RecordBatch;
use datafusion::prelude::{col, lit};
use twinfold_model::{AsOf, EventTime, Offset, PartitionId, Positions};

pub use self::rows::collected;
use self::rows::{
    all_types, append, batch_of, ids, positions, read, rows, schema, sorted_ids, vectors,
};
use crate::{AppendRequest, Error, OfflineStore};

/// More commits than a backend can keep without summing them up.
const MANY_COMMITS: u64 = 60;

/// Adds all rows with their positions as one commit.
pub async fn an_append_adds_rows_and_positions_together(
    open: impl AsyncFn() -> Arc<dyn OfflineStore>,
) {
    let store = open().await;
    store.create_table("t", schema(&[])).await.expect("create");
    assert_eq!(
        store.positions("t").await.expect("positions"),
        Positions::new()
    );
    let mut request = append(0, 0..10);
    request.batches.push(rows(1, 5..8));
    request.positions.advance(PartitionId(1), Offset(8));
    request.rows_upserted = 12;
    request.rows_deleted = 1;
    let commit = store.append("t", request.clone()).await.expect("append");
    assert_eq!(commit.id, 1, "creation is commit 0");
    assert_eq!(commit.positions, request.positions);
    assert_eq!((commit.rows_upserted, commit.rows_deleted), (12, 1));
    assert!(commit.bytes > 0);
    assert_eq!(
        store.positions("t").await.expect("positions"),
        request.positions
    );
    let snapshot = store.snapshot("t", None).await.expect("snapshot");
    assert_eq!(snapshot.commit, 1);
    assert_eq!(snapshot.schema, schema(&[]));
    assert_eq!(
        ids(&snapshot).await,
        [0, 1, 2, 3, 4, 5, 5, 6, 6, 7, 7, 8, 9]
    );
}

/// Refuses what a table has reached, whole or in one of its partitions.
pub async fn an_append_already_contained_adds_nothing(
    open: impl AsyncFn() -> Arc<dyn OfflineStore>,
) {
    let store = open().await;
    store.create_table("t", schema(&[])).await.expect("create");
    store.append("t", append(0, 0..10)).await.expect("append");
    store
        .append("t", append(1, 0..4))
        .await
        .expect("other partition");
    let mut partly = append(0, 5..10);
    partly.follows.advance(PartitionId(1), Offset(4));
    partly.positions.advance(PartitionId(1), Offset(9));
    for repeated in [append(0, 0..10), append(0, 3..5), partly] {
        let refused = store.append("t", repeated).await;
        let Err(Error::AlreadyCommitted {
            partition: 0,
            reached: 10,
            ..
        }) = refused
        else {
            panic!("wanted AlreadyCommitted, found {refused:?}");
        };
    }
    assert_eq!(
        store.commits("t", None, 10).await.expect("commits").len(),
        3
    );
    let snapshot = store.snapshot("t", None).await.expect("snapshot");
    assert_eq!(ids(&snapshot).await.len(), 14);
}

/// A writer that lost the answer of its append may send it again, also after a restart.
pub async fn a_retry_after_a_lost_answer_adds_nothing(
    open: impl AsyncFn() -> Arc<dyn OfflineStore>,
) {
    let store = open().await;
    store.create_table("t", schema(&[])).await.expect("create");
    store.append("t", append(3, 0..10)).await.expect("append");
    drop(store);
    let store = open().await;
    let refused = store.append("t", append(3, 0..10)).await;
    assert!(
        matches!(refused, Err(Error::AlreadyCommitted { .. })),
        "{refused:?}"
    );
    let positions = store.positions("t").await.expect("positions");
    assert_eq!(positions.get(PartitionId(3)), Some(Offset(10)));
    store
        .append("t", append(3, 10..12))
        .await
        .expect("the next append");
    let snapshot = store.snapshot("t", None).await.expect("snapshot");
    assert_eq!(ids(&snapshot).await, (0..12).collect::<Vec<_>>());
}

/// A writer that was stopped while another took over its partition finds rows of its batch contained, and
/// adds none of it; nor does one whose other partitions are still its own.
pub async fn a_writer_that_was_replaced_adds_nothing(
    open: impl AsyncFn() -> Arc<dyn OfflineStore>,
) {
    let (replaced, owner) = (open().await, open().await);
    replaced
        .create_table("t", schema(&[]))
        .await
        .expect("create");
    replaced.append("t", append(0, 0..5)).await.expect("append");
    owner.append("t", append(0, 5..7)).await.expect("append");
    let mut both = append(1, 0..4);
    both.batches.push(rows(0, 5..10));
    both.follows.advance(PartitionId(0), Offset(5));
    both.positions.advance(PartitionId(0), Offset(10));
    for stale in [append(0, 5..10), both] {
        let refused = replaced.append("t", stale).await;
        let Err(Error::AlreadyCommitted {
            partition: 0,
            reached: 7,
            follows: 5,
            ..
        }) = refused
        else {
            panic!("wanted AlreadyCommitted, found {refused:?}");
        };
    }
    // What the table does not contain may come from anybody.
    replaced.append("t", append(0, 7..9)).await.expect("append");
    let refused = owner.append("t", append(0, 7..8)).await;
    assert!(
        matches!(refused, Err(Error::AlreadyCommitted { .. })),
        "{refused:?}"
    );
    owner.append("t", append(1, 0..2)).await.expect("append");
    let snapshot = open().await.snapshot("t", None).await.expect("snapshot");
    assert_eq!(ids(&snapshot).await, [0, 0, 1, 1, 2, 3, 4, 5, 6, 7, 8]);
}

/// Writers of different partitions do not refuse each other, however close they come.
pub async fn writers_of_different_partitions_all_get_in(
    open: impl AsyncFn() -> Arc<dyn OfflineStore>,
) {
    let stores = [open().await, open().await, open().await];
    stores[0]
        .create_table("t", schema(&[]))
        .await
        .expect("create");
    for first in 0..4 {
        let attempts = (0..)
            .zip(&stores)
            .map(|(partition, store)| store.append("t", append(partition, first..first + 1)));
        for done in futures::future::join_all(attempts).await {
            done.expect("append");
        }
    }
    let expected = (0..3).map(|partition| (PartitionId(partition), Offset(4)));
    let positions = stores[0].positions("t").await.expect("positions");
    assert_eq!(positions, expected.collect());
    let snapshot = stores[1].snapshot("t", None).await.expect("snapshot");
    assert_eq!(ids(&snapshot).await.len(), 12);
}

/// Of appends of the same positions at the same time, one is taken.
pub async fn simultaneous_appends_of_the_same_rows_add_them_once(
    open: impl AsyncFn() -> Arc<dyn OfflineStore>,
) {
    let store = open().await;
    store.create_table("t", schema(&[])).await.expect("create");
    let attempts = (0..4).map(|_| store.append("t", append(0, 0..10)));
    let outcomes = futures::future::join_all(attempts).await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
    for refused in outcomes.into_iter().filter_map(Result::err) {
        assert!(
            matches!(
                refused,
                Error::AlreadyCommitted { .. } | Error::Conflict { .. }
            ),
            "{refused}"
        );
    }
    let snapshot = store.snapshot("t", None).await.expect("snapshot");
    assert_eq!(ids(&snapshot).await.len(), 10);
}

/// Progress without rows, as when all records were bad, is a commit like others.
pub async fn an_append_without_rows_moves_the_positions(
    open: impl AsyncFn() -> Arc<dyn OfflineStore>,
) {
    let store = open().await;
    store.create_table("t", schema(&[])).await.expect("create");
    store.append("t", append(0, 0..3)).await.expect("append");
    let empty = AppendRequest {
        batches: vec![rows(0, 0..0)],
        follows: positions(0, 3),
        positions: positions(0, 9),
        rows_upserted: 0,
        rows_deleted: 0,
    };
    let commit = store.append("t", empty).await.expect("append without rows");
    assert_eq!((commit.id, commit.bytes), (2, 0));
    assert_eq!(
        open().await.positions("t").await.expect("positions"),
        positions(0, 9)
    );
    let snapshot = store.snapshot("t", None).await.expect("snapshot");
    assert_eq!(ids(&snapshot).await, [0, 1, 2]);
}

/// Rows that do not fit the table are refused whole.
pub async fn rows_of_another_schema_are_refused(open: impl AsyncFn() -> Arc<dyn OfflineStore>) {
    let store = open().await;
    store.create_table("t", schema(&[])).await.expect("create");
    let mut request = append(0, 0..5);
    let surplus = rows(0, 5..6).project(&[0]).expect("projection");
    request.batches.push(surplus);
    let refused = store.append("t", request).await;
    assert!(
        matches!(refused, Err(Error::SchemaMismatch { .. })),
        "{refused:?}"
    );
    assert_eq!(
        store.positions("t").await.expect("positions"),
        Positions::new()
    );
    let snapshot = store.snapshot("t", None).await.expect("snapshot");
    assert!(ids(&snapshot).await.is_empty());
}

/// Many small commits, and everything is found again after a restart.
pub async fn many_commits_survive_a_restart(open: impl AsyncFn() -> Arc<dyn OfflineStore>) {
    let store = open().await;
    store.create_table("t", schema(&[])).await.expect("create");
    for commit in 0..MANY_COMMITS {
        let partition = u32::try_from(commit % 3).expect("small");
        let first = i64::try_from(commit / 3).expect("small");
        let done = store.append("t", append(partition, first..first + 1)).await;
        assert_eq!(done.expect("append").id, commit + 1);
    }
    let before = store.commits("t", None, 1000).await.expect("commits");
    drop(store);
    let store = open().await;
    let next = MANY_COMMITS / 3;
    let wanted = Positions::from_iter((0..3).map(|p| (PartitionId(p), Offset(next))));
    assert_eq!(store.positions("t").await.expect("positions"), wanted);
    assert_eq!(
        store.commits("t", None, 1000).await.expect("commits"),
        before
    );
    let snapshot = store.snapshot("t", None).await.expect("snapshot");
    assert_eq!(ids(&snapshot).await.len() as u64, MANY_COMMITS);
    let first = i64::try_from(next).expect("small");
    let done = store
        .append("t", append(0, first..first + 1))
        .await
        .expect("append");
    assert_eq!(done.id, MANY_COMMITS + 1);
    let past = store
        .snapshot("t", Some(AsOf::Commit(5)))
        .await
        .expect("snapshot");
    assert_eq!(ids(&past).await.len(), 5);
}

/// Reading at a commit or a time gives what was there then, for ever.
pub async fn the_past_reads_the_same_for_ever(open: impl AsyncFn() -> Arc<dyn OfflineStore>) {
    let store = open().await;
    store.create_table("t", schema(&[])).await.expect("create");
    for commit in 0..4 {
        store
            .append("t", append(0, commit * 2..commit * 2 + 2))
            .await
            .expect("append");
    }
    let commits = store.commits("t", None, 10).await.expect("commits");
    let store = open().await;
    for commit in &commits {
        let wanted: Vec<i64> = (0..i64::try_from(commit.id).expect("small") * 2).collect();
        let at = AsOf::Commit(commit.id);
        let snapshot = store.snapshot("t", Some(at)).await.expect("at a commit");
        assert_eq!(snapshot.commit, commit.id);
        assert_eq!(ids(&snapshot).await, wanted);

        let newest_then = commits
            .iter()
            .filter(|other| other.committed_at <= commit.committed_at);
        let newest_then = newest_then.map(|other| other.id).max();
        let at = AsOf::Time(commit.committed_at);
        let snapshot = store.snapshot("t", Some(at)).await.expect("at a time");
        assert_eq!(Some(snapshot.commit), newest_then);
    }
    let unknown = store.snapshot("t", Some(AsOf::Commit(99))).await;
    assert!(
        matches!(
            unknown,
            Err(Error::UnknownCommit {
                found: 99,
                newest: 4,
                ..
            })
        ),
        "{unknown:?}"
    );
    let first = commits.last().expect("creation").committed_at;
    let before = EventTime::from_micros(first.micros() - 1);
    let early = store.snapshot("t", Some(AsOf::Time(before))).await;
    assert!(
        matches!(early, Err(Error::BeforeFirstCommit { .. })),
        "{early:?}"
    );
    let late = store.snapshot("t", Some(AsOf::Time(EventTime::MAX))).await;
    assert_eq!(late.expect("at the end of time").commit, 4);
}

/// A snapshot keeps its rows whatever happens to the table after it was taken.
pub async fn a_snapshot_does_not_see_later_appends(open: impl AsyncFn() -> Arc<dyn OfflineStore>) {
    let store = open().await;
    store.create_table("t", schema(&[])).await.expect("create");
    store.append("t", append(0, 0..5)).await.expect("append");
    let snapshot = store.snapshot("t", None).await.expect("snapshot");
    store.append("t", append(0, 5..9)).await.expect("append");
    store
        .create_table("t", schema(&["extra"]))
        .await
        .expect("evolve");
    assert_eq!(ids(&snapshot).await, (0..5).collect::<Vec<_>>());
    assert_eq!(snapshot.schema, schema(&[]));
}

/// Columns are added as nullable; rows from before have null in them.
pub async fn a_table_gains_columns(open: impl AsyncFn() -> Arc<dyn OfflineStore>) {
    let store = open().await;
    store.create_table("t", schema(&[])).await.expect("create");
    store
        .create_table("t", schema(&[]))
        .await
        .expect("create again");
    store.append("t", append(0, 0..3)).await.expect("append");
    let evolved = schema(&["vector"]);
    store
        .create_table("t", evolved.clone())
        .await
        .expect("evolve");
    store
        .create_table("t", evolved.clone())
        .await
        .expect("evolve again");
    assert_eq!(
        store.commits("t", None, 10).await.expect("commits").len(),
        3
    );
    assert_eq!(
        store.positions("t").await.expect("positions"),
        positions(0, 3)
    );

    let mut columns = rows(0, 3..5).columns().to_vec();
    columns.push(vectors(&[Some([1.0, 2.0]), None]));
    let batch = RecordBatch::try_new(evolved.clone(), columns).expect("valid rows");
    let mut request = append(0, 3..5);
    request.batches = vec![batch];
    store
        .append("t", request)
        .await
        .expect("append with the column");
    store
        .append("t", append(0, 5..6))
        .await
        .expect("append by who does not know it yet");

    let store = open().await;
    let snapshot = store.snapshot("t", None).await.expect("snapshot");
    assert_eq!(snapshot.schema, evolved);
    let found = collected(&snapshot).await;
    let vector = found.column_by_name("vector").expect("column");
    let present: Vec<bool> = (0..vector.len()).map(|row| vector.is_valid(row)).collect();
    assert_eq!(present, [false, false, false, true, false, false]);
    let old = store
        .snapshot("t", Some(AsOf::Commit(1)))
        .await
        .expect("snapshot");
    assert_eq!(old.schema, schema(&[]), "the past has the schema of then");

    let retyped = Arc::new(Schema::new(vec![Field::new("id", DataType::Utf8, false)]));
    let refused = store.create_table("t", retyped).await;
    assert!(
        matches!(refused, Err(Error::SchemaMismatch { .. })),
        "{refused:?}"
    );
}

/// Ids increase by one, times never decrease, the newest come first.
pub async fn commits_are_listed_newest_first(open: impl AsyncFn() -> Arc<dyn OfflineStore>) {
    let store = open().await;
    store.create_table("t", schema(&[])).await.expect("create");
    let mut made = Vec::new();
    for commit in 0..5 {
        made.push(
            store
                .append("t", append(0, commit..commit + 1))
                .await
                .expect("append"),
        );
    }
    made.reverse();
    let listed = open().await.commits("t", None, 100).await.expect("commits");
    assert_eq!(listed[..5], made[..]);
    let ids: Vec<u64> = listed.iter().map(|commit| commit.id).collect();
    assert_eq!(ids, [5, 4, 3, 2, 1, 0]);
    assert!(listed.is_sorted_by(|newer, older| newer.committed_at >= older.committed_at));
    assert_eq!(listed[5].rows_upserted, 0, "creation has no rows");
    assert_eq!(
        store.commits("t", None, 2).await.expect("commits"),
        listed[..2]
    );
    assert!(
        store
            .commits("t", None, 0)
            .await
            .expect("commits")
            .is_empty()
    );
    for (before, wanted) in [
        (4, &listed[2..5]),
        (9, &listed[..3]),
        (1, &listed[5..]),
        (0, &listed[..0]),
    ] {
        let found = store.commits("t", Some(before), 3).await;
        assert_eq!(found.expect("commits"), wanted, "before {before}");
    }
}

/// Nothing of a dropped table is left, and its name is free.
pub async fn a_table_that_is_not_remembered_is_found_again(
    open: impl AsyncFn() -> Arc<dyn OfflineStore>,
) {
    let store = open().await;
    store.create_table("t", schema(&[])).await.expect("create");
    let first = store.append("t", append(0, 0..5)).await.expect("append");
    store.forget("t");
    let positions = store.positions("t").await.expect("positions");
    assert_eq!(positions, first.positions);
    let second = store.append("t", append(0, 5..6)).await.expect("append");
    assert_eq!(second.id, first.id + 1);
    store.forget("never_made");
}

pub async fn a_dropped_table_is_gone(open: impl AsyncFn() -> Arc<dyn OfflineStore>) {
    let store = open().await;
    store
        .drop_table("t")
        .await
        .expect("drop of what is not there");
    store.create_table("t", schema(&[])).await.expect("create");
    store.append("t", append(0, 0..5)).await.expect("append");
    store.drop_table("t").await.expect("drop");
    store.drop_table("t").await.expect("drop again");
    let gone = store.snapshot("t", None).await;
    assert!(matches!(gone, Err(Error::UnknownTable { .. })), "{gone:?}");
    let gone = store.append("t", append(0, 5..6)).await;
    assert!(matches!(gone, Err(Error::UnknownTable { .. })), "{gone:?}");
    let gone = open().await.positions("t").await;
    assert!(matches!(gone, Err(Error::UnknownTable { .. })), "{gone:?}");

    store
        .create_table("t", schema(&["other"]))
        .await
        .expect("create anew");
    assert_eq!(
        store.positions("t").await.expect("positions"),
        Positions::new()
    );
    store.append("t", append(0, 0..2)).await.expect("append");
    let snapshot = store.snapshot("t", None).await.expect("snapshot");
    assert_eq!(ids(&snapshot).await, [0, 1]);
}

/// Merging files changes no rows, no positions and no past.
pub async fn compaction_is_invisible(open: impl AsyncFn() -> Arc<dyn OfflineStore>) {
    let store = open().await;
    store.create_table("t", schema(&[])).await.expect("create");
    assert_eq!(store.compact("t").await.expect("nothing to do"), None);
    for commit in 0..6 {
        store
            .append("t", append(0, commit..commit + 1))
            .await
            .expect("append");
    }
    store
        .create_table("t", schema(&["extra"]))
        .await
        .expect("evolve");
    let held = store.snapshot("t", None).await.expect("snapshot");
    assert_eq!(store.compact("t").await.expect("compact"), Some(8));
    assert_eq!(store.compact("t").await.expect("nothing left to do"), None);
    assert_eq!(ids(&held).await, (0..6).collect::<Vec<_>>());

    store
        .append("t", append(0, 6..7))
        .await
        .expect("append after it");
    let store = open().await;
    assert_eq!(
        store.positions("t").await.expect("positions"),
        positions(0, 7)
    );
    let newest = store.snapshot("t", None).await.expect("snapshot");
    assert_eq!(ids(&newest).await, (0..7).collect::<Vec<_>>());
    let past = store
        .snapshot("t", Some(AsOf::Commit(3)))
        .await
        .expect("snapshot");
    assert_eq!(ids(&past).await, [0, 1, 2]);
    let commits = store.commits("t", None, 2).await.expect("commits");
    assert_eq!((commits[1].id, commits[1].rows_upserted), (8, 0));
    assert!(commits[1].bytes > 0, "it says that it wrote");
    let evolution = &store.commits("t", None, 3).await.expect("commits")[2];
    assert_eq!((evolution.id, evolution.bytes), (7, 0));
}

/// A vacuum deletes what neither the newest commit nor a pinned one needs, and only what is old enough.
pub async fn vacuum_spares_the_newest_and_the_pinned(
    open: impl AsyncFn() -> Arc<dyn OfflineStore>,
) {
    let store = open().await;
    store.create_table("t", schema(&[])).await.expect("create");
    for commit in 0..4 {
        store
            .append("t", append(0, commit..commit + 1))
            .await
            .expect("append");
    }
    assert_eq!(
        store.vacuum("t", 0, &[]).await.expect("vacuum"),
        0,
        "all are needed"
    );
    store
        .compact("t")
        .await
        .expect("compact")
        .expect("four files to merge");
    assert_eq!(
        store.vacuum("t", 1, &[]).await.expect("vacuum"),
        0,
        "all are young"
    );
    assert_eq!(store.vacuum("t", 0, &[2]).await.expect("vacuum"), 2);
    let store = open().await;
    let newest = store.snapshot("t", None).await.expect("snapshot");
    assert_eq!(ids(&newest).await, [0, 1, 2, 3]);
    let pinned = store
        .snapshot("t", Some(AsOf::Commit(2)))
        .await
        .expect("snapshot");
    assert_eq!(ids(&pinned).await, [0, 1]);
    let unknown = store.vacuum("t", 0, &[99]).await;
    assert!(
        matches!(unknown, Err(Error::UnknownCommit { found: 99, .. })),
        "{unknown:?}"
    );
    assert_eq!(
        store.vacuum("t", 0, &[]).await.expect("vacuum"),
        2,
        "unpinned since"
    );
    store
        .append("t", append(0, 4..5))
        .await
        .expect("append after it");
}

/// A scan reads the columns and rows asked for, whichever files they are in.
pub async fn scans_project_and_filter(open: impl AsyncFn() -> Arc<dyn OfflineStore>) {
    let store = open().await;
    store
        .create_table("t", schema(&["extra"]))
        .await
        .expect("create");
    for commit in 0..5 {
        store
            .append("t", append(0, commit * 10..commit * 10 + 10))
            .await
            .expect("append");
    }
    let snapshot = store.snapshot("t", None).await.expect("snapshot");
    let table = || read(&snapshot);
    let time = lit(datafusion::common::ScalarValue::TimestampMicrosecond(
        Some(23_000_000),
        Some("UTC".into()),
    ));
    for (filter, wanted) in [
        (col("id").gt_eq(lit(42_i64)), 42..50),
        (col("_event_time").lt_eq(time), 0..24),
        (col("name").eq(lit("name 31")), 31..32),
        (col("_offset").eq(lit(17_i64)), 17..18),
        (col("extra").is_not_null(), 0..0),
        (
            col("id").gt(lit(10_i64)).and(col("_partition").eq(lit(7))),
            0..0,
        ),
    ] {
        let found = table().filter(filter.clone()).expect("filter");
        let found = found.select(vec![col("id")]).expect("projection");
        assert_eq!(
            sorted_ids(&batch_of(found).await),
            wanted.collect::<Vec<_>>(),
            "{filter}"
        );
    }
    let count = table().count().await.expect("count");
    assert_eq!(count, 50);
    let some = table().limit(0, Some(3)).expect("limit");
    assert_eq!(batch_of(some).await.num_rows(), 3);
}

/// Every type comes back with every value, null, and what lies between.
pub async fn every_type_reads_back(open: impl AsyncFn() -> Arc<dyn OfflineStore>) {
    let store = open().await;
    let batch = all_types();
    store
        .create_table("t", batch.schema())
        .await
        .expect("create");
    let request = |next: u64| AppendRequest {
        batches: vec![batch.clone()],
        follows: positions(0, next - 3),
        positions: positions(0, next),
        rows_upserted: 3,
        rows_deleted: 0,
    };
    store.append("t", request(3)).await.expect("append");
    let store = open().await;
    let check = async || {
        let snapshot = store.snapshot("t", None).await.expect("snapshot");
        assert_eq!(snapshot.schema, batch.schema());
        assert_eq!(snapshot.table.schema(), batch.schema());
        let found = batch_of(read(&snapshot)).await;
        assert_eq!(found.schema().fields(), batch.schema().fields());
        for (column, field) in batch.schema().fields().iter().enumerate() {
            let found = found.column(column).slice(0, 3);
            assert_eq!(&found, batch.column(column), "column `{}`", field.name());
        }
        let doubles = found.column_by_name("c_double").expect("column");
        let doubles = doubles.as_primitive::<Float64Type>();
        assert!(
            doubles.value(0).is_nan() && doubles.is_valid(0),
            "NaN is a value"
        );
        assert!(doubles.is_null(1));
    };
    check().await;
    store.append("t", request(6)).await.expect("append");
    store
        .compact("t")
        .await
        .expect("compact")
        .expect("two files to merge");
    check().await;
}

/// What is asked of a table that is not there, or of a name that cannot be one, is an error.
pub async fn unknown_tables_are_errors(open: impl AsyncFn() -> Arc<dyn OfflineStore>) {
    let store = open().await;
    assert!(matches!(
        store.positions("x").await,
        Err(Error::UnknownTable { .. })
    ));
    assert!(matches!(
        store.commits("x", None, 1).await,
        Err(Error::UnknownTable { .. })
    ));
    assert!(matches!(
        store.compact("x").await,
        Err(Error::UnknownTable { .. })
    ));
    assert!(matches!(
        store.vacuum("x", 0, &[]).await,
        Err(Error::UnknownTable { .. })
    ));
    for name in ["", "../up", ".hidden", "a/b"] {
        let refused = store.create_table(name, schema(&[])).await;
        assert!(
            matches!(refused, Err(Error::InvalidTableName { .. })),
            "`{name}`: {refused:?}"
        );
    }
}

/// Calls every function of this module as a test of its own; `$open` makes what they take.
#[macro_export]
macro_rules! offline_store_conformance {
    ($open:expr) => {
        $crate::offline_store_conformance!(@each $open;
            an_append_adds_rows_and_positions_together,
            an_append_already_contained_adds_nothing,
            a_retry_after_a_lost_answer_adds_nothing,
            a_writer_that_was_replaced_adds_nothing,
            writers_of_different_partitions_all_get_in,
            simultaneous_appends_of_the_same_rows_add_them_once,
            an_append_without_rows_moves_the_positions,
            rows_of_another_schema_are_refused,
            many_commits_survive_a_restart,
            the_past_reads_the_same_for_ever,
            a_snapshot_does_not_see_later_appends,
            a_table_gains_columns,
            commits_are_listed_newest_first,
            a_dropped_table_is_gone,
            a_table_that_is_not_remembered_is_found_again,
            compaction_is_invisible,
            vacuum_spares_the_newest_and_the_pinned,
            scans_project_and_filter,
            every_type_reads_back,
            unknown_tables_are_errors,
        );
    };
    (@each $open:expr; $($guarantee:ident),* $(,)?) => {
        $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $guarantee() {
                let (open, _kept) = $open;
                $crate::conformance::$guarantee(open).await;
            }
        )*
    };
}
