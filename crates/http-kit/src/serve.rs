use std::convert::Infallible;
use std::io;
use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::serve::ListenerExt;
use axum::{Extension, Router};
use futures::future::BoxFuture;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::Failure;

/// After how much silence a caller is asked whether it is still there, and how often before it is given up: so
/// a connection whose other end has vanished does not stay for ever.
const PROBES: TcpKeepalive = TcpKeepalive::new()
    .with_time(Duration::from_secs(30))
    .with_interval(Duration::from_secs(10));

/// The end of the server, for handlers that wait for news: they are not to keep it.
#[derive(Debug, Clone, Default)]
pub struct Stopping(CancellationToken);

impl Stopping {
    /// Returns when the server is told to stop.
    pub async fn told(&self) {
        self.0.cancelled().await;
    }

    /// What is waited for; a refusal when the server is told to stop before it has come.
    pub async fn or_refused<T>(&self, waiting: impl Future<Output = T>) -> Result<T, Failure> {
        tokio::select! {
            waited = waiting => Ok(waited),
            () = self.told() => Err(Failure::Refused {
                status: StatusCode::SERVICE_UNAVAILABLE,
                code: "not_ready",
                message: "the server is stopping: ask again".to_owned(),
            }),
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Stopping {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        // A router that nobody serves is never told.
        Ok(parts.extensions.get().cloned().unwrap_or_default())
    }
}

/// Answers until told to stop, then finishes the requests under way.
pub fn serve(
    listener: TcpListener,
    router: Router,
    shutdown: CancellationToken,
) -> BoxFuture<'static, io::Result<()>> {
    let listener = listener.tap_io(|stream| {
        if let Err(error) = set_up(stream) {
            warn!(%error, "a connection keeps the settings of the system");
        }
    });
    let router = router.layer(Extension(Stopping(shutdown.clone())));
    let served = axum::serve(listener, router);
    let graceful = served.with_graceful_shutdown(shutdown.cancelled_owned());
    // Boxed: compiled here, and not by all who serve.
    Box::pin(graceful.into_future())
}

fn set_up(stream: &TcpStream) -> io::Result<()> {
    // The last part of an answer must not wait for word that those before it have come.
    stream.set_nodelay(true)?;
    SockRef::from(stream).set_tcp_keepalive(&PROBES)
}
