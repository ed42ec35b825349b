//! The bare sides of the measurements of a deployment, each as a process of its own, so that its
//! processor time and its memory are its own. The last line says what it did.

use std::io::Write;
use std::time::Duration;

use twinfold_benches::bare::{READY, TABLE, cql, kafka};
use twinfold_benches::{Outcome, Stopwatch};
use twinfold_store_online::TableConfig;

/// Rows that our onlinefs writes at once.
const UPSERT_ROWS: usize = 4_096;
const POLL_MAX: Duration = Duration::from_millis(100);

#[tokio::main(flavor = "multi_thread")]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match arguments[..] {
        ["consume", servers, topic] => kafka::consume(servers, topic),
        ["insert", servers, topic, contact_points, keyspace] => {
            let rows = kafka::read_all(servers, topic);
            let rows = rows.iter().map(cql::row).collect();
            cql::insert(contact_points, keyspace, rows).await
        }
        ["upsert", servers, topic] => upsert(servers, topic).await,
        ["relay", servers, topic, contact_points, keyspace] => {
            relay(servers, topic, contact_points, keyspace).await
        }
        _ => panic!("consume, insert, upsert or relay with its arguments, found {arguments:?}"),
    };
    println!("{}", outcome.to_line());
}

/// Writes the rows of a topic into the embedded online store, as many at once as onlinefs does.
async fn upsert(servers: &str, topic: &str) -> Outcome {
    let rows = kafka::read_all(servers, topic);
    let folder = tempfile::tempdir().expect("a folder");
    let url = format!("file://{}", folder.path().display());
    let store = twinfold_store_online::open(&url).await.expect("a store");
    let created = store.create_table(TABLE, TableConfig::default()).await;
    created.expect("a table");
    let watch = Stopwatch::start();
    for rows in rows.chunks(UPSERT_ROWS) {
        store.upsert(TABLE, rows).await.expect("upsert");
    }
    store.flush().await.expect("flush");
    let outcome = watch.stop(rows.len());
    store.close().await.expect("close");
    outcome
}

/// What somebody would write by hand: everything that has come goes into the table, then the next. Works
/// until it is killed.
async fn relay(servers: &str, topic: &str, contact_points: &str, keyspace: &str) -> ! {
    let table = cql::Table::create(contact_points, keyspace, TABLE).await;
    let source = kafka::Source::open(servers, topic, kafka::Start::End);
    println!("{READY}");
    std::io::stdout().flush().expect("somebody listens");
    loop {
        let mut patience = POLL_MAX;
        let mut rows = Vec::new();
        while rows.len() < UPSERT_ROWS
            && let Some(message) = source.poll(patience)
        {
            rows.push(cql::row(&kafka::upsert(&message)));
            patience = Duration::ZERO;
        }
        table.write_all(&rows).await;
    }
}
