//! What is kept, for how long, and what is refused.

use std::time::Duration;

use twinfold_model::{Offset, Positions};

use super::{
    Harness, P0, P1, append_of, config, content_of, contents, limits, open_with, read_from_start,
    take,
};
use crate::{Append, Error, Result, TopicConfig};

/// Durability without a close, as after the end of the process.
pub async fn what_was_appended_survives_reopening(
    harness: &dyn Harness,
    topic: &str,
) -> Result<()> {
    survives(harness, topic, false).await
}

/// Durability with `sync` and a close.
pub async fn what_was_synced_survives_reopening(harness: &dyn Harness, topic: &str) -> Result<()> {
    survives(harness, topic, true).await
}

async fn survives(harness: &dyn Harness, topic: &str, closes: bool) -> Result<()> {
    let store = open_with(harness, topic, 2).await?;
    let mut appends = vec![append_of(P0, "a", 5), append_of(P1, "b", 6)];
    store.append(topic, appends.clone()).await?;
    if closes {
        store.sync(topic).await?;
        store.sync(topic).await?;
        store.close().await?;
    }
    drop(store);

    let store = harness.open().await?;
    let more = append_of(P0, "c", 2);
    let appended = store.append(topic, vec![more.clone()]).await?;
    assert_eq!(appended[0].first, Offset(5));
    appends.push(more);
    let mut reader = read_from_start(&*store, topic).await?;
    let batches = take(&mut *reader, 13, 1 << 20).await?;
    assert_eq!(contents(&batches), content_of(&appends));
    store.close().await
}

/// A call that names what does not exist changes nothing.
pub async fn a_refused_call_appends_nothing(harness: &dyn Harness, topic: &str) -> Result<()> {
    let store = open_with(harness, topic, 1).await?;
    let unknown_partition = store
        .append(topic, vec![append_of(P0, "a", 1), append_of(P1, "b", 1)])
        .await;
    assert!(
        matches!(
            unknown_partition,
            Err(Error::UnknownPartition {
                partition: 1,
                partitions: 1,
                ..
            })
        ),
        "{unknown_partition:?}"
    );
    assert_eq!(store.bounds(topic).await?[0].next, Offset::ZERO);
    let missing = format!("{topic}-missing");
    let unknown_topic = store.append(&missing, vec![append_of(P0, "a", 1)]).await;
    assert!(
        matches!(unknown_topic, Err(Error::UnknownTopic { .. })),
        "{unknown_topic:?}"
    );
    assert!(store.bounds(&missing).await.is_err());
    assert!(store.subscribe(&missing, "reader").await.is_err());
    for name in ["", "../up", ".hidden", "Upper", "a/b", "a b"] {
        let invalid = store.create(name, &config(1)).await;
        assert!(
            matches!(invalid, Err(Error::InvalidTopicName { .. })),
            "{name}: {invalid:?}"
        );
    }
    let none = store.create(&missing, &config(0)).await;
    assert!(
        matches!(none, Err(Error::InvalidPartitions { found: 0, .. })),
        "{none:?}"
    );
    store.close().await
}

/// `create` is idempotent and never changes the number of partitions.
pub async fn creating_again_is_harmless(harness: &dyn Harness, topic: &str) -> Result<()> {
    let store = open_with(harness, topic, 2).await?;
    store.append(topic, vec![append_of(P1, "a", 3)]).await?;
    let longer = TopicConfig {
        retention: Some(Duration::from_secs(3600)),
        ..config(2)
    };
    store.create(topic, &longer).await?;
    assert_eq!(store.bounds(topic).await?[1].next, Offset(3));
    let mismatch = store.create(topic, &config(3)).await;
    assert!(
        matches!(
            mismatch,
            Err(Error::TopicMismatch {
                found: 2,
                wanted: 3,
                ..
            })
        ),
        "{mismatch:?}"
    );
    store.close().await
}

/// A dropped topic ends its subscriptions, which cannot commit any more; made again it is empty.
pub async fn a_topic_that_is_not_remembered_is_found_again(
    harness: &dyn Harness,
    topic: &str,
) -> Result<()> {
    let store = open_with(harness, topic, 1).await?;
    store.append(topic, vec![append_of(P0, "a", 3)]).await?;
    let mut reader = read_from_start(&*store, topic).await?;
    store.forget(topic);
    store.append(topic, vec![append_of(P0, "b", 2)]).await?;
    take(&mut *reader, 5, 1 << 20).await?;
    assert_eq!(store.bounds(topic).await?[0].next, Offset(5));
    store.forget("never_made");
    drop(reader);
    store.close().await
}

pub async fn a_dropped_topic_is_forgotten(harness: &dyn Harness, topic: &str) -> Result<()> {
    let store = open_with(harness, topic, 1).await?;
    store.append(topic, vec![append_of(P0, "a", 3)]).await?;
    let mut reader = read_from_start(&*store, topic).await?;
    take(&mut *reader, 3, 1 << 20).await?;
    reader
        .commit(&Positions::from_iter([(P0, Offset(3))]))
        .await?;
    store.drop_topic(topic).await?;
    let ended = reader.next(limits(1)).await;
    assert!(
        matches!(ended, Err(Error::UnknownTopic { .. })),
        "{ended:?}"
    );
    let refused = reader
        .commit(&Positions::from_iter([(P0, Offset(3))]))
        .await;
    assert!(
        matches!(refused, Err(Error::UnknownTopic { .. })),
        "{refused:?}"
    );
    drop(reader);
    assert!(store.bounds(topic).await.is_err());
    store.drop_topic(topic).await?;

    store.create(topic, &config(1)).await?;
    assert_eq!(store.bounds(topic).await?[0].next, Offset::ZERO);
    assert!(store.progress(topic, "reader").await?.is_empty());
    store.close().await
}

/// What retention leaves is complete from `earliest` on, and a reader behind it goes on there.
pub async fn retention_leaves_a_suffix(harness: &dyn Harness, topic: &str) -> Result<()> {
    let store = harness.open().await?;
    let nothing = TopicConfig {
        retention: Some(Duration::ZERO),
        ..config(1)
    };
    store.create(topic, &nothing).await?;
    let appends: Vec<Append> = (0..100)
        .map(|at| append_of(P0, &format!("{at}"), 50))
        .collect();
    for append in &appends {
        store.append(topic, vec![append.clone()]).await?;
    }
    store.enforce_retention(topic).await?;
    let bounds = store.bounds(topic).await?[0];
    assert_eq!(bounds.next, Offset(5_000));
    assert!(bounds.earliest <= bounds.next);
    let left = (bounds.next.0 - bounds.earliest.0) as usize;
    let mut reader = read_from_start(&*store, topic).await?;
    let batches = take(&mut *reader, left, 1 << 20).await?;
    let all = &content_of(&appends)[&P0];
    if left > 0 {
        assert_eq!(batches[0].first, bounds.earliest);
        assert_eq!(contents(&batches)[&P0], all[all.len() - left..]);
    }
    store.close().await
}

/// `close` may be called twice, refuses what comes after, also from a subscription, and keeps all.
pub async fn close_refuses_and_keeps(harness: &dyn Harness, topic: &str) -> Result<()> {
    let store = open_with(harness, topic, 1).await?;
    store.append(topic, vec![append_of(P0, "a", 3)]).await?;
    let mut reader = read_from_start(&*store, topic).await?;
    store.close().await?;
    store.close().await?;
    let refused = store.append(topic, vec![append_of(P0, "b", 1)]).await;
    assert!(matches!(refused, Err(Error::Closed)), "{refused:?}");
    let ended = reader.next(limits(1)).await;
    assert!(matches!(ended, Err(Error::Closed)), "{ended:?}");
    let refused = reader
        .commit(&Positions::from_iter([(P0, Offset(3))]))
        .await;
    assert!(matches!(refused, Err(Error::Closed)), "{refused:?}");
    drop(reader);

    let store = harness.open().await?;
    assert!(store.progress(topic, "reader").await?.is_empty());
    assert_eq!(store.bounds(topic).await?[0].next, Offset(3));
    store.close().await
}
