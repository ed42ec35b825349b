use std::convert::Infallible;
use std::io;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::serve::ListenerExt;
use axum::{Extension, Router};
use futures::future::BoxFuture;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing::warn;

/// The end of the server, for handlers that wait for news: they are not to keep it.
#[derive(Debug, Clone, Default)]
pub struct Stopping(CancellationToken);

impl Stopping {
    /// Returns when the server is told to stop.
    pub async fn told(&self) {
        self.0.cancelled().await;
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
    // The last part of an answer must not wait for word that those before it have come.
    let listener = listener.tap_io(|stream| {
        if let Err(error) = stream.set_nodelay(true) {
            warn!(%error, "answers to a caller may be late");
        }
    });
    let router = router.layer(Extension(Stopping(shutdown.clone())));
    let served = axum::serve(listener, router);
    let graceful = served.with_graceful_shutdown(shutdown.cancelled_owned());
    // Boxed: compiled here, and not by all who serve.
    Box::pin(graceful.into_future())
}
