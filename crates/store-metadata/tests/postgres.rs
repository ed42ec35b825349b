//! The PostgreSQL backend keeps every guarantee of the port, also among processes, and outlives its
//! connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures::future::join_all;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tokio::runtime::Handle;
use twinfold_model::EventTime;
use twinfold_store_metadata::conformance::Place;
use twinfold_store_metadata::{
    Change, Error, GroupRecord, MetadataStore, NewSchema, PostgresMetadata, Result,
    metadata_conformance, open,
};
use twinfold_testkit::{eventually, group, servers};

const NOW: EventTime = EventTime::from_micros(1_700_000_000_000_000);
/// Longer than a broken connection takes to be noticed and replaced.
const DEADLINE: Duration = Duration::from_secs(30);

type Store = Arc<dyn MetadataStore>;

/// A schema of its own on the server, gone with the test.
struct Schema {
    name: String,
}

impl Schema {
    async fn fresh() -> Self {
        let mut connection = server().await;
        let name: String =
            sqlx::query_scalar("SELECT 'test_' || replace(gen_random_uuid()::text, '-', '')")
                .fetch_one(&mut connection)
                .await
                .expect("a name");
        connection.close().await.expect("closes");
        execute(format!("CREATE SCHEMA {name}")).await;
        Self { name }
    }

    fn url(&self) -> String {
        let (server, name) = (&servers().postgres_url, &self.name);
        format!("{server}?options=-c%20search_path%3D{name}&application_name={name}")
    }

    /// Ends every session of the schema's stores, as a restart of the server does; how many there were.
    async fn end_sessions(&self) -> i64 {
        let mut connection = server().await;
        let ended = sqlx::query_scalar(
            "SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity
             WHERE application_name = $1",
        )
        .bind(self.name.as_str())
        .fetch_one(&mut connection)
        .await;
        connection.close().await.expect("closes");
        ended.expect("sessions can be ended")
    }
}

impl Drop for Schema {
    fn drop(&mut self) {
        // What a failed test wrote stays, to be looked at.
        if !std::thread::panicking() {
            let dropping = execute(format!("DROP SCHEMA {} CASCADE", self.name));
            tokio::task::block_in_place(|| Handle::current().block_on(dropping));
        }
    }
}

#[async_trait]
impl Place for Schema {
    async fn open(&self) -> Store {
        let store = PostgresMetadata::open(&self.url()).await;
        Arc::new(store.expect("opens"))
    }
}

async fn server() -> PgConnection {
    let url = &servers().postgres_url;
    PgConnection::connect(url)
        .await
        .expect("the server answers")
}

async fn execute(sql: String) {
    let mut connection = server().await;
    let done = sqlx::query(AssertSqlSafe(sql))
        .execute(&mut connection)
        .await;
    done.expect("the statement works");
    connection.close().await.expect("closes");
}

async fn create(store: &Store, name: &str) -> Result<GroupRecord> {
    let group = group(name, &[("id", "bigint")], &["id"], None);
    let schema = NewSchema {
        guid: "schema".to_owned(),
        avro_json: "schema".to_owned(),
        metadata: None,
        registration: None,
    };
    store.create_group(&group, &schema, NOW).await
}

metadata_conformance!(Schema::fresh().await);

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_schema_of_a_newer_version_is_refused() {
    let schema = Schema::fresh().await;
    schema.open().await.close().await.expect("closes");
    execute(format!(
        r"INSERT INTO {}._sqlx_migrations (version, description, success, checksum, execution_time)
          VALUES (9000, 'later', TRUE, '\x00', 0)",
        schema.name
    ))
    .await;
    let error = open(&schema.url()).await.expect_err("newer");
    assert!(
        matches!(error, Error::NewerFormat { found: 9000, .. }),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn processes_migrate_once_and_race_for_an_id_with_one_winner() {
    let schema = Schema::fresh().await;
    let stores = join_all((0..4).map(|_| schema.open())).await;
    for round in 0..10 {
        let name = format!("round_{round}");
        let answers = join_all(stores.iter().map(|store| create(store, &name))).await;
        let created = answers.iter().flatten().count();
        assert_eq!(created, 1, "{answers:?}");
        let refused = |answer: &&Result<_>| matches!(answer, Err(Error::AlreadyExists { .. }));
        assert_eq!(answers.iter().filter(refused).count(), 3, "{answers:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_reader_of_the_feed_misses_nothing_that_others_write() {
    let schema = Schema::fresh().await;
    let reader = schema.open().await;
    let writers = join_all((0..4).map(|_| schema.open())).await;
    let finished = AtomicBool::new(false);
    let writing = async {
        let all = writers.iter().enumerate().map(write_groups);
        join_all(all).await;
        finished.store(true, Ordering::Release);
    };
    let ((), seen) = tokio::join!(writing, follow(&reader, &finished));
    assert_eq!(seen.len(), 4 * 25);
    assert!(
        seen.is_sorted_by(|a, b| a.sequence < b.sequence),
        "{seen:?}"
    );
    assert_eq!(seen, reader.changes(0, usize::MAX).await.expect("readable"));
}

async fn write_groups((writer, store): (usize, &Store)) {
    for number in 0..25 {
        let created = create(store, &format!("writer_{writer}_{number}")).await;
        created.expect("new");
    }
}

/// Reads the feed page by page until nothing more is written.
async fn follow(store: &Store, finished: &AtomicBool) -> Vec<Change> {
    let mut seen: Vec<Change> = Vec::new();
    loop {
        // Asked before the page is read: if all was written by then, an empty page is the end.
        let all_written = finished.load(Ordering::Acquire);
        let after = seen.last().map_or(0, |change| change.sequence);
        let page = store.changes(after, 7).await.expect("readable");
        if all_written && page.is_empty() {
            return seen;
        }
        seen.extend(page);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sessions_that_the_server_ends_are_replaced() {
    let schema = Schema::fresh().await;
    let store = schema.open().await;
    create(&store, "before").await.expect("new");
    store.groups(None).await.expect("readable");
    let ended = schema.end_sessions().await;
    assert!(ended >= 2, "a writer and a reader, found {ended}");

    eventually(DEADLINE, || async {
        works_or_says_retry(create(&store, "after").await)
    })
    .await;
    eventually(DEADLINE, || async {
        works_or_says_retry(store.groups(None).await)
    })
    .await;
    assert_eq!(store.groups(None).await.expect("readable").len(), 2);
}

fn works_or_says_retry<T>(answer: Result<T>) -> bool {
    if let Err(error) = &answer {
        assert!(error.retry(), "{error}");
    }
    answer.is_ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn calls_that_are_cut_off_say_that_a_retry_may_help() {
    let schema = Schema::fresh().await;
    let store = schema.open().await;
    let finished = AtomicBool::new(false);
    let calling = async {
        let mut created = 0;
        for number in 0_u32.. {
            if finished.load(Ordering::Acquire) {
                break;
            }
            // Another id each time: a call that was cut off may have done its work.
            let answer = create(&store, &format!("attempt_{number}")).await;
            created += usize::from(works_or_says_retry(answer));
        }
        created
    };
    let ending = async {
        for _ in 0..20 {
            schema.end_sessions().await;
        }
        finished.store(true, Ordering::Release);
    };
    let (created, ()) = tokio::join!(calling, ending);
    let stored = store.groups(None).await.expect("readable").len();
    assert!(stored >= created, "{created} were created, {stored} stored");
    create(&store, "after").await.expect("nothing is cut off");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_someone_has_to_mend_is_not_worth_a_retry() {
    let schema = Schema::fresh().await;
    let store = schema.open().await;
    execute(format!("DROP TABLE {}.changes", schema.name)).await;
    let error = create(&store, "a").await.expect_err("a table is gone");
    assert!(!error.retry(), "{error}");

    let (server, _) = servers().postgres_url.rsplit_once('/').expect("a database");
    let url = format!("{server}/nowhere?password=secret");
    let error = open(&url).await.expect_err("no such database");
    assert!(!error.retry(), "{error}");
    let message = error.to_string();
    assert!(message.contains("/nowhere cannot be opened: "), "{message}");
    assert!(!message.contains("secret"), "{message}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn processes_share_one_reconciler() {
    let schema = Schema::fresh().await;
    let (one, other) = (schema.open().await, schema.open().await);
    let held = one.reconciler().await.expect("answers").expect("free");
    assert!(other.reconciler().await.expect("answers").is_none());
    held.release().await.expect("held");
    let held = other.reconciler().await.expect("answers");
    held.expect("free").release().await.expect("held");
}
