//! Damage and refusals of the disk: what is hit, and what goes on beside it.

use super::*;

const P1: PartitionId = PartitionId(1);

/// What a killed process leaves of an append, behind what is there.
fn tear(segment: &Path) {
    let end = bytes_of(segment);
    let file = File::options().write(true).open(segment).unwrap();
    file.write_all_at(&[7; 100], end).unwrap();
}

/// Damages the first block behind a torn append, opens, and compares the file.
async fn assert_refused_and_untouched(bench: &Bench, known: &str) {
    let segment = bench.segments().remove(0);
    tear(&segment);
    flip(&segment, segment::HEADER_BYTES + 60);
    let before = fs::read(&segment).unwrap();
    let error = bench.open().await.unwrap_err();
    assert!(
        matches!(&error, Error::Corrupt { path, reason } if *path == segment && reason.contains(known)),
        "{error}"
    );
    assert!(fs::read(&segment).unwrap() == before, "it was cut");
}

#[tokio::test]
async fn records_known_to_be_durable_are_not_cut_with_a_torn_append() {
    let bench = Bench::new();
    let store = bench.open_new().await;
    let appends = vec![append_of("a", 2), append_of("b", 2)];
    store.append(TOPIC, appends).await.unwrap();
    let mut reader = store.subscribe(TOPIC, "reader").await.unwrap();
    let all = Positions::from_iter([(P0, Offset(4))]);
    reader.commit(&all).await.unwrap();
    drop((reader, store));
    assert_refused_and_untouched(&bench, "consumer `reader` has read up to 4").await;
}

#[tokio::test]
async fn records_of_before_the_last_close_are_not_cut_with_a_torn_append() {
    let bench = Bench::new();
    let store = bench.open_new().await;
    let appends = vec![append_of("a", 2), append_of("b", 2)];
    store.append(TOPIC, appends).await.unwrap();
    store.close().await.unwrap();
    assert_refused_and_untouched(&bench, "at the last close it went to 4").await;
}

#[tokio::test]
async fn a_damaged_partition_does_not_stop_the_others() {
    let bench = Bench::new();
    let two_partitions = TopicConfig {
        partitions: 2,
        ..ONE_PARTITION
    };
    let store = bench.open().await.unwrap();
    store.create(TOPIC, &two_partitions).await.unwrap();
    let in_p1 = |label| Append {
        partition: P1,
        ..append_of(label, 1)
    };
    let appends = vec![append_of("before", 1), append_of("hurt", 1), in_p1("well")];
    store.append(TOPIC, appends).await.unwrap();
    store.close().await.unwrap();
    let hurt = bench.segments().remove(0);
    flip(&hurt, bytes_of(&hurt) - 1);

    let store = bench.open().await.unwrap();
    let mut reader = store.subscribe(TOPIC, "reader").await.unwrap();
    reader.next(AT_ONCE).await.unwrap();
    reader.seek(P0, Offset::ZERO).await.unwrap();
    reader.seek(P1, Offset::ZERO).await.unwrap();
    for wanted in [&["before/0", "well/0"][..], &["later/0"], &["last/0"]] {
        let Event::Records(batches) = reader.next(AT_ONCE).await.unwrap() else {
            panic!("nothing came");
        };
        let records: Vec<Record> = batches.into_iter().flat_map(|b| b.records).collect();
        assert_eq!(labels(&records), wanted);
        let error = reader.next(AT_ONCE).await.unwrap_err();
        assert!(
            matches!(&error, Error::Corrupt { path, .. } if *path == hurt),
            "{error}"
        );
        let next = if wanted.len() > 1 { "later" } else { "last" };
        store.append(TOPIC, vec![in_p1(next)]).await.unwrap();
    }
}

#[test]
fn appends_do_not_keep_the_error_of_a_damaged_partition_back() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .max_blocking_threads(1)
        .build()
        .unwrap();
    runtime.block_on(async {
        let bench = Bench::new();
        let store = bench.open_new().await;
        let append = vec![append_of("hurt", 1)];
        store.append(TOPIC, append).await.unwrap();
        store.close().await.unwrap();
        let hurt = bench.segments().remove(0);
        flip(&hurt, bytes_of(&hurt) - 1);

        let store = bench.open().await.unwrap();
        let mut reader = store.subscribe(TOPIC, "reader").await.unwrap();
        reader.next(AT_ONCE).await.unwrap();
        reader.seek(P0, Offset::ZERO).await.unwrap();
        let topic = store.state.topic(TOPIC).unwrap();
        let mut next = reader.next(AT_ONCE);
        // While the file is read there is always an append: the one thread that reads is kept busy
        // until the reader waits for it, and when it comes back there was a change.
        let beside_appends = std::future::poll_fn(|context| {
            let (_waits, is_waiting) = std::sync::mpsc::sync_channel::<()>(0);
            tokio::task::spawn_blocking(move || is_waiting.recv());
            topic.note_change();
            next.as_mut().poll(context)
        });
        let ended = tokio::time::timeout(Duration::from_secs(10), beside_appends).await;
        let error = ended.expect("the deadline holds").unwrap_err();
        assert!(
            matches!(&error, Error::Corrupt { path, .. } if *path == hurt),
            "{error}"
        );
    });
}

#[tokio::test]
async fn segments_that_cannot_be_removed_are_removed_later_and_in_order() {
    let bench = Bench::with_segments(400);
    let store = bench.open_new().await;
    let nothing_kept = TopicConfig {
        retention_bytes_max: Some(0),
        ..ONE_PARTITION
    };
    store.create(TOPIC, &nothing_kept).await.unwrap();
    let remove_fails = &bench.disk.faults.remove_fails;
    remove_fails.store(true, Ordering::Relaxed);
    for at in 0..20 {
        // What cannot be removed is no reason to refuse an append.
        store
            .append(TOPIC, vec![append_of(&format!("{at}"), 3)])
            .await
            .unwrap();
    }
    assert!(store.enforce_retention(TOPIC).await.is_err());
    let kept = bench.segments();
    assert!(kept.len() > SEGMENTS_MANY, "{}", kept.len());
    // For readers they are gone.
    let earliest = store.bounds(TOPIC).await.unwrap()[0].earliest;
    assert_eq!(read_all(&store).await.unwrap()[0].offset, earliest);
    assert!(earliest > Offset::ZERO);

    remove_fails.store(false, Ordering::Relaxed);
    store.enforce_retention(TOPIC).await.unwrap();
    assert_eq!(bench.segments(), kept[kept.len() - 1..]);
}
