//! Progress of consumers and members that share partitions.

use std::time::Duration;

use twinfold_model::{Offset, PartitionId, Positions};

use super::{
    Harness, P0, P1, WAIT_MAX, append_of, contents, limits, open_with, read_from_start, take,
};
use crate::{Error, Event, FetchLimits, Result, Subscription};

/// Progress survives a restart, is kept per consumer and never moves backward.
pub async fn progress_is_kept_and_only_moves_forward(
    harness: &dyn Harness,
    topic: &str,
) -> Result<()> {
    let store = open_with(harness, topic, 2).await?;
    store
        .append(topic, vec![append_of(P0, "a", 9), append_of(P1, "b", 9)])
        .await?;
    let mut reader = read_from_start(&*store, topic).await?;
    take(&mut *reader, 18, 1 << 20).await?;
    assert!(store.progress(topic, "reader").await?.is_empty());
    reader
        .commit(&Positions::from_iter([(P0, Offset(5))]))
        .await?;
    reader
        .commit(&Positions::from_iter([(P0, Offset(4)), (P1, Offset(2))]))
        .await?;
    let beyond = reader
        .commit(&Positions::from_iter([(P0, Offset(10))]))
        .await;
    assert!(
        matches!(
            beyond,
            Err(Error::UnknownOffset {
                found: 10,
                next: 9,
                ..
            })
        ),
        "{beyond:?}"
    );
    drop(reader);
    store.close().await?;

    let store = harness.open().await?;
    let wanted = Positions::from_iter([(P0, Offset(5)), (P1, Offset(2))]);
    assert_eq!(store.progress(topic, "reader").await?, wanted);
    assert!(store.progress(topic, "other").await?.is_empty());
    let invalid = store.subscribe(topic, "../up").await.err();
    assert!(
        matches!(invalid, Some(Error::InvalidConsumerName { .. })),
        "{invalid:?}"
    );
    store.close().await
}

/// Calls `next` on both members until they own, between them, all of `partitions`.
async fn settle(
    members: &mut [(&mut dyn Subscription, Vec<PartitionId>)],
    partitions: u32,
) -> Result<()> {
    let short = FetchLimits {
        bytes_max: 1,
        wait_max: Duration::from_millis(50),
    };
    let tries_max = WAIT_MAX.as_millis() / short.wait_max.as_millis();
    for _ in 0..tries_max {
        for (member, owned) in members.iter_mut() {
            match member.next(short).await? {
                Event::Assigned(new) => owned.extend(new),
                Event::Revoked(gone) => owned.retain(|partition| !gone.contains(partition)),
                Event::Records(_) => panic!("records without a seek"),
                Event::Idle => {}
            }
        }
        let mut all: Vec<_> = members
            .iter()
            .flat_map(|(_, owned)| owned.clone())
            .collect();
        all.sort_unstable();
        let is_shared = members.iter().all(|(_, owned)| !owned.is_empty());
        if is_shared && all == (0..partitions).map(PartitionId).collect::<Vec<_>>() {
            return Ok(());
        }
    }
    panic!("the members do not settle");
}

/// Members of one name never own a partition both; consumers of other names are not concerned.
pub async fn members_share_the_partitions(harness: &dyn Harness, topic: &str) -> Result<()> {
    let store = open_with(harness, topic, 4).await?;
    let mut first = store.subscribe(topic, "group").await?;
    let mut alone = Vec::new();
    settle(&mut [(&mut *first, Vec::new())], 4).await?;
    alone.extend((0..4).map(PartitionId));
    let mut second = store.subscribe(topic, "group").await?;
    settle(&mut [(&mut *first, alone), (&mut *second, Vec::new())], 4).await?;

    let mut other = store.subscribe(topic, "other").await?;
    settle(&mut [(&mut *other, Vec::new())], 4).await?;
    store.close().await
}

/// What a member owned goes to those that stay, from its committed progress on.
pub async fn a_member_that_leaves_hands_over(harness: &dyn Harness, topic: &str) -> Result<()> {
    let store = open_with(harness, topic, 2).await?;
    store
        .append(topic, vec![append_of(P0, "a", 4), append_of(P1, "b", 4)])
        .await?;
    let mut first = read_from_start(&*store, topic).await?;
    take(&mut *first, 8, 1 << 20).await?;
    first
        .commit(&Positions::from_iter([(P0, Offset(3)), (P1, Offset(2))]))
        .await?;
    let mut second = store.subscribe(topic, "reader").await?;
    let joined = second.next(limits(1)).await?;
    assert!(matches!(joined, Event::Assigned(_)), "{joined:?}");
    drop(first);
    let mut owned = match joined {
        Event::Assigned(partitions) => partitions,
        _ => Vec::new(),
    };
    while owned.len() < 2 {
        match second.next(limits(1)).await? {
            Event::Assigned(more) => owned.extend(more),
            event => panic!("{event:?}"),
        }
    }
    for (partition, offset) in store.progress(topic, "reader").await?.iter() {
        second.seek(partition, offset).await?;
    }
    let rest = contents(&take(&mut *second, 3, 1 << 20).await?);
    assert_eq!((rest[&P0].len(), rest[&P1].len()), (1, 2));
    store.close().await
}

/// What a member is told was stored is stored, whatever changes hands meanwhile.
pub async fn progress_told_during_a_rebalance_is_kept_or_refused(
    harness: &dyn Harness,
    topic: &str,
) -> Result<()> {
    const ROWS: usize = 1_000;
    let store = open_with(harness, topic, 2).await?;
    store
        .append(
            topic,
            vec![append_of(P0, "a", ROWS), append_of(P1, "b", ROWS)],
        )
        .await?;
    let mut first = read_from_start(&*store, topic).await?;
    take(&mut *first, 2 * ROWS, 1 << 20).await?;
    let mut second = store.subscribe(topic, "reader").await?;
    let short = FetchLimits {
        bytes_max: 1,
        wait_max: Duration::from_millis(5),
    };
    let (mut lost, mut gained) = (Vec::new(), Vec::new());
    let mut stored = Offset::ZERO;
    for next in (1..=ROWS as u64).map(Offset) {
        if let Event::Revoked(gone) = first.next(short).await? {
            lost = gone;
        }
        if let Event::Assigned(new) = second.next(short).await? {
            gained.extend(new);
        }
        if first
            .commit(&Positions::from_iter([(P0, next), (P1, next)]))
            .await?
        {
            stored = next;
        }
        if !gained.is_empty() && stored == next {
            break;
        }
    }
    assert_eq!((lost.len(), &lost), (1, &gained));
    let kept = if lost.contains(&P0) { P1 } else { P0 };
    let progress = store.progress(topic, "reader").await?;
    assert_eq!(progress.get(kept), Some(stored));
    store.close().await
}
