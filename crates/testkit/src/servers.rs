use std::path::PathBuf;
use std::process::Command;
use std::sync::LazyLock;

use serde::Deserialize;

/// Names the file in which `integration-tests/servers` says how its servers are reached.
const VARIABLE: &str = "TWINFOLD_TEST_SERVERS";

/// How to reach the real servers that tests run against.
#[derive(Debug)]
pub struct Servers {
    /// `host:port`, several with commas between.
    pub kafka_bootstrap_servers: String,
    /// `host:port`, several with commas between.
    pub cassandra_contact_points: String,
    /// `postgres://user@host:port/database`.
    pub postgres_url: String,
    pub s3: S3,
    /// Where Toxiproxy takes orders.
    pub toxiproxy_url: String,
}

impl Servers {
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
    static SERVERS: LazyLock<Servers> = LazyLock::new(read);
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
fn read() -> Servers {
    let path = std::env::var_os(VARIABLE).unwrap_or_else(|| {
        panic!(
            "{VARIABLE} is not set: `make servers` starts the servers and says to what to set it"
        )
    });
    let path = PathBuf::from(path);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| {
        panic!(
            "{VARIABLE}={}: {error}; `make servers` starts them",
            path.display()
        )
    });
    let file: File =
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let settings = file.settings;
    Servers {
        kafka_bootstrap_servers: settings.kafka.bootstrap_servers,
        cassandra_contact_points: settings.cassandra.contact_points,
        postgres_url: settings.postgres.url,
        s3: settings.s3,
        toxiproxy_url: settings.toxiproxy.url,
    }
}
