//! From definition to topic and tables and back, with everything going wrong on the way.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use twinfold_client::{Deletion, Expected};
use twinfold_model::{Feature, FeatureGroup, FeatureType, ResourceState};
use twinfold_registry::{Error, Pass, Registry};
use twinfold_testkit::{eventually, weather_group};
use twinfold_wire::record::history_schema;

use crate::world::{CREATE_CALLS, DROP_CALLS, Fault, Place, Resources, columns};

const DEADLINE: Duration = Duration::from_secs(20);
const AT_ONCE: Duration = Duration::from_millis(20);

async fn state(registry: &Registry) -> ResourceState {
    let record = registry.feature_group(weather_group().id()).await;
    record.expect("exists").state
}

async fn create(registry: &Registry) {
    let created = registry.create_feature_group(weather_group()).await;
    assert_eq!(created.expect("new").state, ResourceState::Creating);
}

async fn active(place: &Place) -> Registry {
    let registry = place.registry().await;
    create(&registry).await;
    registry.reconcile_once().await.expect("reads");
    assert_eq!(state(&registry).await, ResourceState::Active);
    registry
}

#[tokio::test]
async fn a_definition_gets_its_topic_and_tables() {
    let place = Place::new().await;
    let registry = active(&place).await;
    let name = "default.weather_1".to_owned();
    let columns = columns(&history_schema(&weather_group()));
    let wanted = [
        (("history", name.clone()), columns),
        (("online", name.clone()), "ttl None".to_owned()),
        (("topic", name), "4 partitions".to_owned()),
    ];
    assert_eq!(place.world.resources(), Resources::from(wanted));
    assert_eq!(place.world.calls(), CREATE_CALLS);
    assert_eq!(
        registry.reconcile_once().await.expect("reads"),
        Pass::default()
    );
    assert!(
        place.world.calls().is_empty(),
        "an active group needs nothing"
    );
}

#[tokio::test]
async fn an_offline_group_has_no_online_table() {
    let place = Place::new().await;
    let registry = place.registry().await;
    let mut spec = weather_group().to_spec();
    spec.online_enabled = false;
    let group = FeatureGroup::new(spec).expect("valid");
    registry.create_feature_group(group).await.expect("new");
    registry.reconcile_once().await.expect("reads");
    assert_eq!(place.world.kinds(), ["history", "topic"]);
}

#[tokio::test]
async fn a_failed_creation_says_why_and_is_tried_again() {
    for call in CREATE_CALLS {
        for fault in [Fault::Refuses, Fault::LosesAnswer] {
            let place = Place::new().await;
            let registry = place.registry().await;
            create(&registry).await;
            place.world.breaks(call, fault);
            let pass = registry.reconcile_once().await.expect("reads");
            assert_eq!((pass.finished, pass.failed), (0, 1));
            assert!(pass.next_due.is_some());
            let ResourceState::Failed { reason } = state(&registry).await else {
                panic!("{call} failed, but the state does not say so");
            };
            assert!(
                reason.starts_with(call) && reason.ends_with("disk full"),
                "{reason}"
            );
            let id = weather_group().id().clone();
            let late = registry
                .wait_active(&id, AT_ONCE)
                .await
                .expect_err("failed");
            assert!(late.to_string().ends_with(&reason), "{late}");
            assert!(late.retry());

            place.world.heals();
            registry.reconcile_once().await.expect("reads");
            let record = registry.wait_active(&id, DEADLINE).await.expect("recovers");
            assert_eq!(record.state, ResourceState::Active);
            assert_eq!(registry.last_failure(&id), None);
            assert_eq!(place.world.kinds(), ["history", "online", "topic"]);
        }
    }
}

/// Runs a pass that hangs in the store, then forgets it, as the end of the process would.
async fn crash_in_pass(registry: Registry) {
    let pass = tokio::time::timeout(AT_ONCE, registry.reconcile_once());
    assert!(pass.await.is_err(), "the pass should have hung");
}

#[tokio::test]
async fn a_creation_goes_on_after_a_crash_at_any_step() {
    for call in CREATE_CALLS {
        let place = Place::new().await;
        let registry = place.registry().await;
        create(&registry).await;
        place.world.breaks(call, Fault::Hangs);
        crash_in_pass(registry).await;
        place.world.heals();

        let restarted = place.registry().await;
        assert_eq!(state(&restarted).await, ResourceState::Creating, "{call}");
        let pass = restarted.reconcile_once().await.expect("reads");
        assert_eq!(pass.finished, 1);
        assert_eq!(state(&restarted).await, ResourceState::Active);
        assert_eq!(place.world.kinds(), ["history", "online", "topic"]);
    }
}

#[tokio::test]
async fn a_deletion_goes_on_after_a_failure_or_a_crash_at_any_step() {
    for call in DROP_CALLS {
        for fault in [Fault::Refuses, Fault::LosesAnswer, Fault::Hangs] {
            let place = Place::new().await;
            let registry = active(&place).await;
            let id = weather_group().id().clone();
            registry
                .delete_feature_group(&id, Deletion::RefuseIfUsed, &Expected::Anything)
                .await
                .expect("unused");
            place.world.breaks(call, fault);
            if fault == Fault::Hangs {
                crash_in_pass(registry).await;
            } else {
                registry.reconcile_once().await.expect("reads");
                let late = registry
                    .wait_removed(&id, AT_ONCE)
                    .await
                    .expect_err("failed");
                let text = late.to_string();
                assert!(text.contains(call) && text.ends_with("disk full"), "{text}");
            }
            place.world.heals();

            let restarted = place.registry().await;
            assert_eq!(state(&restarted).await, ResourceState::Deleting, "{call}");
            let refused = restarted
                .append_features(&id, Vec::new(), &Expected::Anything)
                .await;
            assert!(
                matches!(refused, Err(Error::BeingDeleted { .. })),
                "{refused:?}"
            );
            let refused = restarted.create_feature_group(weather_group()).await;
            assert!(
                matches!(refused, Err(Error::BeingDeleted { .. })),
                "{refused:?}"
            );
            restarted.reconcile_once().await.expect("reads");
            restarted
                .wait_removed(&id, DEADLINE)
                .await
                .expect("nothing is left");
            assert!(
                place.world.resources().is_empty(),
                "{:?}",
                place.world.resources()
            );
            create(&restarted).await;
        }
    }
}

#[tokio::test]
async fn added_features_reach_the_history_before_the_group_is_active_again() {
    let place = Place::new().await;
    let registry = active(&place).await;
    let id = weather_group().id().clone();
    let before = registry.feature_group(&id).await.expect("exists");
    let added = Feature::new("humidity", FeatureType::Double).expect("valid");
    let after = registry
        .append_features(&id, vec![added], &Expected::Anything)
        .await
        .expect("nullable");
    assert_ne!(after.schema, before.schema);
    assert_eq!(after.state, ResourceState::Creating);

    place.world.breaks("create history", Fault::Refuses);
    registry.reconcile_once().await.expect("reads");
    assert!(matches!(
        state(&registry).await,
        ResourceState::Failed { .. }
    ));
    place.world.heals();
    registry.reconcile_once().await.expect("reads");
    assert_eq!(state(&registry).await, ResourceState::Active);
    let history = &place.world.resources()[&("history", id.resource_name(1))];
    assert!(
        history.contains("visibility humidity _event_time"),
        "{history}"
    );
    let schemas = registry.schemas(&id).await.expect("exists");
    assert_eq!(schemas.len(), 2);
    assert!(schemas[1].avro_json.contains("humidity"));
    assert_eq!(
        registry
            .registered_schema(after.schema)
            .await
            .expect("exists"),
        schemas[1]
    );
}

#[tokio::test]
async fn what_changes_during_a_pass_is_not_marked_as_made() {
    let place = Place::new().await;
    let registry = place.registry().await;
    create(&registry).await;
    place.world.breaks("create topic", Fault::Hangs);
    let id = weather_group().id().clone();
    let change = async {
        eventually(DEADLINE, || async {
            place.world.kinds().contains(&"topic")
        })
        .await;
        let added = Feature::new("humidity", FeatureType::Double).expect("valid");
        registry
            .append_features(&id, vec![added], &Expected::Anything)
            .await
            .expect("nullable");
        // The pass that began with the older definition goes on to its last step.
        place.world.heals();
    };
    let (pass, ()) = tokio::join!(registry.reconcile_once(), change);
    assert_eq!(pass.expect("reads").failed, 0, "who changed it goes on");
    assert_eq!(
        state(&registry).await,
        ResourceState::Creating,
        "the columns of the newer definition are not there"
    );
    registry.reconcile_once().await.expect("reads");
    let history = &place.world.resources()[&("history", id.resource_name(1))];
    assert!(history.contains("humidity"), "{history}");
    assert_eq!(state(&registry).await, ResourceState::Active);
}

#[tokio::test]
async fn the_loop_works_when_woken_and_retries_by_itself() {
    let place = Place::new().await;
    let registry = place.registry().await;
    let shutdown = CancellationToken::new();
    let id = weather_group().id().clone();
    let story = async {
        place.world.breaks("create online", Fault::Refuses);
        create(&registry).await;
        eventually(DEADLINE, || async {
            matches!(state(&registry).await, ResourceState::Failed { .. })
        })
        .await;
        place.world.heals();
        // The backoff is counted by this clock.
        place.clock.advance(Duration::from_secs(1));
        registry.wait_active(&id, DEADLINE).await.expect("recovers");
        registry
            .delete_feature_group(&id, Deletion::RefuseIfUsed, &Expected::Anything)
            .await
            .expect("unused");
        registry.wait_removed(&id, DEADLINE).await.expect("goes");
        assert!(place.world.resources().is_empty());
        shutdown.cancel();
    };
    tokio::join!(registry.run(shutdown.clone()), story);
}

#[tokio::test]
async fn the_loop_picks_up_what_an_earlier_process_left() {
    let place = Place::new().await;
    create(&place.registry().await).await;
    let registry = place.registry().await;
    let shutdown = CancellationToken::new();
    let story = async {
        let id = weather_group().id().clone();
        registry.wait_active(&id, DEADLINE).await.expect("comes");
        shutdown.cancel();
    };
    tokio::join!(registry.run(shutdown.clone()), story);
}

#[tokio::test]
async fn a_group_that_keeps_failing_does_not_hold_up_others() {
    let place = Place::new().await;
    let registry = place.registry().await;
    create(&registry).await;
    place.world.breaks("create online", Fault::Refuses);
    let mut spec = weather_group().to_spec();
    spec.id.version = 2;
    spec.online_enabled = false;
    let other = FeatureGroup::new(spec).expect("valid");
    registry
        .create_feature_group(other.clone())
        .await
        .expect("new");
    let pass = registry.reconcile_once().await.expect("reads");
    assert_eq!((pass.finished, pass.failed), (1, 1));
    registry
        .wait_active(other.id(), DEADLINE)
        .await
        .expect("active");
}

#[tokio::test]
async fn of_two_registries_one_works_and_both_hear_of_it() {
    let place = Place::new().await;
    let (one, two) = (place.registry().await, place.registry().await);
    let id = weather_group().id().clone();
    let (stop_one, stop_two) = (CancellationToken::new(), CancellationToken::new());
    create(&one).await;
    place.world.breaks("create online", Fault::Hangs);
    let story = async {
        eventually(DEADLINE, || async {
            place.world.calls().contains(&"create online")
        })
        .await;
        let pass = two.reconcile_once().await.expect("reads");
        assert_eq!((pass.waiting, pass.finished), (1, 0));
        assert!(place.world.calls().is_empty(), "one is at it");
        place.world.heals();
        let changes = async {
            two.wait_active(&id, DEADLINE).await.expect("hears of it");
            two.delete_feature_group(&id, Deletion::RefuseIfUsed, &Expected::Anything)
                .await
                .expect("unused");
            one.wait_removed(&id, DEADLINE).await.expect("hears of it");
            stop_one.cancel();
            stop_two.cancel();
        };
        tokio::join!(two.run(stop_two.clone()), changes);
    };
    tokio::join!(one.run(stop_one.clone()), story);
    assert!(place.world.resources().is_empty());
}
