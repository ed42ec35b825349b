//! The guarantees of [`OnlineStore`](crate::OnlineStore), each as a case that any backend can be put through.
//!
//! A backend implements [`Place`] and instantiates [`online_store_conformance!`](crate::online_store_conformance)
//! in a test; every case then is a test of its own. Cases use tables of their own name, so that they
//! may share one place.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use twinfold_model::{EventTime, Offset, Operation, RowVersion, SchemaId};
use twinfold_wire::row::{ValueView, encode_value};

use crate::{Error, OnlineStore, StoredRow, TableConfig, Upsert, UpsertStats};

/// Where a store lives; it can be opened again and again.
#[async_trait]
pub trait Place: Debug + Send + Sync {
    async fn open(&self) -> Arc<dyn OnlineStore>;

    fn expiry(&self) -> Expiry;

    /// Whether an upsert counts what was superseded by rows that the store had before.
    fn counts_superseded(&self) -> bool {
        true
    }
}

/// What [`OnlineStore::expire`] forgets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expiry {
    RowsAndDeletes,
    /// Deletes are remembered for a time that has nothing to do with the TTL, and is longer than a test.
    Rows,
}

/// Makes a `#[tokio::test]` of every case. `$place` is an async expression that makes a [`Place`].
#[macro_export]
macro_rules! online_store_conformance {
    ($place:expr) => {
        $crate::online_store_conformance! { $place,
            a_missing_key_is_none
            a_row_is_readable_when_upsert_has_returned
            answers_stand_in_the_order_of_the_keys
            the_newest_event_time_wins_whatever_the_order
            at_equal_event_time_the_later_offset_wins
            a_delete_hides_rows_that_are_not_newer
            a_later_row_brings_a_deleted_key_back
            a_late_older_row_stays_hidden
            times_before_1970_order_like_all_others
            several_records_of_a_key_in_one_batch
            writing_again_changes_nothing
            any_order_and_repetition_gives_the_same_scan
            empty_and_large_values_come_back_whole
            tables_do_not_see_each_other
            a_dropped_table_is_unknown_and_comes_back_empty
            a_table_that_is_not_remembered_is_found_again
            creating_again_keeps_the_rows
            what_is_expired_goes_and_the_rest_stays
            a_scan_returns_every_live_key_once
            what_was_flushed_is_there_after_reopening
            a_closed_store_refuses
        }
    };
    ($place:expr, $($case:ident)+) => {
        $(
            #[tokio::test]
            async fn $case() {
                $crate::conformance::$case(&$place.await).await;
            }
        )+
    };
}

pub async fn a_missing_key_is_none(place: &dyn Place) {
    let store = store_with_table(place, "missing").await;
    assert_eq!(read(&*store, "missing", b"nobody").await, None);
    assert!(scan(&*store, "missing", 10).await.is_empty());
    upsert(&*store, "missing", &[delete(b"deleted", 5, 0)]).await;
    assert_eq!(read(&*store, "missing", b"deleted").await, None);
    let unknown = store.read("missing_table", &[b"key"]).await;
    assert!(matches!(unknown, Err(Error::UnknownTable { table }) if table == "missing_table"));
}

pub async fn a_row_is_readable_when_upsert_has_returned(place: &dyn Place) {
    let store = store_with_table(place, "read_your_write").await;
    for round in 0..50 {
        let written = row(b"key", round, round as u64, b"body");
        let stats = upsert(&*store, "read_your_write", std::slice::from_ref(&written)).await;
        assert_counts(place, stats, 1, 0);
        assert_holds(&*store, "read_your_write", &written).await;
    }
}

pub async fn answers_stand_in_the_order_of_the_keys(place: &dyn Place) {
    let store = store_with_table(place, "order").await;
    let rows: Vec<Upsert> = (0..300_u32)
        .map(|key| row(&key.to_be_bytes(), 1, key.into(), &key.to_le_bytes()))
        .collect();
    upsert(&*store, "order", &rows).await;
    let wanted: Vec<u32> = (0..400).rev().chain([7, 7]).collect();
    let keys: Vec<[u8; 4]> = wanted.iter().map(|key| key.to_be_bytes()).collect();
    let keys: Vec<&[u8]> = keys.iter().map(|key| key.as_slice()).collect();
    let found = store.read("order", &keys).await.expect("read");
    assert_eq!(found.len(), wanted.len());
    for (key, found) in wanted.iter().zip(found) {
        let expected = (*key < 300).then(|| stored(&rows[*key as usize]));
        assert_eq!(found, expected, "key {key}");
    }
}

pub async fn the_newest_event_time_wins_whatever_the_order(place: &dyn Place) {
    let store = store_with_table(place, "newest").await;
    let older = row(b"key", -3, 9, b"older");
    let newer = row(b"key", 4, 2, b"newer");
    upsert(&*store, "newest", std::slice::from_ref(&newer)).await;
    let stats = upsert(&*store, "newest", std::slice::from_ref(&older)).await;
    assert_counts(place, stats, 0, 1);
    assert_holds(&*store, "newest", &newer).await;
    let newest = row(b"key", 5, 3, b"newest");
    upsert(&*store, "newest", std::slice::from_ref(&newest)).await;
    assert_holds(&*store, "newest", &newest).await;
}

pub async fn at_equal_event_time_the_later_offset_wins(place: &dyn Place) {
    let store = store_with_table(place, "ties").await;
    // Offset 256 is the smaller one when offsets are compared in the wrong byte order.
    let (earlier, later) = (row(b"key", 1, 255, b"zzz"), row(b"key", 1, 256, b"aaa"));
    upsert(&*store, "ties", std::slice::from_ref(&later)).await;
    upsert(&*store, "ties", std::slice::from_ref(&earlier)).await;
    assert_holds(&*store, "ties", &later).await;
    let latest = row(b"key", 1, 70_000, b"");
    upsert(&*store, "ties", std::slice::from_ref(&latest)).await;
    assert_holds(&*store, "ties", &latest).await;
}

pub async fn a_delete_hides_rows_that_are_not_newer(place: &dyn Place) {
    let store = store_with_table(place, "delete").await;
    upsert(
        &*store,
        "delete",
        &[row(b"older", 4, 0, b"x"), row(b"equal", 5, 1, b"x")],
    )
    .await;
    upsert(&*store, "delete", &[row(b"newer", 6, 2, b"x")]).await;
    let deletes = [b"older", b"equal", b"newer"].map(|key| delete(key, 5, 3));
    upsert(&*store, "delete", &deletes).await;
    assert_eq!(read(&*store, "delete", b"older").await, None);
    assert_eq!(read(&*store, "delete", b"equal").await, None);
    assert!(read(&*store, "delete", b"newer").await.is_some());
    // At the delete's own time its offset does not matter.
    upsert(&*store, "delete", &[row(b"equal", 5, 99, b"x")]).await;
    assert_eq!(read(&*store, "delete", b"equal").await, None);
    assert_eq!(scan(&*store, "delete", 10).await.len(), 1);
}

pub async fn a_later_row_brings_a_deleted_key_back(place: &dyn Place) {
    let store = store_with_table(place, "revived").await;
    upsert(&*store, "revived", &[row(b"key", 1, 0, b"before")]).await;
    upsert(&*store, "revived", &[delete(b"key", 5, 1)]).await;
    let back = row(b"key", 6, 2, b"after");
    upsert(&*store, "revived", std::slice::from_ref(&back)).await;
    assert_holds(&*store, "revived", &back).await;
}

pub async fn a_late_older_row_stays_hidden(place: &dyn Place) {
    let store = store_with_table(place, "late").await;
    // The delete comes first, for a key that has no row yet.
    upsert(&*store, "late", &[delete(b"key", 5, 1)]).await;
    let stats = upsert(&*store, "late", &[row(b"key", 4, 2, b"late")]).await;
    assert_counts(place, stats, 0, 1);
    assert_eq!(read(&*store, "late", b"key").await, None);
    store.flush().await.expect("flush");
    let store = reopen(place, store).await;
    upsert(&*store, "late", &[row(b"key", 4, 2, b"late")]).await;
    assert_eq!(read(&*store, "late", b"key").await, None);
}

pub async fn times_before_1970_order_like_all_others(place: &dyn Place) {
    let store = store_with_table(place, "early").await;
    let newer = row(b"newer", -4, 0, b"x");
    upsert(&*store, "early", &[row(b"key", -9, 1, b"x"), newer.clone()]).await;
    let deletes = [delete(b"key", -5, 2), delete(b"newer", -5, 3)];
    upsert(&*store, "early", &deletes).await;
    assert_eq!(read(&*store, "early", b"key").await, None);
    assert_holds(&*store, "early", &newer).await;
    upsert(&*store, "early", &[row(b"key", -5, 4, b"x")]).await;
    assert_eq!(read(&*store, "early", b"key").await, None);
    let back = row(b"key", -1, 5, b"back");
    upsert(&*store, "early", std::slice::from_ref(&back)).await;
    assert_holds(&*store, "early", &back).await;
    assert_eq!(scan(&*store, "early", 10).await, newest_of(&[newer, back]));
}

pub async fn several_records_of_a_key_in_one_batch(place: &dyn Place) {
    let store = store_with_table(place, "duplicates").await;
    let batch = [
        row(b"a", 2, 0, b"2"),
        row(b"b", 1, 1, b"1"),
        row(b"a", 3, 2, b"3"),
        row(b"a", 1, 3, b"1"),
        delete(b"b", 1, 4),
        row(b"c", 1, 5, b"first"),
        row(b"c", 1, 6, b"second"),
    ];
    let stats = upsert(&*store, "duplicates", &batch).await;
    assert_eq!(stats.applied + stats.superseded, 7);
    assert!(stats.applied >= 3);
    assert_holds(&*store, "duplicates", &batch[2]).await;
    assert_eq!(read(&*store, "duplicates", b"b").await, None);
    assert_holds(&*store, "duplicates", &batch[6]).await;
}

pub async fn writing_again_changes_nothing(place: &dyn Place) {
    let store = store_with_table(place, "again").await;
    let rows = random_rows(11, 200, 40);
    upsert(&*store, "again", &rows).await;
    let before = scan(&*store, "again", 7).await;
    for batch in rows.chunks(30) {
        let stats = upsert(&*store, "again", batch).await;
        assert_counts(place, stats, 0, batch.len() as u64);
    }
    assert_eq!(scan(&*store, "again", 7).await, before);
}

pub async fn any_order_and_repetition_gives_the_same_scan(place: &dyn Place) {
    let mut expected: Option<BTreeMap<Bytes, StoredRow>> = None;
    for round in 0..12 {
        let table = format!("shuffled_{round}");
        let store = store_with_table(place, &table).await;
        let rows = random_rows(5, 400, 60);
        let newest = newest_of(&rows);
        let mut random = Random(round + 1);
        let mut written: Vec<Upsert> = rows.clone();
        written.extend((0..100).map(|_| rows[random.below(rows.len())].clone()));
        random.shuffle(&mut written);
        let mut rest = written.as_slice();
        while !rest.is_empty() {
            let (batch, behind) = rest.split_at((1 + random.below(90)).min(rest.len()));
            upsert(&*store, &table, batch).await;
            rest = behind;
        }
        let found = scan(&*store, &table, 1 + random.below(50)).await;
        assert_eq!(found, newest, "round {round}");
        assert_eq!(expected.get_or_insert_with(|| found.clone()), &found);
        store.close().await.expect("close");
    }
}

pub async fn empty_and_large_values_come_back_whole(place: &dyn Place) {
    let store = store_with_table(place, "sizes").await;
    let large: Vec<u8> = (0..1_u32 << 20).map(|index| (index % 251) as u8).collect();
    let rows = [
        row(b"empty", 1, 0, b""),
        row(b"k", 1, 1, b"short key"),
        row(b"large", 1, 2, &large),
        row(&[0xFF; 1_000], 1, 3, b"long key"),
    ];
    upsert(&*store, "sizes", &rows).await;
    for row in &rows {
        assert_holds(&*store, "sizes", row).await;
    }
    assert_eq!(scan(&*store, "sizes", 2).await, newest_of(&rows));
}

pub async fn tables_do_not_see_each_other(place: &dyn Place) {
    let store = store_with_table(place, "left").await;
    let (left, right) = (row(b"key", 2, 0, b"left"), row(b"key", 1, 1, b"right"));
    store
        .create_table("right", TableConfig::default())
        .await
        .expect("create");
    upsert(&*store, "left", std::slice::from_ref(&left)).await;
    upsert(&*store, "right", std::slice::from_ref(&right)).await;
    assert_holds(&*store, "left", &left).await;
    assert_holds(&*store, "right", &right).await;
    store.drop_table("left").await.expect("drop");
    assert_holds(&*store, "right", &right).await;
}

pub async fn a_table_that_is_not_remembered_is_found_again(place: &dyn Place) {
    let store = store_with_table(place, "forgotten").await;
    let rows = [row(b"key", 9, 0, b"old"), row(b"other", 9, 1, b"new")];
    upsert(&*store, "forgotten", &rows[..1]).await;
    store.forget("forgotten");
    upsert(&*store, "forgotten", &rows[1..]).await;
    assert_eq!(scan(&*store, "forgotten", 10).await, newest_of(&rows));
    store.forget("never_made");
}

pub async fn a_dropped_table_is_unknown_and_comes_back_empty(place: &dyn Place) {
    let store = store_with_table(place, "dropped").await;
    upsert(
        &*store,
        "dropped",
        &[row(b"key", 9, 0, b"old"), delete(b"other", 9, 1)],
    )
    .await;
    store.drop_table("dropped").await.expect("drop");
    store.drop_table("dropped").await.expect("drop again");
    let unknown = store.upsert("dropped", &[row(b"key", 1, 0, b"x")]).await;
    assert!(matches!(unknown, Err(Error::UnknownTable { .. })));
    store
        .create_table("dropped", TableConfig::default())
        .await
        .expect("create");
    assert!(scan(&*store, "dropped", 10).await.is_empty());
    // Neither the old row nor the old delete stands in the way of an older one.
    let rows = [row(b"key", 1, 2, b"new"), row(b"other", 1, 3, b"new")];
    upsert(&*store, "dropped", &rows).await;
    store.flush().await.expect("flush");
    let store = reopen(place, store).await;
    assert_eq!(scan(&*store, "dropped", 10).await, newest_of(&rows));
}

pub async fn creating_again_keeps_the_rows(place: &dyn Place) {
    let store = store_with_table(place, "created_again").await;
    let written = row(b"key", 1, 0, b"body");
    upsert(&*store, "created_again", std::slice::from_ref(&written)).await;
    let config = TableConfig {
        ttl: twinfold_model::Ttl::from_micros(i64::MAX),
    };
    store
        .create_table("created_again", config)
        .await
        .expect("create again");
    assert_holds(&*store, "created_again", &written).await;
}

pub async fn what_is_expired_goes_and_the_rest_stays(place: &dyn Place) {
    let store = store_with_table(place, "no_ttl").await;
    let config = TableConfig {
        ttl: twinfold_model::Ttl::from_micros(10),
    };
    store.create_table("ttl", config).await.expect("create");
    let rows = [
        row(b"expired", 1, 0, b"x"),
        delete(b"expired delete", 1, 1),
        row(b"edge", 5, 2, b"x"),
        delete(b"edge delete", 5, 3),
    ];
    upsert(&*store, "no_ttl", &rows).await;
    upsert(&*store, "ttl", &rows).await;
    let now = EventTime::from_micros(15);
    store.expire(now).await.expect("expire");
    assert_eq!(scan(&*store, "no_ttl", 10).await, newest_of(&rows));
    assert_eq!(scan(&*store, "ttl", 10).await, newest_of(&rows[2..]));
    assert_eq!(read(&*store, "ttl", b"expired").await, None);
    let older = [b"expired delete".as_slice(), b"edge delete"].map(|key| row(key, 0, 0, b"x"));
    let stats = upsert(&*store, "ttl", &older).await;
    assert_eq!(read(&*store, "ttl", b"edge delete").await, None);
    match place.expiry() {
        Expiry::RowsAndDeletes => {
            // A delete that is forgotten hides nothing any more.
            assert_counts(place, stats, 1, 1);
            assert_holds(&*store, "ttl", &older[0]).await;
        }
        Expiry::Rows => {
            assert_counts(place, stats, 0, 2);
            assert_eq!(read(&*store, "ttl", b"expired delete").await, None);
        }
    }
}

pub async fn a_scan_returns_every_live_key_once(place: &dyn Place) {
    let store = store_with_table(place, "scanned").await;
    let rows: Vec<Upsert> = (0..500_u32)
        .map(|key| row(&key.to_be_bytes(), 1, key.into(), &[1; 20]))
        .collect();
    upsert(&*store, "scanned", &rows).await;
    upsert(&*store, "scanned", &[delete(&3_u32.to_be_bytes(), 2, 900)]).await;
    let mut expected = newest_of(&rows);
    expected.remove(3_u32.to_be_bytes().as_slice());
    for rows_max in [1, 9, 499, 500, 10_000] {
        assert_eq!(scan(&*store, "scanned", rows_max).await, expected);
    }
    // Keys that come and change while a scan is under way take none of the others from it.
    let first = store.scan("scanned", None, 100).await.expect("scan");
    let more: Vec<Upsert> = (500..3_000_u32)
        .map(|key| row(&key.to_be_bytes(), 1, key.into(), b"more"))
        .collect();
    upsert(&*store, "scanned", &more).await;
    let mut seen: Vec<Bytes> = first.rows.into_iter().map(|(key, _)| key).collect();
    let mut cursor = first.cursor;
    while let Some(at) = cursor {
        let page = store.scan("scanned", Some(at), 100).await.expect("scan");
        seen.extend(page.rows.into_iter().map(|(key, _)| key));
        cursor = page.cursor;
    }
    assert!(expected.keys().all(|key| seen.contains(key)));
}

pub async fn what_was_flushed_is_there_after_reopening(place: &dyn Place) {
    let store = store_with_table(place, "reopened").await;
    let rows = random_rows(21, 600, 100);
    for batch in rows.chunks(100) {
        upsert(&*store, "reopened", batch).await;
    }
    store.flush().await.expect("flush");
    let store = reopen(place, store).await;
    assert_eq!(scan(&*store, "reopened", 64).await, newest_of(&rows));
    let stats = upsert(&*store, "reopened", &rows).await;
    assert_counts(place, stats, 0, rows.len() as u64);
    let newest = row(b"new", 1_000_000, 0, b"body");
    upsert(&*store, "reopened", std::slice::from_ref(&newest)).await;
    let store = reopen(place, store).await;
    assert_holds(&*store, "reopened", &newest).await;
}

pub async fn a_closed_store_refuses(place: &dyn Place) {
    let store = store_with_table(place, "closed").await;
    upsert(&*store, "closed", &[row(b"key", 1, 0, b"body")]).await;
    store.close().await.expect("close");
    store.close().await.expect("close again");
    let written = store.upsert("closed", &[row(b"key", 2, 1, b"body")]).await;
    assert!(matches!(written, Err(Error::Closed)));
    let found = store.read("closed", &[b"key"]).await;
    assert!(matches!(found, Err(Error::Closed)));
    let created = store.create_table("other", TableConfig::default()).await;
    assert!(matches!(created, Err(Error::Closed)));
}

async fn store_with_table(place: &dyn Place, table: &str) -> Arc<dyn OnlineStore> {
    let store = place.open().await;
    store
        .create_table(table, TableConfig::default())
        .await
        .expect("create");
    store
}

async fn reopen(place: &dyn Place, store: Arc<dyn OnlineStore>) -> Arc<dyn OnlineStore> {
    store.close().await.expect("close");
    drop(store);
    place.open().await
}

async fn upsert(store: &dyn OnlineStore, table: &str, rows: &[Upsert]) -> UpsertStats {
    store.upsert(table, rows).await.expect("upsert")
}

/// A store that counts less must at least account for every record.
fn assert_counts(place: &dyn Place, found: UpsertStats, applied: u64, superseded: u64) {
    if place.counts_superseded() {
        assert_eq!((found.applied, found.superseded), (applied, superseded));
    } else {
        assert_eq!(found.applied + found.superseded, applied + superseded);
    }
}

async fn read(store: &dyn OnlineStore, table: &str, key: &[u8]) -> Option<StoredRow> {
    let mut rows = store.read(table, &[key]).await.expect("read");
    assert_eq!(rows.len(), 1);
    rows.remove(0)
}

async fn assert_holds(store: &dyn OnlineStore, table: &str, row: &Upsert) {
    let found = read(store, table, &row.key).await.expect("a row");
    assert_eq!(found, stored(row));
    let value = ValueView::parse(&found.value).expect("value bytes");
    assert_eq!(value.body, &row.body);
}

/// All pages of a scan. A key that stands in two pages fails.
pub async fn scan(
    store: &dyn OnlineStore,
    table: &str,
    rows_max: usize,
) -> BTreeMap<Bytes, StoredRow> {
    let mut rows = BTreeMap::new();
    let mut cursor = None;
    loop {
        let page = store.scan(table, cursor, rows_max).await.expect("scan");
        assert!(page.rows.len() <= rows_max);
        for (key, row) in page.rows {
            assert!(rows.insert(key, row).is_none(), "a key came twice");
        }
        cursor = page.cursor;
        if cursor.is_none() {
            return rows;
        }
    }
}

/// What a store that was given `rows` must hold.
pub fn newest_of(rows: &[Upsert]) -> BTreeMap<Bytes, StoredRow> {
    let mut newest: BTreeMap<Bytes, &Upsert> = BTreeMap::new();
    for row in rows {
        let known = newest.entry(row.key.clone()).or_insert(row);
        if row.version > known.version {
            *known = row;
        }
    }
    newest
        .into_iter()
        .filter(|(_, row)| row.version.operation == Operation::Upsert)
        .map(|(key, row)| (key, stored(row)))
        .collect()
}

pub fn row(key: &[u8], event_time: i64, offset: u64, body: &[u8]) -> Upsert {
    Upsert {
        key: Bytes::copy_from_slice(key),
        version: RowVersion {
            event_time: EventTime::from_micros(event_time),
            operation: Operation::Upsert,
            offset: Offset(offset),
        },
        schema: SchemaId(offset as u32 % 5),
        body: Bytes::copy_from_slice(body),
    }
}

pub fn delete(key: &[u8], event_time: i64, offset: u64) -> Upsert {
    let mut delete = row(key, event_time, offset, b"");
    delete.version.operation = Operation::Delete;
    delete
}

fn stored(row: &Upsert) -> StoredRow {
    let mut value = Vec::new();
    encode_value(row.version.offset, row.schema, &row.body, &mut value);
    StoredRow {
        event_time: row.version.event_time,
        value: value.into(),
    }
}

/// Rows of few keys at few times, so that late rows, ties and deletes at the time of a row are common.
pub fn random_rows(seed: u64, count: usize, keys: usize) -> Vec<Upsert> {
    let mut random = Random(seed);
    let rows = (0..count as u64).map(|offset| {
        let key = format!("key {}", random.below(keys));
        let event_time = random.below(8) as i64;
        if random.below(5) == 0 {
            delete(key.as_bytes(), event_time, offset)
        } else {
            let body = vec![offset as u8; random.below(60)];
            row(key.as_bytes(), event_time, offset, &body)
        }
    });
    rows.collect()
}

/// SplitMix64: the same numbers everywhere, without a dependency.
#[derive(Debug, Clone)]
pub struct Random(pub u64);

impl Random {
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    pub fn below(&mut self, end: usize) -> usize {
        (self.draw() % end as u64) as usize
    }

    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}
