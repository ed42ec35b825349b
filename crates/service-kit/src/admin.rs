//! The admin port of a process: is it alive, is it ready, what does it count.
//!
//! For the machine that runs the process and for Prometheus; no request of a user comes here.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use metrics_util::MetricKindMask;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Upper bounds of every histogram of seconds: from a tenth of a millisecond to ten minutes.
const SECONDS: &[f64] = &[
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0,
];
/// Upper bounds of every histogram of rows.
const ROWS: &[f64] = &[1.0, 10.0, 100.0, 1_000.0, 10_000.0, 100_000.0, 1_000_000.0];
/// A number that nobody touched for this long is shown no more: the labels of groups that are gone go with
/// it. Whoever tells a number therefore keeps no handle of it.
const IDLE_MAX: Duration = Duration::from_secs(24 * 3_600);
const PROMETHEUS_TEXT: &str = "text/plain; version=0.0.4";

#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    #[error("the admin port {address} cannot be opened: {source}")]
    Bind {
        address: SocketAddr,
        source: std::io::Error,
    },
    #[error("metrics are collected already in this process")]
    AlreadyCollecting,
    #[error("the admin port failed: {0}")]
    Serve(#[from] std::io::Error),
}

/// Whether the process takes work, and if not why. Clones share the same state.
#[derive(Debug, Clone)]
pub struct Readiness {
    reason: Arc<Mutex<Option<String>>>,
}

impl Readiness {
    /// Not ready, for `reason`.
    pub fn not_yet(reason: &str) -> Self {
        Self {
            reason: Arc::new(Mutex::new(Some(reason.to_owned()))),
        }
    }

    pub fn set(&self, reason: Option<String>) {
        *self.reason.lock().unwrap_or_else(PoisonError::into_inner) = reason;
    }

    pub(crate) fn get(&self) -> Option<String> {
        let reason = self.reason.lock().unwrap_or_else(PoisonError::into_inner);
        reason.clone()
    }
}

/// Begins to collect what the crate `metrics` is told in this process; once.
pub fn collect_metrics() -> Result<PrometheusHandle, AdminError> {
    let buckets = |builder: PrometheusBuilder, suffix: &str, bounds| {
        let matcher = Matcher::Suffix(suffix.to_owned());
        builder
            .set_buckets_for_metric(matcher, bounds)
            .expect("bounds are not empty")
    };
    let builder = buckets(PrometheusBuilder::new(), "_seconds", SECONDS);
    let builder = buckets(builder, "_rows", ROWS);
    let recorder = builder
        .idle_timeout(MetricKindMask::ALL, Some(IDLE_MAX))
        .build_recorder();
    let handle = recorder.handle();
    metrics::set_global_recorder(recorder).map_err(|_| AdminError::AlreadyCollecting)?;
    Ok(handle)
}

/// An admin port that is open and not served yet.
#[derive(Debug)]
pub struct Admin {
    listener: TcpListener,
}

impl Admin {
    pub async fn bind(address: SocketAddr) -> Result<Self, AdminError> {
        let bound = TcpListener::bind(address).await;
        let listener = bound.map_err(|source| AdminError::Bind { address, source })?;
        Ok(Self { listener })
    }

    /// Where it is: of use when port 0 was asked for.
    pub fn address(&self) -> Result<SocketAddr, AdminError> {
        Ok(self.listener.local_addr()?)
    }

    /// Answers until told to stop.
    pub async fn serve(
        self,
        readiness: Readiness,
        metrics: PrometheusHandle,
        shutdown: CancellationToken,
    ) -> Result<(), AdminError> {
        let router = Router::new()
            .route("/livez", get(async || "alive\n"))
            .route("/readyz", get(ready))
            .with_state(readiness)
            .route("/metrics", get(scrape))
            .with_state(metrics);
        let served = axum::serve(self.listener, router);
        let graceful = served.with_graceful_shutdown(shutdown.cancelled_owned());
        Ok(graceful.await?)
    }
}

async fn ready(State(readiness): State<Readiness>) -> Response {
    match readiness.get() {
        None => "ready\n".into_response(),
        Some(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")).into_response(),
    }
}

async fn scrape(State(metrics): State<PrometheusHandle>) -> Response {
    metrics.run_upkeep();
    ([(header::CONTENT_TYPE, PROMETHEUS_TEXT)], metrics.render()).into_response()
}
