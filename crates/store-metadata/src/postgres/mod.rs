//! Metadata in one schema of a PostgreSQL database, shared by any number of processes.

#[expect(
    clippy::duplicate_mod,
    reason = "each backend compiles the shared statements for its own database"
)]
#[path = "../sql/mod.rs"]
mod sql;

use std::time::Duration;

use async_trait::async_trait;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{Postgres, Transaction};

use crate::{Change, Error, Lease, MetadataStore, Result};

const READERS_MAX: u32 = 8;
/// How long a transaction may go without a statement: a process that was stopped or cut off while it held
/// the lock must not stop all others.
const IDLE_IN_TRANSACTION_MS_MAX: u64 = 10_000;
/// How long a statement may take. Longer than a stalled writer may hold the lock.
const STATEMENT_MS_MAX: u64 = 20_000;
/// How long a call waits for a connection, also while the server restarts. Longer than a stalled writer
/// may hold the lock.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(15);

/// These say in PostgreSQL's lock table whose locks they are.
const WRITERS_LOCK: i32 = i32::from_be_bytes(*b"twin");
const RECONCILER_LOCK: i32 = i32::from_be_bytes(*b"reco");
/// The isolation is named because an administrator may have set another default.
const BEGIN_WRITE: &str = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE";
/// Advisory locks are shared by the whole database: the id of the table keeps its schemas apart.
const LOCK_WRITERS: &str =
    "SELECT pg_advisory_xact_lock($1, CAST(CAST('changes' AS regclass) AS int))";

const TRY_LOCK: &str =
    "SELECT pg_try_advisory_xact_lock($1, CAST(CAST('changes' AS regclass) AS int))";

const COUNT_HISTORIES: &str = "SELECT count(*) FROM pg_tables
     WHERE schemaname = current_schema() AND tablename = '_sqlx_migrations'";

// What `sql` is compiled for.
type Database = Postgres;
type Store = PostgresMetadata;

/// The backend of a deployment.
///
/// Every transaction that writes begins by taking one lock, which PostgreSQL releases only when what was
/// committed can be seen. So there is one writer at a time among all processes, and each of its statements
/// sees everything that was committed before (`READ COMMITTED`): writers are serializable. The sequences
/// of changes come in the order of commits, so a reader of the feed never passes one that is not there
/// yet. Readers wait for nobody.
///
/// A process has one connection that writes: a second would only wait for the first. Connections that
/// broke are replaced when they are next needed.
#[derive(Debug)]
pub struct PostgresMetadata {
    writer: PgPool,
    readers: PgPool,
}

impl PostgresMetadata {
    /// Connects to the database that `url` names and migrates the first schema of its search path.
    ///
    /// Waits a while for a server that is starting. What the url leaves out is taken from the variables
    /// and the password file that PostgreSQL's own programs read.
    pub async fn open(url: &str) -> Result<Self> {
        let options = parse(url)?;
        migrate(&options).await?;
        let options = options.options([("statement_timeout", STATEMENT_MS_MAX)]);
        let read_only = options
            .clone()
            .options([("default_transaction_read_only", "on")]);
        Ok(Self {
            writer: pool(1).connect_lazy_with(options),
            readers: pool(READERS_MAX).connect_lazy_with(read_only),
        })
    }

    /// Fails where [`open`](Self::open) would over the url itself.
    pub fn check(url: &str) -> Result<()> {
        parse(url).map(drop)
    }

    async fn write(&self) -> Result<Transaction<'static, Postgres>> {
        let mut transaction = self.writer.begin_with(BEGIN_WRITE).await?;
        sqlx::query(LOCK_WRITERS)
            .bind(WRITERS_LOCK)
            .execute(&mut *transaction)
            .await?;
        Ok(transaction)
    }

    /// For one statement, which is a transaction of its own.
    async fn read(&self) -> Result<PoolConnection<Postgres>> {
        Ok(self.readers.acquire().await?)
    }
}

#[async_trait]
impl MetadataStore for PostgresMetadata {
    async fn changes(&self, after: u64, limit: usize) -> Result<Vec<Change>> {
        sql::changes::since(&mut *self.read().await?, after, limit).await
    }

    async fn newest_change(&self) -> Result<u64> {
        sql::changes::newest(&mut *self.read().await?).await
    }

    async fn reconciler(&self) -> Result<Option<Box<dyn Lease>>> {
        let mut transaction = self.readers.begin().await?;
        let is_ours: bool = sqlx::query_scalar(TRY_LOCK)
            .bind(RECONCILER_LOCK)
            .fetch_one(&mut *transaction)
            .await?;
        Ok(is_ours.then(|| Box::new(Locked(transaction)) as Box<dyn Lease>))
    }

    async fn close(&self) -> Result<()> {
        self.readers.close().await;
        self.writer.close().await;
        Ok(())
    }
}

/// A transaction that holds a lock and does nothing else. The server ends it, and with it the lock, when
/// it hears nothing for [`IDLE_IN_TRANSACTION_MS_MAX`]; then the next statement fails.
struct Locked(Transaction<'static, Postgres>);

#[async_trait]
impl Lease for Locked {
    async fn renew(&mut self) -> Result<()> {
        sqlx::query("SELECT 1").execute(&mut *self.0).await?;
        Ok(())
    }

    async fn release(self: Box<Self>) -> Result<()> {
        Ok(self.0.rollback().await?)
    }
}

fn parse(url: &str) -> Result<PgConnectOptions> {
    let options: PgConnectOptions = url.parse().map_err(|source| Error::Open {
        place: "the url of the metadata".to_owned(),
        source,
    })?;
    let idle = (
        "idle_in_transaction_session_timeout",
        IDLE_IN_TRANSACTION_MS_MAX,
    );
    Ok(options.options([idle]))
}

/// Over a connection of its own: a migration may take longer than other statements, and one that fails
/// must not leave its lock to the next user of the connection. Processes that migrate at the same time
/// wait for each other on that lock, which sqlx takes.
async fn migrate(options: &PgConnectOptions) -> Result<()> {
    let place = place(options);
    let connected = pool(1).connect_with(options.clone()).await;
    let migrating = match connected {
        Ok(migrating) => migrating,
        Err(source) => return Err(Error::Open { place, source }),
    };
    let migrated =
        sql::history::migrate(&migrating, &place, COUNT_HISTORIES, |step| step.postgres).await;
    migrating.close().await;
    migrated
}

/// Where the metadata is, for messages: the url may hold a password.
fn place(options: &PgConnectOptions) -> String {
    let (user, host) = (options.get_username(), options.get_host());
    let database = options.get_database().unwrap_or(user);
    format!("postgres://{user}@{host}:{}/{database}", options.get_port())
}

fn pool(connections_max: u32) -> PgPoolOptions {
    PgPoolOptions::new()
        .max_connections(connections_max)
        .acquire_timeout(ACQUIRE_TIMEOUT)
}
