use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use serde::Deserialize;

/// Names the file in which `integration-tests/servers` says how its servers are reached.
const VARIABLE: &str = "TWINFOLD_TEST_SERVERS";

/// How to reach the real servers that tests run against.
#[derive(Debug, Clone)]
pub struct Servers {
    /// `host:port`, several with commas between.
    pub kafka_bootstrap_servers: String,
    /// One for each broker.
    pub kafka_proxied: Vec<Proxied>,
    /// `host:port`, several with commas between.
    pub cassandra_contact_points: String,
    /// `postgres://user@host:port/database`.
    pub postgres_url: String,
    pub s3: S3,
    /// Where Toxiproxy takes orders.
    pub toxiproxy_url: String,
}

/// A place for a proxy: brokers tell clients to come to `listen`, and are found at `upstream`.
#[derive(Debug, Clone, Deserialize)]
pub struct Proxied {
    pub listen: String,
    pub upstream: String,
}

impl Servers {
    /// What the file says that `integration-tests/servers` has written.
    ///
    /// # Panics
    ///
    /// When it is not there, or says something else.
    pub fn read(path: &Path) -> Self {
        let read = std::fs::read_to_string(path).map_err(|error| error.to_string());
        let read = read.and_then(|text| {
            serde_json::from_str::<File>(&text).map_err(|error| error.to_string())
        });
        let settings = match read {
            Ok(file) => file.settings,
            Err(error) => panic!("{}: {error}; `make servers` writes it", path.display()),
        };
        Self {
            kafka_bootstrap_servers: settings.kafka.bootstrap_servers,
            kafka_proxied: settings.kafka.proxied,
            cassandra_contact_points: settings.cassandra.contact_points,
            postgres_url: settings.postgres.url,
            s3: settings.s3,
            toxiproxy_url: settings.toxiproxy.url,
        }
    }

    /// Makes a schema of its own in PostgreSQL; the URL of the database with that schema.
    pub fn postgres_schema(&self, name: &str) -> String {
        let made = Command::new("psql")
            .args([self.postgres_url.as_str(), "-qc"])
            .arg(format!("CREATE SCHEMA {name}"))
            .status();
        assert!(
            made.is_ok_and(|status| status.success()),
            "no schema {name}"
        );
        format!("{}?options=-c%20search_path%3D{name}", self.postgres_url)
    }
}

#[derive(Debug, Clone, Deserialize)]
pub struct S3 {
    pub endpoint: String,
    pub bucket: String,
    pub region: String,
    pub access_key_id: String,
    pub secret_access_key: String,
}

impl S3 {
    /// The URL of everything below a prefix of the bucket. It holds the credentials, which only those of a
    /// test may.
    pub fn url(&self, prefix: &str) -> String {
        format!(
            "s3://{}/{prefix}?endpoint={}&region={}&access_key_id={}&secret_access_key={}",
            self.bucket, self.endpoint, self.region, self.access_key_id, self.secret_access_key
        )
    }
}

/// The servers that `make test` has started.
///
/// # Panics
///
/// When they are not running; the message says how to start them.
pub fn servers() -> &'static Servers {
    static SERVERS: LazyLock<Servers> = LazyLock::new(started);
    &SERVERS
}

#[derive(Deserialize)]
struct File {
    settings: Settings,
}

#[derive(Deserialize)]
struct Settings {
    kafka: Kafka,
    cassandra: Cassandra,
    postgres: Url,
    s3: S3,
    toxiproxy: Url,
}

#[derive(Deserialize)]
struct Kafka {
    bootstrap_servers: String,
    proxied: Vec<Proxied>,
}

#[derive(Deserialize)]
struct Cassandra {
    contact_points: String,
}

#[derive(Deserialize)]
struct Url {
    url: String,
}

#[expect(
    clippy::disallowed_methods,
    reason = "tests learn of the servers as make does"
)]
fn started() -> Servers {
    let path = std::env::var_os(VARIABLE).unwrap_or_else(|| {
        panic!(
            "{VARIABLE} is not set: `make servers` starts the servers and says to what to set it"
        )
    });
    Servers::read(&PathBuf::from(path))
}
