//! What is left when the power goes: only what a sync carried to the disk.

use super::*;

/// What the store would hold, opened after the end of the machine at this moment.
fn content_after_power_loss(disk: &Disk, folder: &Path) -> BTreeMap<Bytes, StoredRow> {
    let left = tempfile::tempdir().expect("folder");
    copy_folder(folder, left.path());
    for log in ["log", "hint", "tmp"].map(|extension| files(folder, extension)) {
        for path in log {
            let copied = left
                .path()
                .join("log")
                .join(path.file_name().expect("name"));
            fs::write(copied, disk.faults.content_after_power_loss(&path)).expect("write");
        }
    }
    content(&open(left.path(), SMALL))
}

/// The same keys as [`distinct_rows`], newer.
fn newer_rows(count: u64) -> Vec<Upsert> {
    let newer = |key: u64| row(&key.to_be_bytes(), 1_000 + key as i64, key, &[1; 30]);
    (0..count).map(newer).collect()
}

#[test]
fn what_was_flushed_survives_and_what_was_not_may_go() {
    let folder = tempfile::tempdir().expect("folder");
    let disk = Disk::default();
    let engine = open_on(&disk, folder.path(), SMALL);
    let rows = distinct_rows(60);
    write(&engine, &rows[..50]).expect("write");
    engine.log.sync().expect("sync");
    write(&engine, &rows[50..]).expect("write");
    let left = content_after_power_loss(&disk, folder.path());
    assert_eq!(left, newest_of(&rows[..50]));
}

#[test]
fn a_flush_covers_what_a_killed_process_left_in_the_page_cache() {
    let folder = tempfile::tempdir().expect("folder");
    let disk = Disk::default();
    let rows = distinct_rows(60);
    let engine = open_on(&disk, folder.path(), SMALL);
    write(&engine, &rows).expect("write");
    drop(engine);
    assert!(content_after_power_loss(&disk, folder.path()).is_empty());

    let engine = open_on(&disk, folder.path(), SMALL);
    let before = engine.stats();
    // The replay finds every row there already and writes none.
    write(&engine, &rows).expect("write again");
    assert_eq!(engine.stats(), before);
    engine.log.sync().expect("sync");
    let left = content_after_power_loss(&disk, folder.path());
    assert_eq!(left, newest_of(&rows));
}

#[test]
fn compaction_after_a_kill_keeps_what_superseded_what_it_drops() {
    let folder = tempfile::tempdir().expect("folder");
    let disk = Disk::default();
    let older = distinct_rows(200);
    let newer = newer_rows(200);
    let engine = open_on(&disk, folder.path(), SMALL);
    write(&engine, &older).expect("write");
    engine.close().expect("close");
    drop(engine);
    let engine = open_on(&disk, folder.path(), SMALL);
    write(&engine, &newer).expect("write");
    drop(engine);

    let engine = open_on(&disk, folder.path(), SMALL);
    engine.tidy(&NEVER).expect("tidy");
    let left = content_after_power_loss(&disk, folder.path());
    assert_eq!(left, newest_of(&newer));
}

#[test]
fn after_a_failed_sync_nothing_is_written_until_reopened() {
    let folder = tempfile::tempdir().expect("folder");
    let disk = Disk::default();
    let rows = distinct_rows(30);
    let engine = open_on(&disk, folder.path(), SMALL);
    write(&engine, &rows[..20]).expect("write");
    disk.faults.fail_syncs(true);
    assert!(matches!(engine.log.sync(), Err(Error::Io { .. })));
    disk.faults.fail_syncs(false);
    let before = engine.stats();
    // Also where all is there already: that would be taken for kept.
    for rows in [&rows[20..], &rows[..20]] {
        let error = write(&engine, rows).expect_err("broken");
        assert!(matches!(error, Error::Broken { .. }), "{error}");
        let reason = "a sync failed: the disk is gone";
        assert!(error.to_string().contains(reason), "{error}");
    }
    let tidied = engine.tidy(&NEVER);
    assert!(matches!(tidied, Err(Error::Broken { .. })), "{tidied:?}");
    assert_eq!(engine.stats(), before);
    assert_eq!(content(&engine), newest_of(&rows[..20]));
    drop(engine);

    let engine = open_on(&disk, folder.path(), SMALL);
    write(&engine, &rows).expect("write");
    engine.log.sync().expect("sync");
    assert_eq!(content(&engine), newest_of(&rows));
}

#[test]
fn what_a_failed_sync_gave_up_is_written_again_at_the_next_opening() {
    let folder = tempfile::tempdir().expect("folder");
    let disk = Disk::default();
    let rows = distinct_rows(30);
    let engine = open_on(&disk, folder.path(), ONE_SEGMENT);
    write(&engine, &rows).expect("write");
    disk.faults.fail_syncs(true);
    assert!(matches!(engine.log.sync(), Err(Error::Io { .. })));
    disk.faults.fail_syncs(false);
    // The system would say yes now, without having written a byte.
    assert!(matches!(engine.log.sync(), Err(Error::Broken { .. })));
    assert!(engine.close().is_err());
    drop(engine);
    assert!(content_after_power_loss(&disk, folder.path()).is_empty());

    let engine = open_on(&disk, folder.path(), ONE_SEGMENT);
    engine.log.sync().expect("sync");
    let left = content_after_power_loss(&disk, folder.path());
    assert_eq!(left, newest_of(&rows));
}
