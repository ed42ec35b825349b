mod damage;
mod power;

use std::fs;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use tempfile::TempDir;
use twinfold_model::{Offset, Operation, PartitionId};
use twinfold_wire::record::Headers;

use super::*;
use crate::{Event, FetchLimits, NewRecord, Record};

const TOPIC: &str = "default.weather_1";
const P0: PartitionId = PartitionId(0);
const ONE_PARTITION: TopicConfig = TopicConfig {
    partitions: 1,
    retention: None,
    retention_bytes_max: None,
};
const AT_ONCE: FetchLimits = FetchLimits {
    bytes_max: 1 << 20,
    wait_max: Duration::ZERO,
};

/// A log in a temporary folder, whose disk and clock obey the test.
struct Bench {
    root: TempDir,
    disk: Disk,
    micros: Arc<AtomicI64>,
    options: EmbeddedOptions,
}

impl Bench {
    fn new() -> Self {
        Self::with_segments(1 << 20)
    }

    fn with_segments(segment_bytes_max: u64) -> Self {
        Self {
            root: tempfile::tempdir().unwrap(),
            disk: Disk::default(),
            micros: Arc::new(AtomicI64::new(1_000_000)),
            options: EmbeddedOptions {
                sync: SyncPolicy::OnSync,
                segment_bytes_max,
            },
        }
    }

    async fn open(&self) -> Result<EmbeddedTopics> {
        self.open_at(self.root.path()).await
    }

    async fn open_at(&self, root: &Path) -> Result<EmbeddedTopics> {
        let micros = Arc::clone(&self.micros);
        let settings = Settings {
            options: self.options,
            disk: self.disk.clone(),
            buffers: Arc::default(),
            clock: Box::new(move || EventTime::from_micros(micros.load(Ordering::Relaxed))),
        };
        EmbeddedTopics::open_settings(root, settings).await
    }

    async fn open_new(&self) -> EmbeddedTopics {
        let store = self.open().await.unwrap();
        store.create(TOPIC, &ONE_PARTITION).await.unwrap();
        store
    }

    fn partition_folder(&self) -> PathBuf {
        self.root
            .path()
            .join("topics")
            .join(TOPIC)
            .join("partitions/0")
    }

    fn segments(&self) -> Vec<PathBuf> {
        let listed = segment::list(&self.partition_folder()).unwrap();
        listed.into_iter().map(|(_, path)| path).collect()
    }

    /// The folder as a crash at this moment would leave it, were all writes on the disk.
    fn copy(&self) -> TempDir {
        let copy = tempfile::tempdir().unwrap();
        copy_folder(self.root.path(), copy.path());
        copy
    }
}

fn copy_folder(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            fs::create_dir(&to).unwrap();
            copy_folder(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), &to).unwrap();
        }
    }
}

fn append_of(label: &str, count: usize) -> Append {
    let record = |at| NewRecord {
        key: Bytes::from(format!("{label}/{at}")),
        value: Bytes::from(format!("value {at} of {label}")),
    };
    Append {
        partition: P0,
        headers: Headers {
            operation: Operation::Upsert,
            ingestion_id: None,
            event_time: None,
        },
        records: (0..count).map(record).collect(),
    }
}

fn labels(records: &[Record]) -> Vec<String> {
    let key = |record: &Record| String::from_utf8(record.key.to_vec()).unwrap();
    records.iter().map(key).collect()
}

/// All records from the earliest on.
async fn read_all(store: &EmbeddedTopics) -> Result<Vec<Record>> {
    let mut reader = store.subscribe(TOPIC, "test").await?;
    let Event::Assigned(_) = reader.next(AT_ONCE).await? else {
        panic!("the first event is not `Assigned`");
    };
    reader.seek(P0, Offset::ZERO).await?;
    let mut records = Vec::new();
    while let Event::Records(batches) = reader.next(AT_ONCE).await? {
        records.extend(batches.into_iter().flat_map(|batch| batch.records));
    }
    Ok(records)
}

fn flip(path: &Path, at: u64) {
    let file = File::options().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 0x10], at).unwrap();
}

fn bytes_of(path: &Path) -> u64 {
    fs::metadata(path).unwrap().len()
}

fn truncate(path: &Path, bytes: u64) {
    File::options()
        .write(true)
        .open(path)
        .unwrap()
        .set_len(bytes)
        .unwrap();
}

#[tokio::test]
async fn a_tail_torn_at_any_byte_is_cut_and_the_log_goes_on() {
    let bench = Bench::new();
    let store = bench.open_new().await;
    store
        .append(TOPIC, vec![append_of("whole", 2)])
        .await
        .unwrap();
    let segment = bench.segments().remove(0);
    let whole = bytes_of(&segment);
    store
        .append(TOPIC, vec![append_of("torn", 2)])
        .await
        .unwrap();
    let all = bytes_of(&segment);
    drop(store);
    let bytes = fs::read(&segment).unwrap();

    for cut in whole..all {
        truncate(&segment, cut);
        let store = bench.open().await.unwrap();
        assert_eq!(bytes_of(&segment), whole, "cut at {cut}");
        let appended = store
            .append(TOPIC, vec![append_of("later", 1)])
            .await
            .unwrap();
        assert_eq!(appended[0].first, Offset(2));
        let found = labels(&read_all(&store).await.unwrap());
        assert_eq!(found, ["whole/0", "whole/1", "later/0"]);
        drop(store);
        fs::write(&segment, &bytes).unwrap();
    }
}

#[tokio::test]
async fn a_flipped_bit_in_an_unsynced_tail_cuts_it() {
    let bench = Bench::new();
    let store = bench.open_new().await;
    store
        .append(TOPIC, vec![append_of("whole", 2)])
        .await
        .unwrap();
    let segment = bench.segments().remove(0);
    let whole = bytes_of(&segment);
    store
        .append(TOPIC, vec![append_of("hurt", 1), append_of("after", 1)])
        .await
        .unwrap();
    let all = bytes_of(&segment);
    drop(store);
    let bytes = fs::read(&segment).unwrap();
    for at in whole..all {
        fs::write(&segment, &bytes).unwrap();
        flip(&segment, at);
        let store = bench.open().await.unwrap();
        let found = read_all(&store).await.unwrap();
        // Damage to the last block leaves the one before it.
        assert!(
            (2..=3).contains(&found.len()),
            "flipped {at}: {}",
            found.len()
        );
    }
}

#[tokio::test]
async fn lost_durable_records_are_reported_not_cut() {
    let bench = Bench::new();
    let store = bench.open_new().await;
    store
        .append(TOPIC, vec![append_of("durable", 3)])
        .await
        .unwrap();
    store.sync(TOPIC).await.unwrap();
    store
        .append(TOPIC, vec![append_of("witness", 1)])
        .await
        .unwrap();
    drop(store);
    let segment = bench.segments().remove(0);
    let bytes = fs::read(&segment).unwrap();
    // Anywhere in the block: its mark, its length, its records.
    for at in [0, 4, 20, 60, 100] {
        fs::write(&segment, &bytes).unwrap();
        flip(&segment, segment::HEADER_BYTES + at);
        let error = bench.open().await.unwrap_err();
        assert!(
            matches!(&error, Error::Corrupt { path, reason }
                if *path == segment && reason.contains("byte 40")),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_consumer_ahead_of_the_log_is_reported() {
    let bench = Bench::new();
    let store = bench.open_new().await;
    store.append(TOPIC, vec![append_of("a", 2)]).await.unwrap();
    let segment = bench.segments().remove(0);
    let whole = bytes_of(&segment);
    store.append(TOPIC, vec![append_of("b", 2)]).await.unwrap();
    let mut reader = store.subscribe(TOPIC, "reader").await.unwrap();
    let before = bench.disk.faults.syncs.load(Ordering::Relaxed);
    reader
        .commit(&Positions::from_iter([(P0, Offset(4))]))
        .await
        .unwrap();
    // The records first, then the progress through them.
    assert_eq!(bench.disk.faults.syncs.load(Ordering::Relaxed), before + 2);
    drop((reader, store));
    truncate(&segment, whole);
    let error = bench.open().await.unwrap_err();
    assert!(
        error
            .to_string()
            .contains("consumer `reader` has read up to 4"),
        "{error}"
    );
}

#[tokio::test]
async fn after_a_clean_close_damage_is_found_by_reading_and_never_cut() {
    let bench = Bench::new();
    let store = bench.open_new().await;
    store
        .append(TOPIC, vec![append_of("a", 2), append_of("b", 2)])
        .await
        .unwrap();
    store.close().await.unwrap();
    let segment = bench.segments().remove(0);
    let bytes = bytes_of(&segment);
    flip(&segment, bytes - 1);
    let store = bench.open().await.unwrap();
    let error = read_all(&store).await.unwrap_err();
    assert!(
        matches!(&error, Error::Corrupt { path, .. } if *path == segment),
        "{error}"
    );
    drop(store);

    truncate(&segment, bytes - 1);
    let error = bench.open().await.unwrap_err();
    assert!(
        error.to_string().contains("at the last close it went to 4"),
        "{error}"
    );
}

#[tokio::test]
async fn damage_in_a_sealed_segment_is_found_when_it_is_read() {
    let bench = Bench::with_segments(400);
    let store = bench.open_new().await;
    for at in 0..20 {
        store
            .append(TOPIC, vec![append_of(&format!("{at}"), 3)])
            .await
            .unwrap();
    }
    drop(store);
    let segments = bench.segments();
    assert!(segments.len() > 4, "{}", segments.len());
    flip(&segments[2], bytes_of(&segments[2]) - 3);
    let store = bench.open().await.unwrap();
    let error = read_all(&store).await.unwrap_err();
    assert!(
        matches!(&error, Error::Corrupt { path, .. } if *path == segments[2]),
        "{error}"
    );

    // What lies behind the damage can still be read.
    let mut reader = store.subscribe(TOPIC, "behind").await.unwrap();
    reader.next(AT_ONCE).await.unwrap();
    reader.seek(P0, Offset(58)).await.unwrap();
    let Event::Records(batches) = reader.next(AT_ONCE).await.unwrap() else {
        panic!("nothing came");
    };
    assert_eq!(labels(&batches[0].records), ["19/1", "19/2"]);
    drop((reader, store));

    truncate(&segments[1], bytes_of(&segments[1]) / 2);
    let store = bench.open().await.unwrap();
    let error = read_all(&store).await.unwrap_err();
    assert!(
        matches!(&error, Error::Corrupt { path, .. } if *path == segments[1]),
        "{error}"
    );
}

#[tokio::test]
async fn segments_roll_and_any_offset_is_found_again() {
    let bench = Bench::with_segments(700);
    let store = bench.open_new().await;
    for at in 0..60 {
        store
            .append(TOPIC, vec![append_of(&format!("{at}"), 1 + at % 4)])
            .await
            .unwrap();
    }
    let all = labels(&read_all(&store).await.unwrap());
    drop(store);
    assert!(bench.segments().len() > SEGMENTS_MANY);
    let store = bench.open().await.unwrap();
    let mut reader = store.subscribe(TOPIC, "test").await.unwrap();
    reader.next(AT_ONCE).await.unwrap();
    for offset in (0..all.len()).rev() {
        reader.seek(P0, Offset(offset as u64)).await.unwrap();
        let Event::Records(batches) = reader.next(AT_ONCE).await.unwrap() else {
            panic!("nothing at {offset}");
        };
        assert_eq!(labels(&batches[0].records)[0], all[offset]);
    }
}

/// More than stay open at a time.
const SEGMENTS_MANY: usize = 8;

#[tokio::test]
async fn a_segment_is_durable_before_the_next_one_begins() {
    let bench = Bench::with_segments(400);
    let store = bench.open_new().await;
    store.append(TOPIC, vec![append_of("a", 10)]).await.unwrap();
    let before = bench.disk.faults.syncs.load(Ordering::Relaxed);
    store.append(TOPIC, vec![append_of("b", 10)]).await.unwrap();
    assert_eq!(bench.segments().len(), 2);
    // The full segment and the header of the new one.
    assert_eq!(bench.disk.faults.syncs.load(Ordering::Relaxed), before + 2);
}

#[tokio::test]
async fn an_unborn_segment_is_passed_over() {
    let bench = Bench::new();
    let store = bench.open_new().await;
    store.append(TOPIC, vec![append_of("a", 3)]).await.unwrap();
    drop(store);
    for (next, content) in (3..).zip([&[][..], &[0; 40], b"TFSEG"]) {
        let unborn = segment::path(&bench.partition_folder(), Offset(next));
        fs::write(unborn, content).unwrap();
        let store = bench.open().await.unwrap();
        assert_eq!(read_all(&store).await.unwrap().len() as u64, next);
        assert_eq!(store.bounds(TOPIC).await.unwrap()[0].next, Offset(next));
        store.append(TOPIC, vec![append_of("b", 1)]).await.unwrap();
    }
}

#[tokio::test]
async fn a_full_disk_loses_nothing_and_the_log_goes_on() {
    let bench = Bench::with_segments(600);
    let store = bench.open_new().await;
    store
        .append(TOPIC, vec![append_of("before", 2)])
        .await
        .unwrap();
    let sizes = || -> BTreeMap<PathBuf, u64> {
        let segments = bench.segments().into_iter();
        segments
            .map(|path| (path.clone(), bytes_of(&path)))
            .collect()
    };
    // Also in the middle of making a new segment.
    for room in [0, 1, 30, 47, 100] {
        let before = sizes();
        *bench.disk.faults.room_bytes.lock().unwrap() = Some(room);
        let error = store
            .append(TOPIC, vec![append_of("refused", 20)])
            .await
            .unwrap_err();
        assert!(
            matches!(&error, Error::Io { source, .. }
                if source.kind() == std::io::ErrorKind::StorageFull),
            "{error}"
        );
        *bench.disk.faults.room_bytes.lock().unwrap() = None;
        for (segment, bytes) in sizes() {
            let wanted = *before.get(&segment).unwrap_or(&segment::HEADER_BYTES);
            assert_eq!(bytes, wanted, "room {room}: {segment:?}");
        }
        store
            .append(TOPIC, vec![append_of(&format!("after {room}"), 1)])
            .await
            .unwrap();
    }
    let wanted = [
        "before/0",
        "before/1",
        "after 0/0",
        "after 1/0",
        "after 30/0",
        "after 47/0",
        "after 100/0",
    ];
    assert_eq!(labels(&read_all(&store).await.unwrap()), wanted);
    drop(store);
    let store = bench.open().await.unwrap();
    assert_eq!(labels(&read_all(&store).await.unwrap()), wanted);
}

#[tokio::test]
async fn after_a_failed_sync_nothing_is_written_until_reopened() {
    let bench = Bench::new();
    let store = bench.open_new().await;
    let mut reader = store.subscribe(TOPIC, "reader").await.unwrap();
    store.append(TOPIC, vec![append_of("a", 1)]).await.unwrap();
    bench.disk.faults.sync_fails.store(true, Ordering::Relaxed);
    assert!(matches!(store.sync(TOPIC).await, Err(Error::Io { .. })));
    bench.disk.faults.sync_fails.store(false, Ordering::Relaxed);
    assert!(matches!(store.sync(TOPIC).await, Err(Error::Broken { .. })));
    let refused = store
        .append(TOPIC, vec![append_of("b", 1)])
        .await
        .unwrap_err();
    assert!(
        refused
            .to_string()
            .contains("a sync failed: the disk is gone"),
        "{refused}"
    );
    assert!(read_all(&store).await.is_err());
    assert!(store.close().await.is_err());
    // Another process may have the log by now.
    let late = reader
        .commit(&Positions::from_iter([(P0, Offset::ZERO)]))
        .await;
    assert!(matches!(late, Err(Error::Closed)), "{late:?}");
    assert!(matches!(reader.next(AT_ONCE).await, Err(Error::Closed)));
    drop((reader, store));
    let store = bench.open().await.unwrap();
    assert_eq!(labels(&read_all(&store).await.unwrap()), ["a/0"]);
}

#[tokio::test]
async fn records_are_durable_before_they_are_delivered() {
    let bench = Bench::new();
    let store = bench.open_new().await;
    store.append(TOPIC, vec![append_of("a", 1)]).await.unwrap();
    let syncs = || bench.disk.faults.syncs.load(Ordering::Relaxed);
    let before = syncs();
    read_all(&store).await.unwrap();
    assert_eq!(syncs(), before + 1);
    // Durable already: no more work.
    store.sync(TOPIC).await.unwrap();
    read_all(&store).await.unwrap();
    assert_eq!(syncs(), before + 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn appends_at_the_same_time_share_a_sync() {
    const APPENDS: u64 = 8;
    let mut bench = Bench::new();
    bench.options.sync = SyncPolicy::EveryAppend;
    let store = Arc::new(bench.open_new().await);
    let before = bench.disk.faults.syncs.load(Ordering::Relaxed);
    bench.disk.faults.sync_waits.store(true, Ordering::Relaxed);
    let appends: Vec<_> = (0..APPENDS)
        .map(|at| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                store
                    .append(TOPIC, vec![append_of(&format!("{at}"), 1)])
                    .await
            })
        })
        .collect();
    while store.bounds(TOPIC).await.unwrap()[0].next < Offset(APPENDS) {
        tokio::task::yield_now().await;
    }
    bench.disk.faults.sync_waits.store(false, Ordering::Relaxed);
    for append in appends {
        append.await.unwrap().unwrap();
    }
    // The first one began before all was written, the second one did the rest.
    let syncs = bench.disk.faults.syncs.load(Ordering::Relaxed) - before;
    assert!((1..=2).contains(&syncs), "{syncs}");
}

#[tokio::test]
async fn only_one_may_have_the_log_open() {
    let bench = Bench::new();
    let store = bench.open_new().await;
    assert!(matches!(bench.open().await, Err(Error::Locked { .. })));
    store.close().await.unwrap();
    let store = bench.open().await.unwrap();
    let reader = store.subscribe(TOPIC, "reader").await.unwrap();
    drop(store);
    // The subscription may still commit.
    assert!(matches!(bench.open().await, Err(Error::Locked { .. })));
    drop(reader);
    bench.open().await.unwrap();
}

#[tokio::test]
async fn a_newer_format_is_refused() {
    let bench = Bench::new();
    drop(bench.open_new().await);
    let format = bench.root.path().join("format");
    let kept = fs::read(&format).unwrap();
    fs::write(&format, "twinfold topics 2\n").unwrap();
    let error = bench.open().await.unwrap_err();
    let is_newer = |error: &Error| {
        matches!(
            error,
            Error::NewerFormat {
                found: 2,
                supported: 1,
                ..
            }
        )
    };
    assert!(is_newer(&error), "{error}");

    fs::write(&format, kept).unwrap();
    let segment = File::options()
        .write(true)
        .open(&bench.segments()[0])
        .unwrap();
    segment.write_all_at(&2_u32.to_le_bytes(), 8).unwrap();
    let error = bench.open().await.unwrap_err();
    assert!(is_newer(&error), "{error}");
}

#[tokio::test]
async fn an_append_that_is_too_large_is_refused_before_anything_is_written() {
    let bench = Bench::new();
    let store = bench.open_new().await;
    let mut large = append_of("large", 1);
    large.records[0].value = Bytes::from(vec![0; 64 << 20]);
    let error = store
        .append(TOPIC, vec![append_of("a", 1), large])
        .await
        .unwrap_err();
    assert!(
        matches!(
            error,
            Error::AppendTooLarge {
                bytes_max: 0x400_0000,
                ..
            }
        ),
        "{error}"
    );
    assert_eq!(store.bounds(TOPIC).await.unwrap()[0].next, Offset::ZERO);
}

#[tokio::test]
async fn retention_waits_for_every_consumer() {
    let bench = Bench::with_segments(400);
    let store = bench.open_new().await;
    let config = TopicConfig {
        retention: Some(Duration::from_micros(50)),
        ..ONE_PARTITION
    };
    store.create(TOPIC, &config).await.unwrap();
    let mut slow = store.subscribe(TOPIC, "slow").await.unwrap();
    for at in 0..20 {
        bench.micros.fetch_add(10, Ordering::Relaxed);
        store
            .append(TOPIC, vec![append_of(&format!("{at}"), 3)])
            .await
            .unwrap();
    }
    let earliest = async || {
        store.enforce_retention(TOPIC).await.unwrap();
        store.bounds(TOPIC).await.unwrap()[0].earliest
    };
    bench.micros.fetch_add(1_000, Ordering::Relaxed);
    assert_eq!(
        earliest().await,
        Offset::ZERO,
        "a subscriber that has not committed yet"
    );
    slow.commit(&Positions::from_iter([(P0, Offset(20))]))
        .await
        .unwrap();
    let held = earliest().await;
    assert!(Offset::ZERO < held && held <= Offset(20), "{held:?}");
    drop(slow);
    assert_eq!(earliest().await, held, "it may come back");
    assert_eq!(read_all(&store).await.unwrap()[0].offset, held);

    let mut slow = store.subscribe(TOPIC, "slow").await.unwrap();
    slow.commit(&Positions::from_iter([(P0, Offset(60))]))
        .await
        .unwrap();
    let last = earliest().await;
    assert!(last > Offset(20));
    assert_eq!(bench.segments().len(), 1, "the active segment stays");
    drop((slow, store));
    let store = bench.open().await.unwrap();
    assert_eq!(store.bounds(TOPIC).await.unwrap()[0].earliest, last);
    assert_eq!(read_all(&store).await.unwrap()[0].offset, last);
}

#[tokio::test]
async fn a_full_segment_makes_room_by_itself() {
    let bench = Bench::with_segments(400);
    let store = bench.open_new().await;
    let config = TopicConfig {
        retention_bytes_max: Some(1_000),
        ..ONE_PARTITION
    };
    store.create(TOPIC, &config).await.unwrap();
    for at in 0..50 {
        store
            .append(TOPIC, vec![append_of(&format!("{at}"), 3)])
            .await
            .unwrap();
    }
    let kept: u64 = bench.segments().iter().map(|path| bytes_of(path)).sum();
    assert!(kept <= 1_400, "{kept}");
}

#[tokio::test]
async fn time_does_not_run_backward_with_the_clock() {
    let bench = Bench::with_segments(400);
    let store = bench.open_new().await;
    store.append(TOPIC, vec![append_of("a", 1)]).await.unwrap();
    drop(store);
    bench.micros.store(5, Ordering::Relaxed);
    let store = bench.open().await.unwrap();
    for _ in 0..10 {
        store.append(TOPIC, vec![append_of("b", 3)]).await.unwrap();
    }
    let mut reader = store.subscribe(TOPIC, "reader").await.unwrap();
    reader.next(AT_ONCE).await.unwrap();
    reader.seek(P0, Offset::ZERO).await.unwrap();
    while let Event::Records(batches) = reader.next(AT_ONCE).await.unwrap() {
        for batch in batches {
            assert_eq!(batch.appended_at, EventTime::from_micros(1_000_000));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn readers_beside_writers_and_rolls_see_everything_once() {
    const APPENDS: usize = 150;
    let bench = Bench::with_segments(3_000);
    let store = Arc::new(bench.open_new().await);
    let writers: Vec<_> = (0..3)
        .map(|writer| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                for at in 0..APPENDS {
                    let append = append_of(&format!("{writer}-{at}"), 2);
                    store.append(TOPIC, vec![append]).await.unwrap();
                }
            })
        })
        .collect();
    let readers: Vec<_> = (0..2)
        .map(|reader| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                let mut reader = store
                    .subscribe(TOPIC, &format!("reader{reader}"))
                    .await
                    .unwrap();
                reader.next(AT_ONCE).await.unwrap();
                reader.seek(P0, Offset::ZERO).await.unwrap();
                let limits = FetchLimits {
                    bytes_max: 700,
                    wait_max: Duration::from_secs(20),
                };
                let mut next = Offset::ZERO;
                while next < Offset(3 * 2 * APPENDS as u64) {
                    let Event::Records(batches) = reader.next(limits).await.unwrap() else {
                        panic!("nothing after {next:?}");
                    };
                    for record in batches.iter().flat_map(|batch| &batch.records) {
                        assert_eq!(record.offset, next);
                        next = next.plus(1);
                    }
                }
            })
        })
        .collect();
    for task in writers.into_iter().chain(readers) {
        task.await.unwrap();
    }
    store.close().await.unwrap();
}

/// What a crash leaves is a prefix of what was appended, made of whole appends.
#[tokio::test]
async fn a_log_cut_anywhere_is_a_prefix_of_whole_appends() {
    let bench = Bench::with_segments(1_500);
    let store = bench.open_new().await;
    let mut wanted = Vec::new();
    let mut whole = vec![0];
    for at in 0..25 {
        let append = append_of(&format!("{at}"), 1 + at % 5);
        wanted.extend(append.records.iter().map(|record| record.key.clone()));
        whole.push(wanted.len());
        store.append(TOPIC, vec![append]).await.unwrap();
    }
    let last = bench.segments().pop().unwrap();
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    for _ in 0..40 {
        let copy = bench.copy();
        let last = copy
            .path()
            .join(last.strip_prefix(bench.root.path()).unwrap());
        let cut = (segment::HEADER_BYTES..=bytes_of(&last))
            .new_tree(&mut runner)
            .map(|tree| proptest::strategy::ValueTree::current(&tree))
            .unwrap();
        truncate(&last, cut);
        let after = bench.open_at(copy.path()).await.unwrap();
        let found = read_all(&after).await.unwrap();
        let keys: Vec<Bytes> = found.into_iter().map(|record| record.key).collect();
        assert_eq!(keys, wanted[..keys.len()], "cut at {cut}");
        assert!(whole.contains(&keys.len()), "cut at {cut} inside an append");
    }
}
