use std::fmt;
use std::num::NonZeroUsize;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use ::scylla::client::PoolSize;

use crate::{Error, Result};

/// How to reach a cluster, and how its tables are made and used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScyllaOptions {
    /// `host:port` of some nodes; they name the others. Port 9042 where there is none.
    pub contact_points: Vec<String>,
    /// Where the tables are. It is made when it is missing, with the next two settings.
    pub keyspace: String,
    /// Copies of every row; in the datacenter when one is named.
    pub replication: u32,
    /// The datacenter to work in. Without one all nodes are taken for neighbours.
    pub datacenter: Option<String>,
    pub credentials: Option<Credentials>,
    /// For reads and for writes. Below a quorum a reader may miss what has just been written.
    pub consistency: Consistency,
    pub batch_rows_max: usize,
    /// Stock servers refuse batches above 50 KiB (Cassandra) or 1 MiB (ScyllaDB). A larger row travels
    /// alone.
    pub batch_bytes_max: usize,
    /// Connections to each shard of a node; a node of Cassandra has one. Each is served by a task of its own
    /// here, and on Cassandra by a thread of its own.
    pub connections_per_shard: usize,
    /// Requests that write at the same time, of all callers together.
    pub batches_in_flight_max: usize,
    /// Keys of one request that reads. Stock ScyllaDB refuses more than 100.
    pub read_keys_max: usize,
    /// Requests at the same time, for each call that reads.
    pub reads_in_flight_max: usize,
    /// How long the servers remember a delete, for tables that are made from now on.
    pub gc_grace_s: u32,
    pub connect_timeout_ms: u64,
    pub request_timeout_ms: u64,
    /// For a change of the schema, and for all nodes to agree on it.
    pub schema_timeout_ms: u64,
}

#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    pub user: String,
    pub password: String,
}

impl fmt::Debug for Credentials {
    /// Leaves the password out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut credentials = f.debug_struct("Credentials");
        credentials.field("user", &self.user);
        credentials.finish_non_exhaustive()
    }
}

/// How many copies have to answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consistency {
    One,
    LocalOne,
    Quorum,
    LocalQuorum,
    All,
}

const KEYSPACE_BYTES_MAX: usize = 48;
/// A batch counts its statements with 16 bits.
const BATCH_ROWS_LIMIT: u64 = 65_535;
const BATCH_BYTES_LIMIT: u64 = 16 << 20;
const READ_KEYS_LIMIT: u64 = 10_000;
const IN_FLIGHT_LIMIT: u64 = 10_000;
const CONNECTIONS_LIMIT: u64 = 64;
const HOUR_MS: u64 = 3_600_000;

impl ScyllaOptions {
    pub fn new(contact_points: Vec<String>, keyspace: impl Into<String>) -> Self {
        Self {
            contact_points,
            keyspace: keyspace.into(),
            replication: 3,
            datacenter: None,
            credentials: None,
            consistency: Consistency::LocalQuorum,
            batch_rows_max: 100,
            batch_bytes_max: 48 << 10,
            connections_per_shard: 2,
            batches_in_flight_max: 32,
            read_keys_max: 100,
            reads_in_flight_max: 16,
            gc_grace_s: 864_000,
            connect_timeout_ms: 5_000,
            request_timeout_ms: 15_000,
            schema_timeout_ms: 60_000,
        }
    }

    /// Reads `user:password@host:port,host:port/keyspace?setting=value&…`: what stands behind
    /// `scylla://`. User and password may be left out, and are percent-encoded; settings have the names
    /// of the fields.
    pub fn parse(rest: &str) -> Result<Self> {
        let (place, settings) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, keyspace) = place.split_once('/').unwrap_or((place, ""));
        let (credentials, contact_points) = match authority.rsplit_once('@') {
            Some((credentials, contact_points)) => (Some(credentials), contact_points),
            None => (None, authority),
        };
        let contact_points = contact_points.split(',').map(str::to_owned).collect();
        let mut options = Self::new(contact_points, keyspace.trim_end_matches('/'));
        options.credentials = credentials.map(Credentials::parse).transpose()?;
        for setting in settings.split('&').filter(|setting| !setting.is_empty()) {
            let (name, value) = setting.split_once('=').unwrap_or((setting, ""));
            options.set(name, value)?;
        }
        options.check()?;
        Ok(options)
    }

    fn set(&mut self, name: &str, value: &str) -> Result<()> {
        match name {
            "replication" => self.replication = number(name, value)?,
            "datacenter" => self.datacenter = Some(value.to_owned()),
            "consistency" => self.consistency = Consistency::parse(value)?,
            "batch_rows_max" => self.batch_rows_max = number(name, value)?,
            "batch_bytes_max" => self.batch_bytes_max = number(name, value)?,
            "connections_per_shard" => self.connections_per_shard = number(name, value)?,
            "batches_in_flight_max" => self.batches_in_flight_max = number(name, value)?,
            "read_keys_max" => self.read_keys_max = number(name, value)?,
            "reads_in_flight_max" => self.reads_in_flight_max = number(name, value)?,
            "gc_grace_s" => self.gc_grace_s = number(name, value)?,
            "connect_timeout_ms" => self.connect_timeout_ms = number(name, value)?,
            "request_timeout_ms" => self.request_timeout_ms = number(name, value)?,
            "schema_timeout_ms" => self.schema_timeout_ms = number(name, value)?,
            _ => {
                let wanted = "replication, datacenter, consistency, batch_rows_max, batch_bytes_max, \
                     connections_per_shard, batches_in_flight_max, read_keys_max, \
                     reads_in_flight_max, gc_grace_s, connect_timeout_ms, request_timeout_ms or \
                     schema_timeout_ms";
                return Err(invalid("setting", name, wanted));
            }
        }
        Ok(())
    }

    /// Finds what cannot work before anything is sent.
    pub(super) fn check(&self) -> Result<()> {
        if self.contact_points.is_empty() || self.contact_points.iter().any(String::is_empty) {
            let found = self.contact_points.join(",");
            return Err(invalid("contact_points", &found, "host:port,host:port"));
        }
        let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        if !(1..=KEYSPACE_BYTES_MAX).contains(&self.keyspace.len())
            || !self.keyspace.bytes().all(is_word)
        {
            let wanted = format!("1 to {KEYSPACE_BYTES_MAX} of a-z, A-Z, 0-9 and _");
            return Err(invalid("keyspace", &self.keyspace, &wanted));
        }
        if self.datacenter.as_deref() == Some("") {
            return Err(invalid("datacenter", "", "the name of a datacenter"));
        }
        for (setting, found, range) in self.numbers() {
            if !range.contains(&found) {
                let wanted = format!("{} to {}", range.start(), range.end());
                return Err(invalid(setting, &found.to_string(), &wanted));
            }
        }
        Ok(())
    }

    /// Settings that are numbers: name, value, what it may be.
    fn numbers(&self) -> [(&'static str, u64, RangeInclusive<u64>); 11] {
        [
            ("replication", u64::from(self.replication), 1..=100),
            (
                "batch_rows_max",
                self.batch_rows_max as u64,
                1..=BATCH_ROWS_LIMIT,
            ),
            (
                "batch_bytes_max",
                self.batch_bytes_max as u64,
                1..=BATCH_BYTES_LIMIT,
            ),
            (
                "connections_per_shard",
                self.connections_per_shard as u64,
                1..=CONNECTIONS_LIMIT,
            ),
            (
                "batches_in_flight_max",
                self.batches_in_flight_max as u64,
                1..=IN_FLIGHT_LIMIT,
            ),
            (
                "read_keys_max",
                self.read_keys_max as u64,
                1..=READ_KEYS_LIMIT,
            ),
            (
                "reads_in_flight_max",
                self.reads_in_flight_max as u64,
                1..=IN_FLIGHT_LIMIT,
            ),
            (
                "gc_grace_s",
                u64::from(self.gc_grace_s),
                0..=i32::MAX as u64,
            ),
            ("connect_timeout_ms", self.connect_timeout_ms, 1..=HOUR_MS),
            ("request_timeout_ms", self.request_timeout_ms, 1..=HOUR_MS),
            ("schema_timeout_ms", self.schema_timeout_ms, 1..=HOUR_MS),
        ]
    }

    pub(super) fn pool_size(&self) -> PoolSize {
        // `check` has refused 0.
        let connections = NonZeroUsize::new(self.connections_per_shard);
        PoolSize::PerShard(connections.unwrap_or(NonZeroUsize::MIN))
    }

    pub(super) fn connect_timeout(&self) -> Duration {
        Duration::from_millis(self.connect_timeout_ms)
    }

    pub(super) fn request_timeout(&self) -> Duration {
        Duration::from_millis(self.request_timeout_ms)
    }

    pub(super) fn schema_timeout(&self) -> Duration {
        Duration::from_millis(self.schema_timeout_ms)
    }
}

impl Credentials {
    fn parse(found: &str) -> Result<Self> {
        let decoded = found.split_once(':').and_then(|(user, password)| {
            Some(Self {
                user: percent_decoded(user)?,
                password: percent_decoded(password)?,
            })
        });
        // What was found is a secret.
        decoded.ok_or_else(|| invalid("credentials", "…", "user:password, percent-encoded"))
    }
}

impl Consistency {
    fn parse(found: &str) -> Result<Self> {
        match found {
            "one" => Ok(Self::One),
            "local_one" => Ok(Self::LocalOne),
            "quorum" => Ok(Self::Quorum),
            "local_quorum" => Ok(Self::LocalQuorum),
            "all" => Ok(Self::All),
            _ => {
                let wanted = "one, local_one, quorum, local_quorum or all";
                Err(invalid("consistency", found, wanted))
            }
        }
    }
}

impl From<Consistency> for ::scylla::statement::Consistency {
    fn from(consistency: Consistency) -> Self {
        match consistency {
            Consistency::One => Self::One,
            Consistency::LocalOne => Self::LocalOne,
            Consistency::Quorum => Self::Quorum,
            Consistency::LocalQuorum => Self::LocalQuorum,
            Consistency::All => Self::All,
        }
    }
}

fn number<T: FromStr>(setting: &str, found: &str) -> Result<T> {
    found
        .parse()
        .map_err(|_| invalid(setting, found, "a number"))
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut parts = text.split('%');
    let mut bytes = parts.next()?.as_bytes().to_vec();
    for part in parts {
        let (code, rest) = part.split_at_checked(2)?;
        bytes.push(u8::from_str_radix(code, 16).ok()?);
        bytes.extend_from_slice(rest.as_bytes());
    }
    String::from_utf8(bytes).ok()
}

fn invalid(setting: &str, found: &str, wanted: &str) -> Error {
    Error::InvalidSetting {
        setting: setting.to_owned(),
        found: found.to_owned(),
        wanted: wanted.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_says_where_and_how() {
        let options = ScyllaOptions::parse(
            "feature%40store:p%3Aw%2f%C3%A4@a:9042,b/online?replication=1&datacenter=dc1\
             &consistency=quorum&batch_bytes_max=1000&gc_grace_s=60&connections_per_shard=3",
        );
        let options = options.expect("valid");
        assert_eq!(options.contact_points, ["a:9042", "b"]);
        assert_eq!(options.keyspace, "online");
        let credentials = options.credentials.clone().expect("credentials");
        assert_eq!(credentials.user, "feature@store");
        assert_eq!(credentials.password, "p:w/ä");
        assert_eq!(options.replication, 1);
        assert_eq!(options.datacenter.as_deref(), Some("dc1"));
        assert_eq!(options.consistency, Consistency::Quorum);
        assert_eq!((options.batch_bytes_max, options.gc_grace_s), (1_000, 60));
        assert_eq!(options.connections_per_shard, 3);
        assert!(!format!("{options:?}").contains("p:w"));
        let plain = ScyllaOptions::parse("[::1]:9042/online/").expect("valid");
        let contact_points = vec!["[::1]:9042".to_owned()];
        assert_eq!(plain, ScyllaOptions::new(contact_points, "online"));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (url, wanted) in [
            ("", "`contact_points`"),
            ("a:1,/ks", "`contact_points`: found `a:1,`"),
            ("a:1", "`keyspace`: found ``"),
            ("a:1/my-ks", "`keyspace`: found `my-ks`"),
            ("user@a:1/ks", "user:password"),
            ("user:%2@a:1/ks", "percent-encoded"),
            ("a:1/ks?speed=high", "`setting`: found `speed`"),
            ("a:1/ks?datacenter=", "`datacenter`: found ``"),
            ("a:1/ks?consistency=two", "`two`, wanted one, local_one"),
            ("a:1/ks?batch_rows_max=many", "`many`, wanted a number"),
            ("a:1/ks?batch_rows_max=0", "`0`, wanted 1 to 65535"),
            ("a:1/ks?batch_rows_max=65536", "`batch_rows_max`"),
            ("a:1/ks?connections_per_shard=0", "`0`, wanted 1 to 64"),
            (
                "a:1/ks?connect_timeout_ms=-1",
                "`connect_timeout_ms`: found `-1`",
            ),
            ("a:1/ks?gc_grace_s=3000000000", "`gc_grace_s`"),
        ] {
            let error = ScyllaOptions::parse(url).expect_err(url).to_string();
            assert!(error.contains(wanted), "{url}: {error}");
        }
        let secret = ScyllaOptions::parse("user:hush%@a:1/ks").expect_err("no code");
        assert!(!secret.to_string().contains("hush"), "{secret}");
    }
}
