//! The platform of a deployment: each call is a request of `docs/http-api.md`.

mod catalog;
mod direct;
mod ingestion;
mod reading;
mod serving;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use futures::future::BoxFuture;
use twinfold_model::{Error as ModelError, EventTime};
use twinfold_service_kit::{Clock, SystemClock};
use twinfold_wire::rest::{LimitsBody, PlatformBody};

use self::direct::Direct;
use super::http::Service;
use super::path;
use crate::{Error, Platform, Result};

/// Where all of it lies.
const ROOT: &str = "/v1/platform";
/// What errors call the other end.
const WHAT: &str = "platform";

/// A platform behind an address.
#[derive(Debug)]
pub struct RemotePlatform {
    url: String,
    project: String,
    partitions_default: u32,
    /// Those of the other end.
    limits: LimitsBody,
    connection: Arc<Connection>,
    clock: Arc<dyn Clock>,
    /// Where rows go when they need not pass through the other end.
    direct: Option<Direct>,
}

/// Shared with the vector readers, which end with the platform they came from.
#[derive(Debug)]
struct Connection {
    service: Service,
    closed: AtomicBool,
}

impl Connection {
    /// The other end, unless the connection was closed.
    fn service(&self) -> Result<&Service> {
        if self.closed.load(Ordering::SeqCst) {
            return Err(Error::Closed);
        }
        Ok(&self.service)
    }
}

impl RemotePlatform {
    /// Asks the platform at `url` (`http://host:port`) once, so that a wrong address shows at once.
    pub fn connect(url: &str) -> BoxFuture<'_, Result<Self>> {
        // Boxed, as the next one: compiled here, and not by all who connect.
        Box::pin(async move {
            check_scheme(url)?;
            let service = Service::new(WHAT, url, ROOT)?;
            let platform: PlatformBody = service.get("").await?;
            Ok(Self {
                url: url.to_owned(),
                project: platform.project,
                partitions_default: platform.partitions_default,
                limits: platform.limits,
                connection: Arc::new(Connection {
                    service,
                    closed: AtomicBool::new(false),
                }),
                clock: Arc::new(SystemClock),
                direct: None,
            })
        })
    }

    /// The same for a caller that can reach the topic of the deployment, which `topic` names as it does in
    /// the settings of the services: rows go straight to it, and everything else to the platform.
    pub fn connect_beside_topic<'a>(url: &'a str, topic: &'a str) -> BoxFuture<'a, Result<Self>> {
        Box::pin(async move {
            let platform = Self::connect(url).await?;
            let direct = Direct::open(topic).await?;
            Ok(Self {
                direct: Some(direct),
                ..platform
            })
        })
    }

    /// The time of rows and deletes that bring none: that of their caller, whichever api they reach.
    fn now(&self) -> EventTime {
        EventTime::from_micros(self.clock.now_us())
    }

    fn service(&self) -> Result<&Service> {
        self.connection.service()
    }
}

fn check_scheme(url: &str) -> Result<()> {
    let reason = match url.split_once("://") {
        Some(("http", _)) => return Ok(()),
        Some(("https", _)) => format!(
            "{url}: this version speaks no TLS; wanted http://, for instance of a proxy on this \
             machine that does"
        ),
        _ => format!("{url} is no address of a platform; wanted http://host:port"),
    };
    Err(Error::Invalid(ModelError::InvalidConfig { reason }))
}

#[async_trait]
impl Platform for RemotePlatform {
    fn url(&self) -> &str {
        &self.url
    }

    /// Ends this connection only: the platform goes on for others.
    async fn close(&self) -> Result<()> {
        self.connection.closed.store(true, Ordering::SeqCst);
        match &self.direct {
            Some(direct) => direct.close().await,
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_address_lacks_is_said() {
        check_scheme("http://localhost:8100").expect("fine");
        for (url, wanted) in [
            ("https://features.example.com", "speaks no TLS"),
            ("localhost:8100", "wanted http://host:port"),
            ("ftp://localhost", "wanted http://host:port"),
        ] {
            let error = check_scheme(url).expect_err(url).to_string();
            assert!(error.contains(url) && error.contains(wanted), "{error}");
        }
    }
}
