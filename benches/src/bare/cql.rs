//! Writing rows with the CQL driver alone, in the arrangement that suits it best.

use std::num::NonZeroUsize;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use futures::StreamExt;
use scylla::client::PoolSize;
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use scylla::statement::batch::{Batch, BatchStatement, BatchType};
use scylla::statement::prepared::PreparedStatement;
use tokio::task::JoinSet;
use twinfold_store_online::Upsert;
use twinfold_wire::row::encode_value;

use crate::{Outcome, Stopwatch};

/// Below what stock servers take in one batch.
const REQUEST_BYTES_MAX: usize = 48 << 10;
/// What a request has of each row besides key and value.
const ROW_BYTES: usize = 64;
const BATCH_ROWS_MAX: usize = 100;
const RELAY_IN_FLIGHT: usize = 32;

/// Timestamp, value and key, as the statement wants them.
pub type Row = (i64, Bytes, Bytes);

/// The bytes that our store would write.
pub fn row(upsert: &Upsert) -> Row {
    let mut value = Vec::new();
    encode_value(
        upsert.version.offset,
        upsert.schema,
        &upsert.body,
        &mut value,
    );
    let timestamp = upsert.version.event_time.micros();
    (timestamp, value.into(), upsert.key.clone())
}

/// How rows travel.
#[derive(Debug, Clone, Copy)]
struct Arrangement {
    /// To each node.
    connections: usize,
    rows_max: usize,
    in_flight: usize,
}

/// Rows one by one and in batches.
#[rustfmt::skip]
const ARRANGEMENTS: [Arrangement; 7] = [
    Arrangement { connections: 1, rows_max: 1, in_flight: 256 },
    Arrangement { connections: 1, rows_max: 1, in_flight: 1_024 },
    Arrangement { connections: 4, rows_max: 1, in_flight: 256 },
    Arrangement { connections: 1, rows_max: BATCH_ROWS_MAX, in_flight: 16 },
    Arrangement { connections: 1, rows_max: BATCH_ROWS_MAX, in_flight: 32 },
    Arrangement { connections: 4, rows_max: BATCH_ROWS_MAX, in_flight: 16 },
    Arrangement { connections: 4, rows_max: BATCH_ROWS_MAX, in_flight: 32 },
];

/// A table of keys and values, and its statements.
pub struct Table {
    session: Session,
    path: String,
    put: PreparedStatement,
    read: PreparedStatement,
}

impl Table {
    /// Makes a new table of that name.
    pub async fn create(contact_points: &str, keyspace: &str, name: &str) -> Self {
        let session = connect(contact_points, 1).await;
        let path = format!("\"{keyspace}\".\"{name}\"");
        change(&session, format!("DROP TABLE IF EXISTS {path}")).await;
        let columns = "(key blob PRIMARY KEY, value blob)";
        change(&session, format!("CREATE TABLE {path} {columns}")).await;
        Self::prepare(session, path).await
    }

    pub async fn open(contact_points: &str, keyspace: &str, name: &str) -> Self {
        let session = connect(contact_points, 1).await;
        Self::prepare(session, format!("\"{keyspace}\".\"{name}\"")).await
    }

    /// Opens the one table of a keyspace that is not [`TABLE`](super::TABLE).
    pub async fn other(contact_points: &str, keyspace: &str) -> Self {
        let session = connect(contact_points, 1).await;
        let statement = "SELECT table_name FROM system_schema.tables WHERE keyspace_name = ?";
        let answer = session.query_unpaged(statement, (keyspace,)).await;
        let answer = answer.expect("the tables of the keyspace");
        let rows = answer.into_rows_result().expect("rows");
        let names = rows.rows::<(String,)>().expect("names");
        let names = names.map(|row| row.expect("a name").0);
        let others: Vec<String> = names.filter(|name| name != super::TABLE).collect();
        let [name] = &others[..] else {
            panic!("wanted one table in {keyspace}, found {others:?}");
        };
        Self::prepare(session, format!("\"{keyspace}\".\"{name}\"")).await
    }

    /// The same table through other connections.
    async fn again(&self, contact_points: &str, connections: usize) -> Self {
        let session = connect(contact_points, connections).await;
        Self::prepare(session, self.path.clone()).await
    }

    async fn prepare(session: Session, path: String) -> Self {
        let put = format!("UPDATE {path} USING TIMESTAMP ? SET value = ? WHERE key = ?");
        let read = format!("SELECT key FROM {path} WHERE key IN ?");
        Self {
            put: session.prepare(put).await.expect("a statement"),
            read: session.prepare(read).await.expect("a statement"),
            session,
            path,
        }
    }

    pub async fn remove(self) {
        change(&self.session, format!("DROP TABLE {}", self.path)).await;
    }

    /// Which of these keys are there.
    pub async fn present(&self, keys: &[Bytes]) -> Vec<Bytes> {
        let answer = self.session.execute_unpaged(&self.read, (keys,)).await;
        let rows = answer.expect("read").into_rows_result().expect("rows");
        let found = rows.rows::<(Bytes,)>().expect("keys");
        found.map(|row| row.expect("a key").0).collect()
    }

    /// One request.
    async fn write(&self, rows: &[Row]) {
        let written = if let [row] = rows {
            self.session.execute_unpaged(&self.put, row).await
        } else {
            let statement = BatchStatement::from(self.put.clone());
            let statements = vec![statement; rows.len()];
            let batch = Batch::new_with_statements(BatchType::Unlogged, statements);
            self.session.batch(&batch, rows).await
        };
        written.expect("rows are written");
    }

    /// Writes rows in batches; returns when all are there.
    pub async fn write_all(&self, rows: &[Row]) {
        let requests = requests(rows, BATCH_ROWS_MAX);
        let writes = requests
            .into_iter()
            .map(|request| self.write(&rows[request]));
        let writes = futures::stream::iter(writes).buffer_unordered(RELAY_IN_FLIGHT);
        writes.for_each(|()| async {}).await;
    }
}

/// Writes all rows in the best of the arrangements, which a tenth of the rows shows.
pub async fn insert(contact_points: &str, keyspace: &str, rows: Vec<Row>) -> Outcome {
    let rows: Arc<[Row]> = rows.into();
    let table = Table::create(contact_points, keyspace, super::TABLE).await;
    let mut best: Option<(f64, Arrangement)> = None;
    for arrangement in ARRANGEMENTS {
        let through = table.again(contact_points, arrangement.connections).await;
        let outcome = measure(through, &rows, rows.len() / 10, arrangement).await;
        if best.is_none_or(|(rate, _)| outcome.rate > rate) {
            best = Some((outcome.rate, arrangement));
        }
    }
    let (_, arrangement) = best.expect("there are arrangements");
    println!("bare inserts: {arrangement:?}");
    let through = table.again(contact_points, arrangement.connections).await;
    let outcome = measure(through, &rows, rows.len(), arrangement).await;
    table.remove().await;
    outcome
}

/// Writes the first `count` rows. Every request that may be in flight has a task of its own.
async fn measure(
    table: Table,
    rows: &Arc<[Row]>,
    count: usize,
    arrangement: Arrangement,
) -> Outcome {
    let table = Arc::new(table);
    let requests: Arc<[_]> = requests(&rows[..count], arrangement.rows_max).into();
    let next = Arc::new(AtomicUsize::new(0));
    let mut workers = JoinSet::new();
    let watch = Stopwatch::start();
    for _ in 0..arrangement.in_flight {
        let (table, rows) = (Arc::clone(&table), Arc::clone(rows));
        let (requests, next) = (Arc::clone(&requests), Arc::clone(&next));
        workers.spawn(async move {
            while let Some(request) = requests.get(next.fetch_add(1, Ordering::Relaxed)) {
                table.write(&rows[request.clone()]).await;
            }
        });
    }
    while let Some(ended) = workers.join_next().await {
        ended.expect("a worker");
    }
    watch.stop(count)
}

/// Which rows travel together.
fn requests(rows: &[Row], rows_max: usize) -> Vec<Range<usize>> {
    let mut requests: Vec<Range<usize>> = Vec::new();
    let mut filled = 0;
    for (place, (_, value, key)) in rows.iter().enumerate() {
        let bytes = value.len() + key.len() + ROW_BYTES;
        match requests.last_mut() {
            Some(last) if last.len() < rows_max && filled + bytes <= REQUEST_BYTES_MAX => {
                last.end = place + 1;
                filled += bytes;
            }
            _ => {
                requests.push(place..place + 1);
                filled = bytes;
            }
        }
    }
    requests
}

async fn connect(contact_points: &str, connections: usize) -> Session {
    let connections = NonZeroUsize::new(connections).expect("at least one");
    let builder = SessionBuilder::new()
        .known_nodes(contact_points.split(','))
        .pool_size(PoolSize::PerHost(connections));
    // Boxed because the driver's future is large.
    let session = Box::pin(builder.build()).await;
    session.expect("the servers answer")
}

async fn change(session: &Session, statement: String) {
    let changed = session.query_unpaged(statement, ()).await;
    changed.expect("the schema is changed");
}
