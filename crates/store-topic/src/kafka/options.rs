use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::consumer::BaseConsumer;

use super::failure;
use crate::{Error, Result};

/// How to reach a cluster, and how its clients behave.
#[derive(Clone, PartialEq, Eq)]
pub struct KafkaOptions {
    /// `host:port`, several with commas between.
    pub bootstrap_servers: String,
    /// Before the name of every topic: keeps platforms apart that share a cluster.
    pub topic_prefix: String,
    /// Copies of a new topic's partitions; the cluster's default when `None`.
    pub replication: Option<u16>,
    /// Names this process in its consumer groups: when it is back within the session timeout, it keeps
    /// its partitions without a rebalance. Each process needs another.
    pub instance: Option<String>,
    pub compression: Compression,
    /// The largest record, key and value.
    pub record_bytes_max: u32,
    /// Rows that wait in this process for the brokers.
    pub send_buffer_bytes_max: u32,
    /// Rows fetched ahead for one subscription; not more when there are 100,000.
    pub fetch_buffer_bytes_max: u32,
    /// How long an append waits for others to share its request.
    pub linger_ms: u32,
    /// After this a request, and the connection that it went over, is given up.
    pub request_timeout_ms: u32,
    /// After this an append that no broker has confirmed fails.
    pub delivery_timeout_ms: u32,
    /// After this much silence a consumer's partitions go to the others.
    pub session_timeout_ms: u32,
    /// Further properties of librdkafka for every client, such as `security.protocol`.
    pub client: BTreeMap<String, String>,
}

impl fmt::Debug for KafkaOptions {
    /// Leaves the properties of the library out: passwords are among them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaOptions")
            .field("bootstrap_servers", &self.bootstrap_servers)
            .field("topic_prefix", &self.topic_prefix)
            .field("instance", &self.instance)
            .finish_non_exhaustive()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    None,
    Lz4,
    Zstd,
}

const WANTED: &str = "kafka://host:port,host:port?setting=value";
const CLIENT_PREFIX: &str = "client.";

impl KafkaOptions {
    pub fn new(bootstrap_servers: impl Into<String>) -> Self {
        Self {
            bootstrap_servers: bootstrap_servers.into(),
            topic_prefix: String::new(),
            replication: None,
            instance: None,
            compression: Compression::Lz4,
            record_bytes_max: 8 << 20,
            send_buffer_bytes_max: 64 << 20,
            fetch_buffer_bytes_max: 8 << 20,
            linger_ms: 2,
            request_timeout_ms: 30_000,
            delivery_timeout_ms: 120_000,
            session_timeout_ms: 30_000,
            client: BTreeMap::new(),
        }
    }

    /// Reads `host:port,host:port?setting=value&…`: what stands behind `kafka://`. Settings have the
    /// names of the fields; those of librdkafka stand behind `client.`.
    pub fn parse(rest: &str) -> Result<Self> {
        let (servers, settings) = rest.split_once('?').unwrap_or((rest, ""));
        let servers = servers.trim_end_matches('/');
        let is_server = |server: &str| {
            let port = server.rsplit_once(':').map(|(_, port)| port.parse::<u16>());
            matches!(port, Some(Ok(_)))
        };
        if !servers.split(',').all(is_server) {
            // Before an `@` there may be a password, which has no place here.
            let found = servers.rsplit('@').next().unwrap_or_default();
            return Err(invalid("servers", found, "host:port,host:port"));
        }
        let mut options = Self::new(servers);
        for setting in settings.split('&').filter(|setting| !setting.is_empty()) {
            let (name, value) = setting.split_once('=').unwrap_or((setting, ""));
            options.set(name, value)?;
        }
        Ok(options)
    }

    fn set(&mut self, name: &str, value: &str) -> Result<()> {
        let number = || value.parse().map_err(|_| invalid(name, value, "a number"));
        match name {
            "replication" => {
                let copies = value.parse();
                self.replication = Some(copies.map_err(|_| invalid(name, value, "a number"))?);
            }
            "topic_prefix" => self.topic_prefix = value.to_owned(),
            "instance" => self.instance = Some(value.to_owned()),
            "compression" => self.compression = Compression::parse(value)?,
            "record_bytes_max" => self.record_bytes_max = number()?,
            "send_buffer_bytes_max" => self.send_buffer_bytes_max = number()?,
            "fetch_buffer_bytes_max" => self.fetch_buffer_bytes_max = number()?,
            "linger_ms" => self.linger_ms = number()?,
            "request_timeout_ms" => self.request_timeout_ms = number()?,
            "delivery_timeout_ms" => self.delivery_timeout_ms = number()?,
            "session_timeout_ms" => self.session_timeout_ms = number()?,
            _ => match name.strip_prefix(CLIENT_PREFIX) {
                Some(property) => {
                    self.client.insert(property.to_owned(), value.to_owned());
                }
                None => return Err(invalid("setting", name, WANTED)),
            },
        }
        Ok(())
    }

    pub(super) fn request_timeout(&self) -> Duration {
        Duration::from_millis(self.request_timeout_ms.into())
    }

    pub(super) fn delivery_timeout(&self) -> Duration {
        Duration::from_millis(self.delivery_timeout_ms.into())
    }

    /// What every client has in common.
    pub(super) fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.bootstrap_servers)
            .set("client.id", "twinfold")
            .set("socket.keepalive.enable", "true")
            // A broker that stopped answering without a word is given up then.
            .set("socket.timeout.ms", self.request_timeout_ms.to_string())
            // A broker that is back is found within a second.
            .set("reconnect.backoff.max.ms", "1000")
            .set("allow.auto.create.topics", "false")
            .set("message.max.bytes", self.record_bytes_max.to_string());
        for (property, value) in &self.client {
            config.set(property, value);
        }
        config
    }

    pub(super) fn producer(&self) -> ClientConfig {
        let mut config = self.client();
        config
            .set("enable.idempotence", "true")
            .set("compression.type", self.compression.name())
            .set("linger.ms", self.linger_ms.to_string())
            .set("batch.size", "1000000")
            .set("batch.num.messages", "100000")
            .set("queue.buffering.max.messages", "1000000")
            .set(
                "queue.buffering.max.kbytes",
                (self.send_buffer_bytes_max / 1024).to_string(),
            )
            .set("delivery.timeout.ms", self.delivery_timeout_ms.to_string());
        config
    }

    pub(super) fn consumer(&self, group: &str) -> ClientConfig {
        let mut config = self.client();
        let fetch_bytes_max = self.fetch_buffer_bytes_max.max(self.record_bytes_max);
        config
            .set("group.id", group)
            .set("partition.assignment.strategy", "cooperative-sticky")
            .set("session.timeout.ms", self.session_timeout_ms.to_string())
            .set(
                "heartbeat.interval.ms",
                (self.session_timeout_ms / 10).max(1).to_string(),
            )
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            // Offsets that are not there are ours to decide about.
            .set("auto.offset.reset", "error")
            .set("isolation.level", "read_committed")
            .set("check.crcs", "true")
            .set("fetch.wait.max.ms", "100")
            .set("fetch.max.bytes", fetch_bytes_max.to_string())
            .set("max.partition.fetch.bytes", "4194304")
            // A message takes half a KiB beside its bytes: small ones are not fetched ahead up to the buffer.
            .set("queued.min.messages", "100000")
            .set(
                "queued.max.messages.kbytes",
                (self.fetch_buffer_bytes_max / 1024).to_string(),
            )
            // Brings the ends of the partitions, which come with every fetch.
            .set("statistics.interval.ms", "2000")
            // A full buffer is looked at again soon, not after a second.
            .set("fetch.queue.backoff.ms", "5");
        if let Some(instance) = &self.instance {
            config.set("group.instance.id", instance);
        }
        config
    }

    /// A client that reads the progress of a group without joining it.
    pub(super) fn group_client(&self, group: &str) -> Result<BaseConsumer> {
        let client = self.client().set("group.id", group).create();
        client.map_err(failure::failed("a client cannot be made", group))
    }
}

impl Compression {
    fn parse(found: &str) -> Result<Self> {
        match found {
            "none" => Ok(Self::None),
            "lz4" => Ok(Self::Lz4),
            "zstd" => Ok(Self::Zstd),
            _ => Err(invalid("compression", found, "none, lz4 or zstd")),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }
}

fn invalid(setting: &str, found: &str, wanted: &'static str) -> Error {
    Error::InvalidSetting {
        setting: setting.to_owned(),
        found: found.to_owned(),
        wanted,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_says_where_and_how() {
        let options = "a:9092,b:9093?replication=3&compression=zstd&record_bytes_max=1000\
                       &client.security.protocol=ssl";
        let options = KafkaOptions::parse(options).expect("valid");
        assert_eq!(options.bootstrap_servers, "a:9092,b:9093");
        assert_eq!(options.replication, Some(3));
        assert_eq!(options.compression, Compression::Zstd);
        assert_eq!(options.record_bytes_max, 1000);
        assert_eq!(options.client["security.protocol"], "ssl");
        assert_eq!(options.linger_ms, KafkaOptions::new("a:1").linger_ms);
    }

    #[test]
    fn secrets_are_not_shown() {
        let options = KafkaOptions::parse("a:1?client.sasl.password=hush").expect("valid");
        let shown = format!("{options:?}");
        assert!(shown.contains("a:1") && !shown.contains("hush"), "{shown}");
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (url, wanted) in [
            ("", "servers"),
            ("a", "`a`"),
            ("a:9092,b", "a:9092,b"),
            ("a:99999", "a:99999"),
            ("a:1?speed=high", "`speed`"),
            ("a:1?linger_ms=soon", "`linger_ms`: found `soon`"),
            ("a:1?compression=gzip", "none, lz4 or zstd"),
        ] {
            let error = KafkaOptions::parse(url).expect_err(url).to_string();
            assert!(error.contains(wanted), "{url}: {error}");
        }
    }
}
