use std::time::Duration;

use axum::Json;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Deserialize;
use twinfold_http_kit::extract::Query;
use twinfold_http_kit::{Operation, Paging, Routes, Stopping, token};
use twinfold_store_metadata::{Change, ChangeSubject};
use twinfold_wire::rest::{ChangeBody, ChangedBody, NewestChangeBody, PageBody};

use super::{Answer, WAIT_MS_MAX};
use crate::Registry;

pub(super) fn routes(routes: Routes<Registry>) -> Routes<Registry> {
    let newest_change = Operation::new("The newest change, once it is another than a known one")
        .query::<Wait>()
        .answers::<NewestChangeBody>();
    let changes = Operation::new("What has changed, the oldest first")
        .query::<Listing>()
        .answers::<PageBody<ChangeBody>>();
    routes
        .get("/changes", list, changes)
        .get("/changes/newest", newest, newest_change)
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Listing {
    /// Begins behind this sequence.
    #[serde(default)]
    after: u64,
    limit: Option<usize>,
    page_token: Option<String>,
}

async fn list(
    State(registry): State<Registry>,
    Query(listing): Query<Listing>,
) -> Answer<PageBody<ChangeBody>> {
    let Listing {
        after,
        limit,
        page_token,
    } = listing;
    let paging = Paging { limit, page_token };
    let (after, limit) = (paging.after()?.unwrap_or(after), paging.limit()?);
    let changes = registry.changes(after, limit).await?;
    let last = changes.last().filter(|_| changes.len() == limit);
    Ok(Json(PageBody {
        next_page_token: last.map(|last| token(&last.sequence)),
        items: changes.into_iter().map(body).collect(),
    }))
}

fn body(change: Change) -> ChangeBody {
    let of = match change.subject {
        ChangeSubject::FeatureGroup(id) => ChangedBody::FeatureGroup((&id).into()),
        ChangeSubject::FeatureView(id) => ChangedBody::FeatureView((&id).into()),
        ChangeSubject::TrainingDataset {
            project,
            name,
            version,
        } => ChangedBody::TrainingDataset {
            project: project.to_string(),
            name,
            version,
        },
    };
    ChangeBody {
        sequence: change.sequence,
        of,
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Wait {
    /// Answers when the newest change is another than this; an older one, once a database was restored.
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
    if *newest.borrow() < wait.after {
        // Another registry has told of it, and this one may be a moment behind.
        registry.announce().await;
    }
    let moved = async {
        let moved = newest.wait_for(|sequence| *sequence != wait.after).await;
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
