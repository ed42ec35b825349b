use futures::future::join_all;

use super::fixtures::{LATER, NOW, Store};
use super::{Place, RACERS};
use crate::{Answer, KeyState, KeyedRequest};

fn request(key: &'static str, digest: &'static str) -> KeyedRequest<'static> {
    KeyedRequest {
        key,
        digest,
        now: NOW,
        forget_before: NOW,
        abandoned_before: NOW,
    }
}

async fn claim(store: &Store, request: KeyedRequest<'_>) -> KeyState {
    store.claim_key(request).await.expect("writable")
}

pub async fn a_key_is_claimed_once_and_keeps_its_answer(place: &dyn Place) {
    let store = place.open().await;
    let racers = (0..RACERS).map(|_| claim(&store, request("k", "one")));
    let states = join_all(racers).await;
    let count = |wanted: KeyState| states.iter().filter(|state| **state == wanted).count();
    assert_eq!(count(KeyState::Claimed), 1, "{states:?}");
    assert_eq!(count(KeyState::Pending), RACERS - 1, "{states:?}");

    let answer = |status| Answer {
        status,
        etag: Some("\"1\"".to_owned()),
        body: "{}".to_owned(),
    };
    store.answer_key("k", &answer(201)).await.expect("claimed");
    store.answer_key("k", &answer(409)).await.expect("no harm");
    store.release_key("k").await.expect("no harm");
    store.close().await.expect("closes");
    let store = place.open().await;
    let again = claim(&store, request("k", "one")).await;
    assert_eq!(again, KeyState::Answered(answer(201)));
    assert_eq!(claim(&store, request("k", "two")).await, KeyState::Reused);

    assert_eq!(claim(&store, request("l", "one")).await, KeyState::Claimed);
    store.release_key("l").await.expect("claimed");
    assert_eq!(claim(&store, request("l", "two")).await, KeyState::Claimed);
}

pub async fn a_key_is_forgotten_in_time(place: &dyn Place) {
    let store = place.open().await;
    let answer = Answer {
        status: 200,
        etag: None,
        body: String::new(),
    };
    for key in ["answered", "abandoned"] {
        assert_eq!(claim(&store, request(key, "one")).await, KeyState::Claimed);
    }
    store
        .answer_key("answered", &answer)
        .await
        .expect("claimed");
    let later = |key| KeyedRequest {
        abandoned_before: LATER,
        ..request(key, "two")
    };
    assert_eq!(claim(&store, later("abandoned")).await, KeyState::Claimed);
    assert_eq!(claim(&store, later("answered")).await, KeyState::Reused);
    let much_later = KeyedRequest {
        forget_before: LATER,
        ..request("answered", "two")
    };
    assert_eq!(claim(&store, much_later).await, KeyState::Claimed);
}
