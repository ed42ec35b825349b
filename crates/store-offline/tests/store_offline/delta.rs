//! What the Delta store owes beyond the port: foreign writers, failures, tables of other engines.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use datafusion::physical_plan::{ExecutionPlan, collect};
use datafusion::prelude::{SessionContext, col, lit};
use deltalake_core::DeltaTableBuilder;
use twinfold_model::{AsOf, EventTime, Offset, PartitionId, Positions};
use twinfold_store_offline::{AppendRequest, Error, OfflineStore, open};

async fn store(folder: &Path) -> Arc<dyn OfflineStore> {
    open(&format!("file://{}", folder.display()))
        .await
        .expect("valid")
}

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, false),
        Field::new("name", DataType::Utf8, true),
    ]))
}

fn append(partition: u32, next: u64) -> AppendRequest {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(vec![i64::try_from(next).expect("valid")])),
        Arc::new(StringArray::from(vec!["a row"])),
    ];
    AppendRequest {
        batches: vec![RecordBatch::try_new(schema(), columns).expect("valid")],
        follows: Positions::from_iter([(PartitionId(partition), Offset(next - 1))]),
        positions: Positions::from_iter([(PartitionId(partition), Offset(next))]),
        rows_upserted: 1,
        rows_deleted: 0,
    }
}

async fn count(store: &Arc<dyn OfflineStore>) -> usize {
    let snapshot = store.snapshot("t", None).await.expect("valid");
    let frame = SessionContext::new()
        .read_table(snapshot.table)
        .expect("valid");
    frame.count().await.expect("valid")
}

fn data_files(table: &Path) -> usize {
    let names = std::fs::read_dir(table).expect("valid");
    let names = names.map(|entry| {
        entry
            .expect("valid")
            .file_name()
            .into_string()
            .expect("valid")
    });
    names.filter(|name| name.ends_with(".parquet")).count()
}

fn last_commit(table: &Path) -> std::path::PathBuf {
    let log = std::fs::read_dir(table.join("_delta_log")).expect("valid");
    let commits = log.map(|entry| entry.expect("valid").path());
    commits
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "json")
        })
        .max()
        .expect("valid")
}

#[tokio::test(flavor = "multi_thread")]
async fn two_stores_on_one_folder_never_double_a_row() {
    let folder = tempfile::tempdir().expect("valid");
    let (one, two) = (store(folder.path()).await, store(folder.path()).await);
    one.create_table("t", schema()).await.expect("valid");
    one.append("t", append(0, 1)).await.expect("valid");
    let refused = two.append("t", append(0, 1)).await;
    assert!(
        matches!(refused, Err(Error::AlreadyCommitted { .. })),
        "{refused:?}"
    );
    two.append("t", append(1, 1)).await.expect("valid");

    for next in 2..10 {
        let (a, b) = tokio::join!(
            one.append("t", append(0, next)),
            two.append("t", append(0, next))
        );
        let outcomes = [a, b];
        let taken = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
        assert_eq!(taken, 1, "{outcomes:?}");
        for refused in outcomes.into_iter().filter_map(Result::err) {
            assert!(
                matches!(
                    refused,
                    Error::AlreadyCommitted { .. } | Error::Conflict { .. }
                ),
                "{refused:?}"
            );
        }
    }
    assert_eq!(count(&one).await, 10);
    assert_eq!(data_files(&folder.path().join("t")), 10, "no orphans");
    assert_eq!(
        one.positions("t").await.expect("valid"),
        two.positions("t").await.expect("valid")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_append_leaves_the_table_as_it_was() {
    let folder = tempfile::tempdir().expect("valid");
    let store = store(folder.path()).await;
    store.create_table("t", schema()).await.expect("valid");
    store.append("t", append(0, 1)).await.expect("valid");
    let table = folder.path().join("t");
    let (log, aside) = (table.join("_delta_log"), folder.path().join("aside"));
    // First the rows cannot be written, then their commit cannot.
    std::fs::rename(&table, &aside).expect("valid");
    store.append("t", append(0, 2)).await.unwrap_err();
    std::fs::rename(&aside, &table).expect("valid");
    std::fs::rename(&log, &aside).expect("valid");
    std::os::unix::fs::symlink("nowhere", &log).expect("valid");
    store.append("t", append(0, 2)).await.unwrap_err();
    std::fs::remove_file(&log).expect("valid");
    std::fs::rename(&aside, &log).expect("valid");
    assert_eq!(data_files(&table), 1, "no row without a commit is left");

    assert_eq!(count(&store).await, 1);
    assert_eq!(store.commits("t", None, 10).await.expect("valid").len(), 2);
    assert_eq!(store.append("t", append(0, 2)).await.expect("valid").id, 2);
    assert_eq!(count(&store).await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_of_a_later_protocol_is_refused_by_name() {
    let folder = tempfile::tempdir().expect("valid");
    let writer = store(folder.path()).await;
    writer.create_table("t", schema()).await.expect("valid");
    drop(writer);
    let commit = last_commit(&folder.path().join("t"));
    let text = std::fs::read_to_string(&commit).expect("valid");
    let later = r#"{"protocol":{"minReaderVersion":3,"minWriterVersion":7,"readerFeatures":["laterFeature"],"writerFeatures":["laterFeature"]}}"#;
    let lines: Vec<&str> = text
        .lines()
        .map(|line| {
            if line.contains("\"protocol\"") && !line.contains("commitInfo") {
                later
            } else {
                line
            }
        })
        .collect();
    std::fs::write(&commit, lines.join("\n")).expect("valid");
    let store = store(folder.path()).await;
    let refused = match store.snapshot("t", None).await {
        Err(error) => error.to_string(),
        Ok(_) => panic!("a table of a later protocol was read"),
    };
    assert!(
        refused.contains("`t`") && refused.contains("laterFeature"),
        "{refused}"
    );
    store.append("t", append(0, 1)).await.unwrap_err();
}

#[tokio::test(flavor = "multi_thread")]
async fn positions_stand_in_the_log_as_transactions_also_after_a_checkpoint() {
    let folder = tempfile::tempdir().expect("valid");
    let store = store(folder.path()).await;
    store.create_table("t", schema()).await.expect("valid");
    for next in 1..=55 {
        store.append("t", append(4, next)).await.expect("valid");
    }
    let table = folder.path().join("t");
    assert!(table.join("_delta_log/_last_checkpoint").exists());
    let url = url::Url::from_directory_path(&table).expect("valid");
    let delta = DeltaTableBuilder::from_url(url)
        .expect("valid")
        .load()
        .await
        .expect("valid");
    let state = delta.snapshot().expect("valid");
    let version = state
        .transaction_version(&delta.log_store(), "twinfold/t/4")
        .await
        .expect("valid");
    assert_eq!(version, Some(55));
    assert_eq!(
        store.positions("t").await.expect("valid"),
        Positions::from_iter([(PartitionId(4), Offset(55))])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn commits_of_another_engine_keep_positions_and_times() {
    let folder = tempfile::tempdir().expect("valid");
    let store = store(folder.path()).await;
    store.create_table("t", schema()).await.expect("valid");
    let ours = store.append("t", append(0, 7)).await.expect("valid");
    let table = folder.path().join("t");
    let foreign = r#"{"commitInfo":{"timestamp":5,"operation":"OPTIMIZE"}}"#;
    std::fs::write(table.join("_delta_log/00000000000000000002.json"), foreign).expect("valid");

    assert_eq!(store.positions("t").await.expect("valid"), ours.positions);
    let next = store.append("t", append(0, 8)).await.expect("valid");
    assert_eq!(next.id, 3);
    assert!(next.committed_at >= ours.committed_at);
    assert_eq!(count(&store).await, 2);
}

/// Another engine stamps its commits by its own clock: one ahead of ours, one far behind.
#[tokio::test(flavor = "multi_thread")]
async fn commit_times_never_decrease_whatever_other_clocks_say() {
    let folder = tempfile::tempdir().expect("valid");
    let writer = store(folder.path()).await;
    writer.create_table("t", schema()).await.expect("valid");
    let created = writer.commits("t", None, 1).await.expect("valid")[0].committed_at;
    writer.append("t", append(0, 1)).await.expect("valid");
    let ahead_ms = created.micros() / 1000 + 60_000;
    for (commit, committed_ms) in [(2, ahead_ms), (3, 5), (4, 5)] {
        let foreign =
            format!(r#"{{"commitInfo":{{"timestamp":{committed_ms},"operation":"OPTIMIZE"}}}}"#);
        let file = format!("t/_delta_log/{commit:020}.json");
        std::fs::write(folder.path().join(file), foreign).expect("valid");
    }
    // Opened again, so that nothing of the times is in memory.
    let store = store(folder.path()).await;
    let last = store.append("t", append(0, 2)).await.expect("valid");
    store.append("t", append(0, 3)).await.expect("valid");
    assert!(last.committed_at.micros() >= ahead_ms * 1000, "{last:?}");

    let commits = store.commits("t", None, 10).await.expect("valid");
    assert!(commits.is_sorted_by(|newer, older| newer.committed_at >= older.committed_at));
    assert_eq!(commits[2].positions, commits[5].positions);
    let before = EventTime::from_micros(created.micros() - 1);
    let refused = store.snapshot("t", Some(AsOf::Time(before))).await;
    assert!(
        matches!(refused, Err(Error::BeforeFirstCommit { .. })),
        "{refused:?}"
    );
    for (time_us, wanted) in [(ahead_ms * 1000 - 1, 1), (ahead_ms * 1000, 6)] {
        let time = Some(AsOf::Time(EventTime::from_micros(time_us)));
        let snapshot = store.snapshot("t", time).await.expect("valid");
        assert_eq!(snapshot.commit, wanted);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drop_that_was_cut_short_is_finished_by_the_next_open() {
    let folder = tempfile::tempdir().expect("valid");
    store(folder.path())
        .await
        .create_table("t", schema())
        .await
        .expect("valid");
    let aside = folder.path().join(".dropped-1");
    std::fs::rename(folder.path().join("t"), &aside).expect("valid");
    let store = store(folder.path()).await;
    assert!(!aside.exists());
    assert!(matches!(
        store.positions("t").await,
        Err(Error::UnknownTable { .. })
    ));
}

/// 50 commits make a checkpoint.
async fn append_until(store: &Arc<dyn OfflineStore>, last_commit: u64) {
    let mut next = store.commits("t", None, 1).await.expect("valid")[0].id + 1;
    while next <= last_commit {
        let commit = store.append("t", append(0, next)).await.expect("valid");
        next = commit.id + 1;
    }
}

fn write_long_ago(table: &Path) {
    let long_ago = std::time::SystemTime::now() - std::time::Duration::from_hours(100 * 24);
    for entry in std::fs::read_dir(table).expect("valid") {
        let path = entry.expect("valid").path();
        if path.is_file() {
            let file = std::fs::File::open(path).expect("valid");
            file.set_modified(long_ago).expect("valid");
        }
    }
}

/// A checkpoint names the files that were taken out only for as long as the table's properties say:
/// here for no time at all.
#[tokio::test(flavor = "multi_thread")]
async fn files_taken_out_stay_for_the_retention_also_when_the_log_has_forgotten_them() {
    for is_ours in [true, false] {
        let folder = tempfile::tempdir().expect("valid");
        let table = folder.path().join("t");
        let creating = store(folder.path()).await;
        creating.create_table("t", schema()).await.expect("valid");
        let text = std::fs::read_to_string(last_commit(&table)).expect("valid");
        let forgetful = text.replace("interval 30 days", "interval 0 days");
        assert_ne!(text, forgetful);
        std::fs::write(last_commit(&table), forgetful).expect("valid");

        let store = store(folder.path()).await;
        append_until(&store, 10).await;
        write_long_ago(&table);
        store.compact("t").await.expect("valid").expect("merged");
        if !is_ours {
            // As when another engine took them out: only the log says so, until we see it.
            write_long_ago(&table);
            assert_eq!(store.vacuum("t", 2000, &[]).await.expect("valid"), 0);
        }
        append_until(&store, 50).await;
        let checkpoint = "_delta_log/00000000000000000049.checkpoint.parquet";
        assert!(table.join(checkpoint).exists());
        assert_eq!(store.vacuum("t", 2000, &[]).await.expect("valid"), 0);
        let past = store.snapshot("t", Some(AsOf::Commit(10))).await;
        let frame = SessionContext::new().read_table(past.expect("valid").table);
        let rows = frame.expect("valid").collect().await.expect("valid");
        assert_eq!(rows.iter().map(RecordBatch::num_rows).sum::<usize>(), 10);
        assert_eq!(store.vacuum("t", 0, &[]).await.expect("valid"), 10);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pinned_commits_are_read_once_and_spared_for_as_long_as_they_are_pinned() {
    let folder = tempfile::tempdir().expect("valid");
    let store = store(folder.path()).await;
    store.create_table("t", schema()).await.expect("valid");
    append_until(&store, 4).await;
    store.compact("t").await.expect("valid").expect("merged");
    append_until(&store, 50).await;
    assert_eq!(store.vacuum("t", 0, &[2]).await.expect("valid"), 2);
    // What is after the checkpoint is all that another vacuum needs to read.
    let log = folder.path().join("t/_delta_log");
    let commit = log.join("00000000000000000002.json");
    std::fs::rename(&commit, log.join("aside")).expect("valid");
    assert_eq!(store.vacuum("t", 0, &[2]).await.expect("valid"), 0);
    assert_eq!(store.vacuum("t", 0, &[2, 49]).await.expect("valid"), 0);
    std::fs::rename(log.join("aside"), &commit).expect("valid");
    assert_eq!(store.vacuum("t", 0, &[1, 49]).await.expect("valid"), 1);
    assert_eq!(store.vacuum("t", 0, &[49]).await.expect("valid"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn compaction_and_vacuum_beside_appends_lose_and_double_nothing() {
    let folder = tempfile::tempdir().expect("valid");
    let store = store(folder.path()).await;
    store.create_table("t", schema()).await.expect("valid");
    let appends = async {
        for next in 1..=60 {
            store.append("t", append(0, next)).await.expect("valid");
        }
    };
    let upkeep = async {
        let mut merged = 0;
        while store.positions("t").await.expect("valid")
            != Positions::from_iter([(PartitionId(0), Offset(60))])
        {
            merged += usize::from(store.compact("t").await.expect("valid").is_some());
            store.vacuum("t", 0, &[]).await.expect("valid");
        }
        merged
    };
    let ((), merged) = tokio::join!(appends, upkeep);
    assert!(merged > 0);
    assert_eq!(count(&store).await, 60);
}

#[tokio::test(flavor = "multi_thread")]
async fn compaction_beside_another_writer_loses_and_doubles_nothing() {
    let folder = tempfile::tempdir().expect("valid");
    let (one, two) = (store(folder.path()).await, store(folder.path()).await);
    one.create_table("t", schema()).await.expect("valid");
    let appends = async {
        for next in 1..=60 {
            while let Err(error) = one.append("t", append(0, next)).await {
                assert!(matches!(error, Error::Conflict { .. }), "{error:?}");
            }
        }
    };
    let upkeep = async {
        let all = Positions::from_iter([(PartitionId(0), Offset(60))]);
        while two.positions("t").await.expect("valid") != all {
            if let Err(error) = two.compact("t").await {
                assert!(matches!(error, Error::Conflict { .. }), "{error:?}");
            }
        }
    };
    tokio::join!(appends, upkeep);
    assert_eq!(count(&one).await, 60);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compaction_that_fails_leaves_no_file_behind() {
    let folder = tempfile::tempdir().expect("valid");
    let store = store(folder.path()).await;
    store.create_table("t", schema()).await.expect("valid");
    append_until(&store, 3).await;
    let table = folder.path().join("t");
    let newest = std::fs::read_to_string(last_commit(&table)).expect("valid");
    let start = newest.find("part-").expect("a data file");
    let end = start + newest[start..].find(".parquet").expect("a data file");
    let damaged = table.join(format!("{}.parquet", &newest[start..end]));
    std::fs::write(&damaged, "no rows").expect("valid");
    store.compact("t").await.unwrap_err();
    assert_eq!(data_files(&table), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_on_a_key_opens_only_the_files_that_may_have_it() {
    let folder = tempfile::tempdir().expect("valid");
    let store = store(folder.path()).await;
    store.create_table("t", schema()).await.expect("valid");
    for next in 1..=6 {
        store.append("t", append(0, next)).await.expect("valid");
    }
    let snapshot = store.snapshot("t", None).await.expect("valid");
    let session = SessionContext::new();
    let frame = session.read_table(snapshot.table).expect("valid");
    let frame = frame.filter(col("id").eq(lit(3_i64))).expect("valid");
    let plan = frame.create_physical_plan().await.expect("valid");
    let batches = collect(plan.clone(), session.task_ctx())
        .await
        .expect("valid");
    assert_eq!(batches.iter().map(RecordBatch::num_rows).sum::<usize>(), 1);
    assert_eq!(files_scanned(&plan), Some(1));
}

fn files_scanned(plan: &Arc<dyn ExecutionPlan>) -> Option<usize> {
    let metrics = plan.metrics();
    let here = metrics.and_then(|metrics| metrics.sum_by_name("count_files_scanned"));
    let here = here.map(|count| count.as_usize());
    here.or_else(|| plan.children().into_iter().find_map(files_scanned))
}
