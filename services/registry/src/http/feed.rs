use std::time::Duration;

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;
use twinfold_http_kit::Stopping;
use twinfold_http_kit::extract::Query;
use twinfold_wire::rest::NewestChangeBody;

use super::WAIT_MS_MAX;
use crate::Registry;

pub(super) fn routes() -> Router<Registry> {
    Router::new().route("/changes/newest", get(newest))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wait {
    /// Answers when there is a newer change than this. Another registry may be a moment behind.
    #[serde(default)]
    after: u64,
    /// Or after this long, whatever it is.
    #[serde(default)]
    wait_ms: u64,
}

async fn newest(
    State(registry): State<Registry>,
    stopping: Stopping,
    Query(wait): Query<Wait>,
) -> Json<NewestChangeBody> {
    let mut newest = registry.newest_change();
    let patience = Duration::from_millis(wait.wait_ms.min(WAIT_MS_MAX));
    let moved = async {
        let moved = newest.wait_for(|sequence| *sequence > wait.after).await;
        moved.is_ok()
    };
    // Whether it moved or not, what it is now is the answer.
    tokio::select! {
        _moved = moved => {}
        () = tokio::time::sleep(patience) => {}
        () = stopping.told() => {}
    }
    let sequence = *newest.borrow();
    Json(NewestChangeBody { sequence })
}
