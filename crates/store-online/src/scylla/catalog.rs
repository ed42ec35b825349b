//! Which tables there are: their names on the servers, their configuration, and changing both.

use std::time::Duration;

use ::scylla::client::session::Session;
use ::scylla::statement::prepared::PreparedStatement;
use ::scylla::statement::{Consistency, Statement};
use twinfold_model::Ttl;
use xxhash_rust::xxh3::xxh3_64;

use super::failure::Failure;
use super::options::ScyllaOptions;
use crate::{Error, Result};

const LOOK_UP: &str = "it cannot be looked up";

/// What is known of a table besides its rows. It is kept in the table's comment, so that every process
/// finds it and a person can read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub name: String,
    pub ttl: Option<Ttl>,
}

/// A comment that does not begin so belongs to a table of somebody else.
const COMMENT_START: &str = "twinfold online table: ttl_us=";

impl Entry {
    fn comment(&self) -> String {
        let ttl_us = self.ttl.map_or(0, Ttl::micros);
        format!("{COMMENT_START}{ttl_us} name={}", self.name)
    }

    fn parse(comment: &str) -> Option<Self> {
        let (ttl_us, name) = comment.strip_prefix(COMMENT_START)?.split_once(" name=")?;
        Some(Self {
            name: name.to_owned(),
            ttl: Ttl::from_micros(ttl_us.parse().ok()?),
        })
    }
}

/// Cassandra's limit.
const SERVER_NAME_BYTES_MAX: usize = 48;
const HASH_DIGITS: usize = 16;

/// The name of a table on the servers, which know only letters, digits and `_`: the beginning of its
/// own, for people, and a hash of all of it.
pub(super) fn server_name(table: &str) -> String {
    let readable_max = SERVER_NAME_BYTES_MAX - HASH_DIGITS - 1;
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let word = |byte: u8| if is_word(byte) { char::from(byte) } else { '_' };
    let readable: String = table.bytes().take(readable_max).map(word).collect();
    format!("{readable}_{:016x}", xxh3_64(table.as_bytes()))
}

/// The tables of a keyspace.
#[derive(Debug)]
pub(super) struct Catalog {
    keyspace: String,
    gc_grace_s: u32,
    schema_timeout: Duration,
    one: PreparedStatement,
    all: PreparedStatement,
}

impl Catalog {
    /// Makes the keyspace when it is not there. Who finds one needs no right to make it.
    pub async fn open(session: &Session, options: &ScyllaOptions) -> Result<Self, Failure> {
        let keyspace = &options.keyspace;
        if session.get_cluster_state().get_keyspace(keyspace).is_none() {
            let replication = replication(options);
            let statement = format!(
                "CREATE KEYSPACE IF NOT EXISTS \"{keyspace}\" WITH replication = {replication}"
            );
            change(session, statement, options.schema_timeout()).await?;
        }
        let comments = "SELECT comment FROM system_schema.tables WHERE keyspace_name = ?";
        Ok(Self {
            keyspace: keyspace.clone(),
            gc_grace_s: options.gc_grace_s,
            schema_timeout: options.schema_timeout(),
            one: local(session, format!("{comments} AND table_name = ?")).await?,
            all: local(session, comments.to_owned()).await?,
        })
    }

    /// `None` when there is no such table.
    pub async fn find(&self, session: &Session, table: &str) -> Result<Option<Entry>> {
        let comment = self.comment(session, table).await;
        let Some(comment) = comment.map_err(|failure| failure.of(LOOK_UP, table))? else {
            return Ok(None);
        };
        match Entry::parse(&comment) {
            Some(entry) if entry.name == table => Ok(Some(entry)),
            _ => Err(Error::TableTaken {
                table: table.to_owned(),
                found: format!("{}.{}", self.keyspace, server_name(table)),
            }),
        }
    }

    async fn comment(&self, session: &Session, table: &str) -> Result<Option<String>, Failure> {
        let values = (self.keyspace.as_str(), server_name(table));
        let answer = session.execute_unpaged(&self.one, values).await?;
        let rows = answer.into_rows_result().map_err(Failure::unreadable)?;
        let row = rows.maybe_first_row::<(Option<String>,)>();
        let row = row.map_err(Failure::unreadable)?;
        Ok(row.map(|(comment,)| comment.unwrap_or_default()))
    }

    /// All tables that are ours.
    pub async fn all(&self, session: &Session) -> Result<Vec<Entry>, Failure> {
        let values = (self.keyspace.as_str(),);
        let answer = session.execute_unpaged(&self.all, values).await?;
        let rows = answer.into_rows_result().map_err(Failure::unreadable)?;
        let comments = rows.rows::<(Option<String>,)>();
        let mut entries = Vec::new();
        for row in comments.map_err(Failure::unreadable)? {
            let (comment,) = row.map_err(Failure::unreadable)?;
            entries.extend(comment.as_deref().and_then(Entry::parse));
        }
        Ok(entries)
    }

    pub async fn create(&self, session: &Session, entry: &Entry) -> Result<(), Failure> {
        let statement = format!(
            "CREATE TABLE IF NOT EXISTS {} (key blob PRIMARY KEY, value blob) \
             WITH comment = {} AND gc_grace_seconds = {}",
            self.path(&entry.name),
            literal(&entry.comment()),
            self.gc_grace_s,
        );
        change(session, statement, self.schema_timeout).await
    }

    /// Leaves every other property alone: they are the operator's.
    pub async fn configure(&self, session: &Session, entry: &Entry) -> Result<(), Failure> {
        let (path, comment) = (self.path(&entry.name), literal(&entry.comment()));
        let statement = format!("ALTER TABLE {path} WITH comment = {comment}");
        change(session, statement, self.schema_timeout).await
    }

    pub async fn remove(&self, session: &Session, table: &str) -> Result<(), Failure> {
        let statement = format!("DROP TABLE IF EXISTS {}", self.path(table));
        change(session, statement, self.schema_timeout).await
    }

    fn path(&self, table: &str) -> String {
        path(&self.keyspace, table)
    }
}

/// How statements name a table. In quotes, or the servers would make capitals small.
pub(super) fn path(keyspace: &str, table: &str) -> String {
    format!("\"{keyspace}\".\"{}\"", server_name(table))
}

fn replication(options: &ScyllaOptions) -> String {
    let copies = options.replication;
    match &options.datacenter {
        None => format!("{{'class': 'SimpleStrategy', 'replication_factor': {copies}}}"),
        Some(datacenter) => {
            let datacenter = literal(datacenter);
            format!("{{'class': 'NetworkTopologyStrategy', {datacenter}: {copies}}}")
        }
    }
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Changes the schema. Returns when all nodes know of it.
async fn change(session: &Session, statement: String, timeout: Duration) -> Result<(), Failure> {
    let mut statement = Statement::new(statement);
    statement.set_is_idempotent(true);
    statement.set_request_timeout(Some(timeout));
    session.query_unpaged(statement, ()).await?;
    Ok(())
}

/// A statement on tables that every node has for itself.
async fn local(session: &Session, statement: String) -> Result<PreparedStatement, Failure> {
    let mut statement = session.prepare(statement).await?;
    statement.set_is_idempotent(true);
    statement.set_consistency(Consistency::One);
    Ok(statement)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_legal_on_the_servers_and_do_not_change() {
        assert_eq!(
            server_name("shop.orders_1"),
            "shop_orders_1_e3a318e336638584"
        );
        let long = format!("{}.{}_1-2", "p".repeat(63), "g".repeat(63));
        for table in ["", "ünïcode", "\"; DROP", &long] {
            let name = server_name(table);
            assert!(name.len() <= SERVER_NAME_BYTES_MAX, "{name}");
            assert!(
                name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'),
                "{name}"
            );
        }
        assert_ne!(server_name(&long), server_name(&format!("{long}0")));
        assert_ne!(server_name("a.b"), server_name("a_b"));
    }

    #[test]
    fn an_entry_reads_back_from_its_comment() {
        for (name, ttl_us) in [("shop.orders_1", 0), ("it's name=x", 1), ("", i64::MAX)] {
            let entry = Entry {
                name: name.to_owned(),
                ttl: Ttl::from_micros(ttl_us),
            };
            assert_eq!(Entry::parse(&entry.comment()), Some(entry));
        }
        for foreign in ["", "orders", "twinfold online table: ttl_us=x name=a"] {
            assert_eq!(Entry::parse(foreign), None);
        }
    }

    #[test]
    fn a_keyspace_lies_in_the_datacenter_that_is_named() {
        let mut options = ScyllaOptions::new(vec!["a".to_owned()], "online");
        let simple = "{'class': 'SimpleStrategy', 'replication_factor': 3}";
        assert_eq!(replication(&options), simple);
        options.datacenter = Some("dc'1".to_owned());
        let named = "{'class': 'NetworkTopologyStrategy', 'dc''1': 3}";
        assert_eq!(replication(&options), named);
    }
}
