use std::time::Duration;

use axum::Json;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Deserialize;
use twinfold_http_kit::Stopping;
use twinfold_http_kit::extract::Query;
use twinfold_http_kit::{Operation, Routes};
use twinfold_wire::rest::NewestChangeBody;

use super::WAIT_MS_MAX;
use crate::Registry;

pub(super) fn routes(routes: Routes<Registry>) -> Routes<Registry> {
    let newest_change = Operation::new("The newest change, once it is another than a known one")
        .query::<Wait>()
        .answers::<NewestChangeBody>();
    routes.get("/changes/newest", newest, newest_change)
}

#[derive(Debug, Deserialize, JsonSchema)]
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
