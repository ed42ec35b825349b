use reqwest::{Client, Method};
use serde_json::{Value, json};
use twinfold_testkit::Servers;

/// Everything between clients and servers, which can be broken: each address of a server has a proxy in
/// front of it.
#[derive(Debug)]
pub struct Network {
    client: Client,
    /// Of Toxiproxy.
    url: String,
    proxies: Vec<Proxy>,
    /// As clients see the servers.
    servers: Servers,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    Kafka,
    Cassandra,
    Postgres,
    S3,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkTrouble {
    /// Every connection is reset as soon as it is there.
    Reset,
    /// Nothing passes and nobody is told; connections close when it is over.
    Stalled,
    /// 1 Mbit/s, 50 ms.
    Slow,
}

#[derive(Debug)]
struct Proxy {
    name: String,
    link: Link,
    /// `host:port`.
    listen: String,
    upstream: String,
}

/// Of one direction.
const SLOW_KILOBYTES_PER_SECOND: u64 = 125;
const SLOW_LATENCY_MS: u64 = 50;
/// Toxiproxy chooses a port.
const ANY_PORT: &str = "127.0.0.1:0";

impl Network {
    /// Puts proxies in front of all servers.
    pub async fn between(servers: &Servers) -> Self {
        let mut network = Self {
            client: Client::builder().no_proxy().build().expect("a client"),
            url: servers.toxiproxy_url.clone(),
            proxies: Vec::new(),
            servers: servers.clone(),
        };
        let mut seen = servers.clone();
        let mut brokers = Vec::new();
        for (number, place) in servers.kafka_proxied.iter().enumerate() {
            let name = format!("kafka-{number}");
            let listen = network.put(Link::Kafka, name, &place.listen, &place.upstream);
            brokers.push(listen.await);
        }
        seen.kafka_bootstrap_servers = brokers.join(",");
        for (link, url) in [
            (Link::Cassandra, &mut seen.cassandra_contact_points),
            (Link::Postgres, &mut seen.postgres_url),
            (Link::S3, &mut seen.s3.endpoint),
        ] {
            let upstream = address_in(url).to_owned();
            let name = format!("{link:?}");
            let listen = network.put(link, name, ANY_PORT, &upstream).await;
            *url = url.replace(&upstream, &listen);
        }
        network.servers = seen;
        network
    }

    /// How the servers are reached through the network.
    pub fn servers(&self) -> &Servers {
        &self.servers
    }

    /// The same place without the network in between. Not for Kafka, whose brokers say where they are.
    pub fn direct(&self, url: &str) -> String {
        let proxies = self.proxies.iter();
        let others = proxies.filter(|proxy| proxy.link != Link::Kafka);
        others.fold(url.to_owned(), |url, proxy| {
            url.replace(&proxy.listen, &proxy.upstream)
        })
    }

    /// Breaks a link until [`heal`](Self::heal).
    pub async fn trouble(&self, link: Link, trouble: LinkTrouble) {
        let toxics = match trouble {
            LinkTrouble::Reset => vec![toxic("reset_peer", "downstream", json!({"timeout": 0}))],
            LinkTrouble::Stalled => vec![
                toxic("timeout", "upstream", json!({"timeout": 0})),
                toxic("timeout", "downstream", json!({"timeout": 0})),
            ],
            LinkTrouble::Slow => {
                let rate = json!({"rate": SLOW_KILOBYTES_PER_SECOND});
                let latency = json!({"latency": SLOW_LATENCY_MS});
                vec![
                    toxic("bandwidth", "upstream", rate.clone()),
                    toxic("bandwidth", "downstream", rate),
                    toxic("latency", "downstream", latency),
                ]
            }
        };
        for proxy in self.proxies.iter().filter(|proxy| proxy.link == link) {
            for toxic in &toxics {
                let path = format!("/proxies/{}/toxics", proxy.name);
                self.ask(&path, toxic).await;
            }
        }
    }

    /// Everything passes again.
    pub async fn heal(&self) {
        self.ask("/reset", &Value::Null).await;
    }

    /// Gives where the proxy listens.
    async fn put(&mut self, link: Link, name: String, listen: &str, upstream: &str) -> String {
        let proxy = json!({"name": name, "listen": listen, "upstream": upstream, "enabled": true});
        let made = self.ask("/proxies", &proxy).await;
        let made: Value = serde_json::from_str(&made).expect("JSON");
        let listen = made["listen"].as_str().expect("an address").to_owned();
        self.proxies.push(Proxy {
            name,
            link,
            listen: listen.clone(),
            upstream: upstream.to_owned(),
        });
        listen
    }

    async fn ask(&self, path: &str, body: &Value) -> String {
        let request = self
            .client
            .request(Method::POST, format!("{}{path}", self.url));
        let answer = request.json(body).send().await.expect("Toxiproxy answers");
        let status = answer.status();
        let text = answer.text().await.expect("text");
        assert!(status.is_success(), "{path}: {status}: {text}");
        text
    }
}

fn toxic(r#type: &str, stream: &str, attributes: Value) -> Value {
    let name = format!("{type}-{stream}");
    json!({"name": name, "type": r#type, "stream": stream, "attributes": attributes})
}

/// `host:port` of a URL, or of what is nothing else.
fn address_in(url: &str) -> &str {
    let behind_scheme = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = behind_scheme.split('/').next().unwrap_or_default();
    authority.rsplit('@').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_found_in_every_url() {
        for url in [
            "127.0.0.1:9042",
            "http://127.0.0.1:9042",
            "postgres://twinfold@127.0.0.1:9042/postgres",
        ] {
            assert_eq!(address_in(url), "127.0.0.1:9042");
        }
    }
}
