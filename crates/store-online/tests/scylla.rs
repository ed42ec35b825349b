//! The backend in a cluster against the guarantees of the port, and what it owes beyond them.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use scylla::response::query_result::QueryResult;
use twinfold_model::{EventTime, Ttl};
use twinfold_store_online::conformance::{Expiry, Place, newest_of, row, scan};
use twinfold_store_online::{
    Error, OnlineStore, ScyllaOnline, ScyllaOptions, TableConfig, Upsert, open,
};
use twinfold_testkit::servers;

/// A keyspace that nobody else uses.
#[derive(Debug)]
struct Keyspace(String);

impl Keyspace {
    fn fresh() -> Self {
        Self(format!("t_{}", uuid::Uuid::new_v4().simple()))
    }

    fn url(&self) -> String {
        let contact_points = &servers().cassandra_contact_points;
        format!("scylla://{contact_points}/{}?replication=1", self.0)
    }

    fn options(&self) -> ScyllaOptions {
        let contact_points = servers().cassandra_contact_points.split(',');
        ScyllaOptions {
            replication: 1,
            ..ScyllaOptions::new(contact_points.map(str::to_owned).collect(), &self.0)
        }
    }

    async fn connect(&self) -> ScyllaOnline {
        ScyllaOnline::connect(self.options())
            .await
            .expect("connect")
    }
}

#[async_trait]
impl Place for Keyspace {
    async fn open(&self) -> Arc<dyn OnlineStore> {
        open(&self.url()).await.expect("open")
    }

    fn expiry(&self) -> Expiry {
        Expiry::Rows
    }

    fn counts_superseded(&self) -> bool {
        false
    }
}

async fn place() -> Keyspace {
    Keyspace::fresh()
}

twinfold_store_online::online_store_conformance!(place());

/// The servers, asked past the store.
struct Servers {
    session: Session,
    /// The only table of the keyspace.
    table: String,
}

impl Servers {
    async fn of(keyspace: &Keyspace) -> Self {
        let contact_points = keyspace.options().contact_points;
        let session = SessionBuilder::new().known_nodes(contact_points);
        let mut servers = Self {
            session: session.build().await.expect("connect"),
            table: String::new(),
        };
        let name = &keyspace.0;
        let tables = "SELECT table_name FROM system_schema.tables WHERE keyspace_name";
        let answer = servers.ask(format!("{tables} = '{name}'")).await;
        let answer = answer.into_rows_result().expect("rows");
        let (table,) = answer.single_row::<(String,)>().expect("one table");
        servers.table = format!("{name}.\"{table}\"");
        servers
    }

    async fn ask(&self, statement: String) -> QueryResult {
        self.session
            .query_unpaged(statement, ())
            .await
            .expect("an answer")
    }
}

const TABLE: &str = "shop.orders_1";

async fn create(store: &ScyllaOnline, ttl_us: i64) {
    let config = TableConfig {
        ttl: Ttl::from_micros(ttl_us),
    };
    store.create_table(TABLE, config).await.expect("create");
}

async fn upsert(store: &ScyllaOnline, rows: &[Upsert]) {
    store.upsert(TABLE, rows).await.expect("upsert");
}

fn is_unknown<T>(result: Result<T, Error>) -> bool {
    matches!(result, Err(Error::UnknownTable { table }) if table == TABLE)
}

#[tokio::test]
async fn processes_see_each_others_tables_come_and_go() {
    let keyspace = Keyspace::fresh();
    let (left, right) = (keyspace.connect().await, keyspace.connect().await);
    let rows = [row(b"a", 5, 0, b"x"), row(b"b", 5, 1, b"x")];
    assert!(is_unknown(right.upsert(TABLE, &rows).await));
    create(&left, 0).await;
    upsert(&right, &rows).await;
    assert_eq!(scan(&left, TABLE, 10).await, newest_of(&rows));

    left.drop_table(TABLE).await.expect("drop");
    assert!(is_unknown(right.upsert(TABLE, &rows).await));
    assert!(is_unknown(right.upsert(TABLE, &rows[..1]).await));
    assert!(is_unknown(right.read(TABLE, &[b"a"]).await));
    assert!(is_unknown(right.read(TABLE, &[b"a", b"b"]).await));
    assert!(is_unknown(right.scan(TABLE, None, 10).await));

    create(&left, 0).await;
    let older = [row(b"a", 1, 2, b"y"), row(b"b", 1, 3, b"y")];
    upsert(&right, &older).await;
    assert_eq!(scan(&left, TABLE, 10).await, newest_of(&older));
}

#[tokio::test]
async fn a_batch_that_the_servers_refuse_is_sent_in_smaller_ones() {
    let keyspace = Keyspace::fresh();
    let options = ScyllaOptions {
        batch_rows_max: 10_000,
        batch_bytes_max: 8 << 20,
        ..keyspace.options()
    };
    let store = ScyllaOnline::connect(options).await.expect("connect");
    create(&store, 0).await;
    // Far more than a batch of the servers may hold.
    let rows: Vec<Upsert> = (0..300_u64)
        .map(|key| row(&key.to_be_bytes(), 1, key, &[7; 10_000]))
        .collect();
    upsert(&store, &rows).await;
    assert_eq!(scan(&store, TABLE, 100).await, newest_of(&rows));
}

#[tokio::test]
async fn many_small_batches_and_reads_carry_every_row() {
    let keyspace = Keyspace::fresh();
    let options = ScyllaOptions {
        batch_rows_max: 7,
        batches_in_flight_max: 3,
        read_keys_max: 5,
        reads_in_flight_max: 2,
        ..keyspace.options()
    };
    let store = ScyllaOnline::connect(options).await.expect("connect");
    create(&store, 0).await;
    let rows: Vec<Upsert> = (0..1_000_u64)
        .map(|key| row(&key.to_be_bytes(), 1, key, b"body"))
        .collect();
    let (left, right) = rows.split_at(400);
    let (left, right) = tokio::join!(store.upsert(TABLE, left), store.upsert(TABLE, right));
    left.expect("upsert");
    right.expect("upsert");
    let keys: Vec<&[u8]> = rows.iter().rev().map(|row| &row.key[..]).collect();
    let found = store.read(TABLE, &keys).await.expect("read");
    assert!(found.iter().all(Option::is_some));
    assert_eq!(scan(&store, TABLE, 300).await, newest_of(&rows));
}

#[tokio::test]
async fn rows_have_no_ttl_of_the_servers_that_would_break_ties() {
    let keyspace = Keyspace::fresh();
    let store = keyspace.connect().await;
    create(&store, 1_000_000).await;
    let (earlier, later) = (row(b"key", 1, 255, b"zzz"), row(b"key", 1, 256, b"aaa"));
    upsert(&store, std::slice::from_ref(&later)).await;
    upsert(&store, std::slice::from_ref(&earlier)).await;
    assert_eq!(scan(&store, TABLE, 10).await, newest_of(&[later]));
    let servers = Servers::of(&keyspace).await;
    let answer = servers
        .ask(format!("SELECT TTL(value) FROM {}", servers.table))
        .await;
    let answer = answer.into_rows_result().expect("rows");
    let (ttl,) = answer.single_row::<(Option<i32>,)>().expect("a row");
    assert_eq!(ttl, None);
}

#[tokio::test]
async fn a_table_of_somebody_else_is_left_alone() {
    let keyspace = Keyspace::fresh();
    let store = keyspace.connect().await;
    create(&store, 0).await;
    let servers = Servers::of(&keyspace).await;
    servers
        .ask(format!(
            "ALTER TABLE {} WITH comment = 'mine'",
            servers.table
        ))
        .await;
    let refused = store.create_table(TABLE, TableConfig::default()).await;
    assert!(matches!(refused, Err(Error::TableTaken { table, .. }) if table == TABLE));
    let refused = store.drop_table(TABLE).await;
    assert!(matches!(refused, Err(Error::TableTaken { .. })));
}

#[tokio::test]
async fn expired_rows_go_page_by_page_and_newer_ones_stay() {
    let keyspace = Keyspace::fresh();
    let store = keyspace.connect().await;
    create(&store, 10).await;
    let at =
        |event_time: i64| move |key: u32| row(&key.to_be_bytes(), event_time, key.into(), b"body");
    let old: Vec<Upsert> = (0..2_500).map(at(-7)).collect();
    let new: Vec<Upsert> = (2_000..3_000).map(at(100)).collect();
    upsert(&store, &old).await;
    upsert(&store, &new).await;
    store
        .expire(EventTime::from_micros(110))
        .await
        .expect("expire");
    assert_eq!(scan(&store, TABLE, 1_000).await, newest_of(&new));
    // It was only just done.
    store
        .expire(EventTime::from_micros(111))
        .await
        .expect("expire");
    assert_eq!(scan(&store, TABLE, 1_000).await, newest_of(&new));
    let later = EventTime::from_micros(3_600_000_000);
    store.expire(later).await.expect("expire");
    assert!(scan(&store, TABLE, 1_000).await.is_empty());
}

#[tokio::test]
async fn tables_may_have_long_names_in_any_script() {
    let keyspace = Keyspace::fresh();
    let store = keyspace.connect().await;
    let long = format!("{}.{}_1-2", "p".repeat(63), "g".repeat(63));
    let names = [long.as_str(), "it's \"quoted\"", "Größe", "gr__e"];
    for (offset, name) in names.iter().enumerate() {
        store
            .create_table(name, TableConfig::default())
            .await
            .expect("create");
        let written = row(b"key", 1, offset as u64, name.as_bytes());
        store
            .upsert(name, std::slice::from_ref(&written))
            .await
            .expect("upsert");
    }
    for (offset, name) in names.iter().enumerate() {
        let written = row(b"key", 1, offset as u64, name.as_bytes());
        assert_eq!(
            scan(&store, name, 10).await,
            newest_of(&[written]),
            "{name}"
        );
    }
}

#[tokio::test]
async fn what_cannot_be_done_is_refused_by_name() {
    let keyspace = Keyspace::fresh();
    let store = keyspace.connect().await;
    create(&store, 0).await;
    let long = row(&[1; 65_536], 1, 0, b"x");
    let refused = store.upsert(TABLE, &[long]).await;
    assert!(matches!(
        refused,
        Err(Error::RowTooLarge {
            found_bytes: 65_536,
            ..
        })
    ));
    let cursor = Bytes::from_static(b"not a cursor");
    let refused = store.scan(TABLE, Some(cursor), 10).await;
    assert!(
        matches!(refused, Err(Error::InvalidCursor { found_bytes: 12 })),
        "{refused:?}"
    );
}

#[tokio::test]
async fn when_nobody_answers_the_contact_points_are_named() {
    // Port 1 is nobody's.
    let options = ScyllaOptions::new(vec!["127.0.0.1:1".to_owned()], "online");
    let error = ScyllaOnline::connect(options)
        .await
        .expect_err("nobody answers");
    assert!(error.retry(), "{error}");
    assert!(matches!(&error, Error::Connect { .. }), "{error}");
    assert!(error.to_string().contains("127.0.0.1:1"), "{error}");
}
