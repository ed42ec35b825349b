use std::io;

use axum::Router;
use axum::serve::ListenerExt;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing::warn;

/// Answers until told to stop, then finishes the requests under way.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    shutdown: CancellationToken,
) -> io::Result<()> {
    // The last part of an answer must not wait for word that those before it have come.
    let listener = listener.tap_io(|stream| {
        if let Err(error) = stream.set_nodelay(true) {
            warn!(%error, "answers to a caller may be late");
        }
    });
    let served = axum::serve(listener, router);
    served
        .with_graceful_shutdown(shutdown.cancelled_owned())
        .await
}
