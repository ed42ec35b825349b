use futures::future::join_all;
use twinfold_model::{EventTime, QuarantinedRecord};

use super::fixtures::{LATER, NOW, create, quarantined, remove};
use super::{Place, RACERS};
use crate::{Error, QUARANTINE_PAGE_BYTES_MAX, ReplayClaim};

pub async fn a_page_of_large_records_is_shorter(place: &dyn Place) {
    let store = place.open().await;
    let record = create(&store, "a").await;
    let id = record.group.id();
    let half = usize::try_from(QUARANTINE_PAGE_BYTES_MAX / 2).expect("small");
    let large = |offset| QuarantinedRecord {
        value: vec![7; half],
        ..quarantined(id, 0, offset)
    };
    let records: Vec<_> = (0..5).map(large).collect();
    store.quarantine(&records).await.expect("group exists");
    let mut pages = Vec::new();
    let mut after = None;
    loop {
        let page = store.quarantined(id, after, 4).await.expect("readable");
        let Some(last) = page.last() else { break };
        after = Some(last.position);
        pages.push(page);
    }
    // A key and a header come on top of each half.
    let sizes: Vec<usize> = pages.iter().map(Vec::len).collect();
    assert_eq!(sizes, [2, 2, 1]);
    assert!(pages.concat() == records, "a record is missing or doubled");
}

/// Positions begin anew in each life, and whoever read the topic before may come late.
pub async fn an_earlier_life_has_no_part_in_quarantine(place: &dyn Place) {
    let store = place.open().await;
    let first = create(&store, "a").await;
    let id = first.group.id();
    let early = quarantined(id, 0, 1);
    let kept = store.quarantine(std::slice::from_ref(&early)).await;
    kept.expect("of this life");
    remove(&store, &first).await;
    let second = create(&store, "a").await;
    assert_eq!(store.quarantined(id, None, 10).await.expect("readable"), []);

    let own = QuarantinedRecord {
        resource: second.resource.clone(),
        ..quarantined(id, 0, 1)
    };
    let late = store.quarantine(&[own.clone(), early.clone()]).await;
    assert!(matches!(late, Err(Error::NotFound { .. })), "{late:?}");
    assert_eq!(store.quarantined(id, None, 10).await.expect("readable"), []);
    let kept = store.quarantine(std::slice::from_ref(&own)).await;
    kept.expect("of this life");

    let mark = async |resource: &str| {
        let positions = [early.position];
        store.mark_replayed(id, resource, &positions, NOW).await
    };
    let late = mark(&first.resource).await;
    assert!(matches!(late, Err(Error::NotFound { .. })), "{late:?}");
    let open = store.quarantined(id, None, 10).await.expect("readable");
    assert_eq!(open, [own]);
    mark(&second.resource).await.expect("of this life");
    assert_eq!(store.quarantined(id, None, 10).await.expect("readable"), []);
}

pub async fn one_replay_of_a_group_goes_on_at_a_time(place: &dyn Place) {
    let store = place.open().await;
    let (here, there) = (create(&store, "a").await, create(&store, "b").await);
    let claim = |replay, now, until| ReplayClaim {
        group: here.group.id(),
        replay,
        now,
        until,
    };
    let names: Vec<String> = (0..RACERS).map(|racer| racer.to_string()).collect();
    let racers = names
        .iter()
        .map(|name| store.claim_replay(claim(name.as_str(), NOW, LATER)));
    let claimed = join_all(racers).await;
    let claimed: Vec<&str> = names
        .iter()
        .zip(claimed)
        .filter_map(|(name, claimed)| claimed.expect("writable").then_some(name.as_str()))
        .collect();
    let [first] = claimed[..] else {
        panic!("found {claimed:?}, wanted one of them");
    };
    let of_another = ReplayClaim {
        group: there.group.id(),
        ..claim("x", NOW, LATER)
    };
    assert!(store.claim_replay(of_another).await.expect("writable"));

    // Renewed it is good for longer; nobody else ends it.
    let later_still = EventTime::from_micros(LATER.micros() + 1);
    let renewed = store.claim_replay(claim(first, NOW, later_still)).await;
    assert!(renewed.expect("writable"));
    let ended = store.end_replay(here.group.id(), "x").await;
    ended.expect("no harm");
    let other = store.claim_replay(claim("x", LATER, later_still)).await;
    assert!(!other.expect("writable"));

    // It has lapsed, and whoever had it cannot go on.
    let other = claim("x", later_still, EventTime::from_micros(i64::MAX));
    assert!(store.claim_replay(other).await.expect("writable"));
    let late = store.claim_replay(claim(first, later_still, later_still));
    assert!(!late.await.expect("writable"));
    let ended = store.end_replay(here.group.id(), "x").await;
    ended.expect("ended");
    let next = store.claim_replay(claim(first, NOW, LATER)).await;
    assert!(next.expect("writable"));
}
