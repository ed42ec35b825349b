//! The engine as a whole: crashes, damage, compaction, full disks.

mod power;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use twinfold_model::{EventTime, Ttl};
use twinfold_wire::row::ValueView;

use super::disk::Disk;
use super::engine::Engine;
use super::index::KeyHash;
use super::{Batch, EmbeddedOnline, Options, Stats};
use crate::conformance::{Random, delete, newest_of, random_rows, row, scan};
use crate::{Error, OnlineStore, StoredRow, TableConfig, Upsert};

const TABLE: &str = "default.tests_1";
const SMALL: Options = Options {
    segment_bytes_max: 4_000,
    segment_records_max: 100,
};
const ONE_SEGMENT: Options = Options {
    segment_bytes_max: 1 << 30,
    segment_records_max: 1 << 20,
};
static NEVER: AtomicBool = AtomicBool::new(false);

pub(super) fn open(folder: &Path, options: Options) -> Engine {
    open_on(&Disk::default(), folder, options)
}

/// Opens on a disk that obeys the test, also after the engine before is gone.
fn open_on(disk: &Disk, folder: &Path, options: Options) -> Engine {
    let engine = Engine::open_on(disk.clone(), folder, options).expect("open");
    engine
        .create_table(TABLE, TableConfig::default())
        .expect("create");
    engine
}

pub(super) fn write(engine: &Engine, rows: &[Upsert]) -> crate::Result<()> {
    let table = engine.table(TABLE)?;
    for rows in rows.chunks(20) {
        engine.commit(&table, Batch::new(engine.log.seed, table.id, rows))?;
    }
    Ok(())
}

pub(super) fn content(engine: &Engine) -> BTreeMap<Bytes, StoredRow> {
    let table = engine.table(TABLE).expect("table");
    let page = engine.scan(&table, None, usize::MAX).expect("scan");
    page.rows.into_iter().collect()
}

fn read(engine: &Engine, key: &[u8]) -> crate::Result<Option<StoredRow>> {
    let mut rows = Vec::new();
    engine.read(&*engine.table(TABLE)?, &[key], &mut rows)?;
    Ok(rows.remove(0))
}

fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder.join("log"))
        .expect("folder")
        .map(|file| file.expect("file").path())
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .collect();
    files.sort();
    files
}

pub(super) fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to.join("log")).expect("make");
    for folder in ["", "log"] {
        for file in fs::read_dir(from.join(folder)).expect("folder") {
            let path = file.expect("file").path();
            if path.is_file() {
                let name = path.file_name().expect("name");
                fs::copy(&path, to.join(folder).join(name)).expect("copy");
            }
        }
    }
}

/// Distinct keys with growing event times, so that every row is in the log.
fn distinct_rows(count: u64) -> Vec<Upsert> {
    (0..count)
        .map(|key| row(&key.to_be_bytes(), key as i64, key, &[key as u8; 30]))
        .collect()
}

#[test]
fn a_torn_tail_is_cut_and_all_before_it_is_kept() {
    let folder = tempfile::tempdir().expect("folder");
    let rows = distinct_rows(30);
    let engine = open(folder.path(), ONE_SEGMENT);
    let table = engine.table(TABLE).expect("table");
    for row in &rows {
        let batch = Batch::new(engine.log.seed, table.id, std::slice::from_ref(row));
        engine.commit(&table, batch).expect("commit");
    }
    drop((engine, table));
    let [log]: [PathBuf; 1] = files(folder.path(), "log").try_into().expect("one segment");
    let whole = fs::read(&log).expect("read");
    let record_bytes = whole.len() / rows.len();
    for cut in [
        1,
        record_bytes - 1,
        record_bytes,
        record_bytes + 5,
        12 * record_bytes + 26,
    ] {
        let end = whole.len() - cut;
        let garbage = [
            vec![0; 300],
            vec![0xD7; 300],
            whole[7..90].to_vec(),
            Vec::new(),
        ];
        for garbage in garbage {
            fs::write(&log, [&whole[..end], &garbage].concat()).expect("write");
            let engine = open(folder.path(), ONE_SEGMENT);
            let kept = &rows[..end / record_bytes];
            assert_eq!(content(&engine), newest_of(kept), "cut {cut}");
            write(&engine, &rows).expect("write again");
            assert_eq!(content(&engine), newest_of(&rows));
            drop(engine);
            for log in files(folder.path(), "log").into_iter().skip(1) {
                fs::remove_file(log).expect("remove");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_flipped_bit_is_never_served(bit: proptest::sample::Index, hinted: bool) {
        let folder = tempfile::tempdir().expect("folder");
        let rows = distinct_rows(20);
        let engine = open(folder.path(), ONE_SEGMENT);
        write(&engine, &rows).expect("write");
        if hinted {
            engine.close().expect("close");
        }
        drop(engine);
        let log = files(folder.path(), "log").remove(0);
        let mut bytes = fs::read(&log).expect("read");
        let bit = bit.index(bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        fs::write(&log, &bytes).expect("write");

        let engine = open(folder.path(), ONE_SEGMENT);
        let expected = newest_of(&rows);
        let mut lost = 0;
        for row in &rows {
            match read(&engine, &row.key) {
                Ok(Some(found)) => prop_assert_eq!(&found, &expected[&row.key]),
                Ok(None) if !hinted => lost += 1,
                Err(Error::Corrupt { path, .. }) if hinted => {
                    prop_assert_eq!(&path, &log);
                    lost += 1;
                }
                other => prop_assert!(false, "{other:?}"),
            }
        }
        prop_assert_eq!(lost, 1);
        // Writing the rows again heals, also where only the damaged one could decide.
        write(&engine, &rows).expect("write again");
        prop_assert_eq!(content(&engine), expected);
    }

    #[test]
    fn content_is_the_same_with_hints_without_and_with_damaged_ones(seed: u64, close: bool) {
        let folder = tempfile::tempdir().expect("folder");
        let rows = random_rows(seed, 400, 50);
        let engine = open(folder.path(), SMALL);
        write(&engine, &rows).expect("write");
        if seed % 2 == 0 {
            engine.tidy(&NEVER).expect("tidy");
        }
        if close {
            engine.close().expect("close");
        }
        drop(engine);
        let stats_of = |engine: &Engine| engine.stats();
        let mut stats: Option<Stats> = None;
        for step in 0..3 {
            for (index, hint) in files(folder.path(), "hint").into_iter().enumerate() {
                match step {
                    1 if index % 2 == 0 => fs::write(hint, b"damaged").expect("write"),
                    2 => fs::remove_file(hint).expect("remove"),
                    _ => {}
                }
            }
            let engine = open(folder.path(), SMALL);
            prop_assert_eq!(content(&engine), newest_of(&rows));
            let found = stats_of(&engine);
            prop_assert_eq!(*stats.get_or_insert(found), found);
        }
    }
}

#[test]
fn compaction_keeps_content_and_deletes_and_bounds_space() {
    let folder = tempfile::tempdir().expect("folder");
    let engine = open(folder.path(), SMALL);
    let mut rows = Vec::new();
    for round in 0..10 {
        for key in 0..400_u64 {
            rows.push(row(&key.to_be_bytes(), round, key, &[round as u8; 40]));
        }
    }
    rows.extend((0..40_u64).map(|key| delete(&key.to_be_bytes(), 10, key)));
    write(&engine, &rows).expect("write");
    let before = engine.stats();
    engine.tidy(&NEVER).expect("tidy");
    let after = engine.stats();
    assert_eq!(content(&engine), newest_of(&rows));
    assert_eq!((after.rows, after.deletes), (360, 40));
    let live = after.log_bytes - after.dead_bytes;
    assert_eq!(live, before.log_bytes - before.dead_bytes);
    assert!(after.log_bytes <= live * 5 / 2, "{after:?}");

    // The deletes are still there when all that they hid is gone.
    drop(engine);
    let engine = open(folder.path(), SMALL);
    assert_eq!(engine.stats().deletes, 40);
    write(&engine, &rows).expect("write again");
    assert_eq!(content(&engine), newest_of(&rows));
    assert_eq!(engine.stats().log_bytes, after.log_bytes);
}

#[test]
fn a_dropped_table_gives_its_space_back() {
    let folder = tempfile::tempdir().expect("folder");
    let engine = open(folder.path(), SMALL);
    write(&engine, &distinct_rows(500)).expect("write");
    engine.drop_table(TABLE).expect("drop");
    engine.tidy(&NEVER).expect("tidy");
    let stats = engine.stats();
    assert_eq!(stats.rows, 0);
    assert!(stats.log_bytes <= SMALL.segment_bytes_max, "{stats:?}");
}

#[test]
fn small_segments_of_many_openings_become_few() {
    let folder = tempfile::tempdir().expect("folder");
    let rows = distinct_rows(60);
    for rows in rows.chunks(2) {
        let engine = open(folder.path(), SMALL);
        write(&engine, rows).expect("write");
    }
    let engine = open(folder.path(), SMALL);
    assert_eq!(engine.stats().segments, 30);
    engine.tidy(&NEVER).expect("tidy");
    assert!(engine.stats().segments < 10);
    drop(engine);
    assert_eq!(content(&open(folder.path(), SMALL)), newest_of(&rows));
}

#[test]
fn a_full_disk_is_an_error_and_the_store_stays_usable() {
    let folder = tempfile::tempdir().expect("folder");
    let rows = distinct_rows(60);
    let engine = open(folder.path(), ONE_SEGMENT);
    write(&engine, &rows[..20]).expect("write");
    let size = || {
        fs::metadata(&files(folder.path(), "log")[0])
            .expect("file")
            .len()
    };
    let before = size();
    for bytes_left in [0, 1, 500] {
        engine.log.disk.faults.leave_room(Some(bytes_left));
        let error = write(&engine, &rows[20..40]).expect_err("full");
        engine.log.disk.faults.leave_room(None);
        assert!(
            matches!(error, Error::Io { source, .. } if source.kind() == std::io::ErrorKind::StorageFull)
        );
        assert_eq!(size(), before);
        assert_eq!(content(&engine), newest_of(&rows[..20]));
    }
    write(&engine, &rows[30..]).expect("write");
    let expected = newest_of(&[&rows[..20], &rows[30..]].concat());
    assert_eq!(content(&engine), expected);
    drop(engine);
    assert_eq!(content(&open(folder.path(), ONE_SEGMENT)), expected);
}

#[test]
fn a_full_disk_is_not_left_fuller_by_compaction() {
    let folder = tempfile::tempdir().expect("folder");
    let engine = open(folder.path(), SMALL);
    let rows = random_rows(1, 800, 60);
    write(&engine, &rows).expect("write");
    let faults = &engine.log.disk.faults;
    let before = files(folder.path(), "log");
    for (bytes_left, is_hint) in [(0, true), (0, false), (100, false), (2_000, false)] {
        faults.leave_room(Some(bytes_left));
        let result = match is_hint {
            true => engine.write_hints(),
            false => engine.tidy(&NEVER),
        };
        let error = result.expect_err("full");
        faults.leave_room(None);
        assert!(
            matches!(error, Error::Io { source, .. } if source.kind() == std::io::ErrorKind::StorageFull)
        );
        assert_eq!(files(folder.path(), "tmp"), [] as [PathBuf; 0]);
        assert_eq!(files(folder.path(), "log"), before);
    }
    assert_eq!(content(&engine), newest_of(&rows));
    engine.tidy(&NEVER).expect("tidy");
    assert_eq!(content(&engine), newest_of(&rows));
}

#[test]
fn a_segment_that_could_not_be_begun_does_not_block_the_next() {
    let folder = tempfile::tempdir().expect("folder");
    let engine = open(folder.path(), ONE_SEGMENT);
    let rows = distinct_rows(10);
    engine.log.disk.faults.fail_folder_syncs(true);
    let error = write(&engine, &rows).expect_err("the folder cannot be synced");
    engine.log.disk.faults.fail_folder_syncs(false);
    assert!(error.retry(), "{error}");
    assert_eq!(files(folder.path(), "log"), [] as [PathBuf; 0]);
    write(&engine, &rows).expect("write");
    assert_eq!(content(&engine), newest_of(&rows));
    drop(engine);
    assert_eq!(content(&open(folder.path(), ONE_SEGMENT)), newest_of(&rows));
}

#[test]
fn a_folder_has_one_owner_and_a_known_format() {
    let folder = tempfile::tempdir().expect("folder");
    let engine = open(folder.path(), SMALL);
    let second = Engine::open(folder.path(), SMALL);
    assert!(matches!(second, Err(Error::Locked { path }) if path.ends_with("lock")));
    drop(engine);
    fs::write(folder.path().join("format"), "2\n").expect("write");
    let newer = Engine::open(folder.path(), SMALL);
    assert!(matches!(
        newer,
        Err(Error::NewerFormat {
            found: 2,
            supported: 1,
            ..
        })
    ));
    fs::write(folder.path().join("format"), "one").expect("write");
    let damaged = Engine::open(folder.path(), SMALL);
    assert!(matches!(damaged, Err(Error::Corrupt { .. })));
    fs::write(folder.path().join("format"), "1\n").expect("write");
    fs::write(folder.path().join("tables"), "?").expect("write");
    let damaged = Engine::open(folder.path(), SMALL);
    assert!(matches!(damaged, Err(Error::Corrupt { path, .. }) if path.ends_with("tables")));
}

#[test]
fn expired_rows_go_and_never_bring_an_older_one_back() {
    let folder = tempfile::tempdir().expect("folder");
    let engine = open(folder.path(), SMALL);
    let config = TableConfig {
        ttl: Ttl::from_micros(10),
    };
    engine.create_table(TABLE, config).expect("configure");
    let rows = [
        row(b"old", 1, 0, b"x"),
        delete(b"old delete", 1, 1),
        row(b"edge", 5, 2, b"x"),
        row(b"new", 9, 3, b"x"),
    ];
    write(&engine, &rows).expect("write");
    engine.expire(EventTime::from_micros(15)).expect("expire");
    assert_eq!(content(&engine), newest_of(&rows[2..]));
    let stats = engine.stats();
    assert_eq!((stats.rows, stats.deletes), (2, 0));
    assert!(stats.dead_bytes > 0);
}

#[test]
fn writers_get_in_between_while_rows_expire() {
    let folder = tempfile::tempdir().expect("folder");
    let engine = open(folder.path(), SMALL);
    let config = TableConfig {
        ttl: Ttl::from_micros(10),
    };
    engine.create_table(TABLE, config).expect("configure");
    let table = engine.table(TABLE).expect("table");
    let hash_of = |key: u32| KeyHash::of(engine.log.seed, &key.to_be_bytes());
    let [low, middle, high] = [10, 128, 250].map(|shard| {
        let key = (0..).find(|key| hash_of(*key).shard() == shard);
        key.expect("there are hashes of every shard")
    });
    let at = |key: u32, event_time| row(&key.to_be_bytes(), event_time, 0, b"x");
    let rows = [low, middle, high].map(|key| at(key, 1));
    write(&engine, &rows).expect("write");

    let renewed = [low, high].map(|key| at(key, 100));
    std::thread::scope(|scope| {
        let (written, is_written) = std::sync::mpsc::sync_channel(1);
        // It stops here, halfway.
        let held = table.index.hold(128);
        let expiring = scope.spawn(|| engine.expire(EventTime::from_micros(50)));
        let is_gone = |key: u32| table.index.get(hash_of(key)).is_none();
        while !is_gone(low) && !is_gone(high) && !expiring.is_finished() {
            std::thread::yield_now();
        }
        let (engine, renewed) = (&engine, &renewed);
        scope.spawn(move || written.send(write(engine, renewed)));
        let written = is_written.recv_timeout(Duration::from_secs(20));
        drop(held);
        written.expect("a writer need not wait").expect("write");
        expiring.join().expect("no panic").expect("expire");
    });
    assert_eq!(content(&engine), newest_of(&renewed));
    let stats = engine.stats();
    assert_eq!(stats.rows, 2);
    assert_eq!(stats.dead_bytes * 5, stats.log_bytes * 3);
}

#[test]
fn a_damaged_live_record_stops_only_its_own_segment() {
    let folder = tempfile::tempdir().expect("folder");
    let rows = distinct_rows(300);
    let engine = open(folder.path(), SMALL);
    write(&engine, &rows).expect("write");
    let log = files(folder.path(), "log").remove(0);
    let mut bytes = fs::read(&log).expect("read");
    bytes[30] ^= 1;
    fs::write(&log, bytes).expect("write");
    // All but every tenth row is superseded, so that every segment is worth rewriting.
    let mut newer = rows.clone();
    newer.retain(|row| row.version.offset.0 % 10 != 0);
    newer
        .iter_mut()
        .for_each(|row| row.version.event_time = EventTime::from_micros(1_000));
    write(&engine, &newer).expect("write");
    let mut errors = 0;
    while engine.tidy(&NEVER).is_err() {
        errors += 1;
        assert!(errors < 20);
    }
    let readable = rows.iter().filter(|row| read(&engine, &row.key).is_ok());
    assert!(readable.count() >= rows.len() - 1);
}

/// Readers must never see a version older than one that was acknowledged before they asked.
#[test]
#[expect(clippy::too_many_lines, reason = "three actors that share one setting")]
fn readers_never_go_back_while_writers_and_compaction_run() {
    const KEYS: usize = 300;
    let folder = tempfile::tempdir().expect("folder");
    let options = Options {
        segment_bytes_max: 60_000,
        segment_records_max: 10_000,
    };
    let engine = open(folder.path(), options);
    let acknowledged: Vec<AtomicI64> = (0..KEYS).map(|_| AtomicI64::new(-1)).collect();
    let done = AtomicBool::new(false);
    let write_all = |writer: usize| {
        let mut random = Random(writer as u64);
        for event_time in 0..400_i64 {
            let mut keys: Vec<usize> = (0..KEYS).filter(|key| key % 2 == writer).collect();
            random.shuffle(&mut keys);
            keys.truncate(50);
            let rows: Vec<Upsert> = keys
                .iter()
                .map(|key| row(&key.to_be_bytes(), event_time, 0, &[event_time as u8; 60]))
                .collect();
            write(&engine, &rows).expect("write");
            for key in keys {
                acknowledged[key].store(event_time, Ordering::SeqCst);
            }
        }
    };
    let read_all = |reader: u64| {
        let mut random = Random(100 + reader);
        let mut reads = 0;
        while !done.load(Ordering::SeqCst) {
            let key = random.below(KEYS);
            let at_least = acknowledged[key].load(Ordering::SeqCst);
            let found = read(&engine, &key.to_be_bytes()).expect("read");
            let event_time = found.as_ref().map_or(-1, |row| row.event_time.micros());
            assert!(
                event_time >= at_least,
                "found {event_time}, acknowledged {at_least}"
            );
            if let Some(found) = found {
                let value = ValueView::parse(&found.value).expect("value");
                assert_eq!(value.body, [event_time as u8; 60]);
            }
            reads += 1;
        }
        assert!(reads > 0);
    };
    std::thread::scope(|scope| {
        for reader in 0..2 {
            scope.spawn(move || read_all(reader));
        }
        let tidy = || {
            let mut rounds = 0;
            while !done.load(Ordering::SeqCst) {
                engine.tidy(&NEVER).expect("tidy");
                rounds += 1;
                std::thread::yield_now();
            }
            rounds
        };
        let tidier = scope.spawn(tidy);
        let writers = [0, 1].map(|writer| scope.spawn(move || write_all(writer)));
        let writers = writers.map(|writer| writer.join());
        done.store(true, Ordering::SeqCst);
        assert!(writers.iter().all(Result::is_ok));
        assert!(tidier.join().expect("tidier") > 0);
    });
    engine.tidy(&NEVER).expect("tidy");
    let before = content(&engine);
    let stats = engine.stats();
    assert!(stats.log_bytes < 4 * options.segment_bytes_max, "{stats:?}");
    drop(engine);
    let engine = open(folder.path(), options);
    assert_eq!(content(&engine), before);
    assert_eq!(engine.stats().dead_bytes, stats.dead_bytes);
}

#[tokio::test]
async fn the_background_thread_compacts_by_itself() {
    let folder = tempfile::tempdir().expect("folder");
    let store = EmbeddedOnline::open_with(folder.path(), SMALL).await;
    let store = Arc::new(store.expect("open"));
    store
        .create_table(TABLE, TableConfig::default())
        .await
        .expect("create");
    let mut rows = Vec::new();
    for event_time in 0..100 {
        let round = (0..20_u64).map(|key| row(&key.to_be_bytes(), event_time, key, &[0; 50]));
        rows.extend(round);
        store
            .upsert(TABLE, &rows[rows.len() - 20..])
            .await
            .expect("upsert");
    }
    let is_compacted = || async { store.stats().log_bytes < 5 * SMALL.segment_bytes_max };
    twinfold_testkit::eventually(Duration::from_secs(20), is_compacted).await;
    assert_eq!(scan(&*store, TABLE, 10).await, newest_of(&rows));
    drop(store);
    let store = EmbeddedOnline::open_with(folder.path(), SMALL)
        .await
        .expect("open at once");
    assert_eq!(scan(&store, TABLE, 10).await, newest_of(&rows));
}

#[tokio::test]
async fn a_cursor_from_elsewhere_is_refused() {
    let folder = tempfile::tempdir().expect("folder");
    let store = EmbeddedOnline::open(folder.path()).await.expect("open");
    store
        .create_table(TABLE, TableConfig::default())
        .await
        .expect("create");
    let page = store.scan(TABLE, Some(Bytes::from_static(b"?")), 1).await;
    assert!(matches!(page, Err(Error::InvalidCursor { found_bytes: 1 })));
}
