//! What every backend owes, as cases that run against any of them.
//!
//! [`metadata_conformance!`](crate::metadata_conformance) makes one test of each case.

mod fixtures;
mod keys;
mod quarantine;
mod reservations;
mod schemas;
mod statistics;

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use futures::future::join_all;
use twinfold_model::{QuarantinedRecord, ResourceState};

pub use self::schemas::*;

use self::fixtures::{
    LATER, NOW, activate, create, dataset, feed, group, project, quarantined, remove, reservation,
    schema, subject, texts, view, with_feature,
};
pub use self::keys::{a_key_is_claimed_once_and_keeps_its_answer, a_key_is_forgotten_in_time};
pub use self::quarantine::{
    a_page_of_large_records_is_shorter, an_earlier_life_has_no_part_in_quarantine,
    one_replay_of_a_group_goes_on_at_a_time,
};
pub use self::reservations::{
    a_project_is_there_once_created_or_used, a_reservation_that_lapsed_is_over,
};
pub use self::statistics::a_dataset_keeps_its_statistics;
use crate::{ChangeSubject, Error, GroupRecord, MetadataStore};

/// Where a backend under test keeps its data. Opened again, it holds what it held.
#[async_trait]
pub trait Place: Send + Sync {
    async fn open(&self) -> Arc<dyn MetadataStore>;
}

/// Runs every case as a test of its own; `$place` makes a fresh, empty [`Place`].
#[macro_export]
macro_rules! metadata_conformance {
    ($place:expr) => {
        $crate::metadata_conformance!($place;
            a_group_is_created_once_among_racers,
            the_definition_of_a_revision_is_replaced_once,
            a_groups_schemas_are_versions_of_its_subject,
            a_schema_has_one_id_whoever_registers_it,
            a_schema_may_bring_its_id,
            an_id_stands_for_one_schema,
            a_version_is_registered_once_among_racers,
            a_deleted_version_is_hidden_and_its_number_not_given_again,
            subjects_are_listed_by_name,
            settings_are_kept_by_scope,
            a_group_takes_its_subjects_along,
            a_schema_text_may_be_long,
            groups_are_listed_by_id,
            schema_ids_and_resource_names_are_not_reused,
            states_move_only_where_they_may,
            a_reason_may_hold_any_character,
            a_feature_view_is_stored_as_it_is,
            what_is_referred_to_is_there_and_stays,
            a_deletion_notices_what_changed_meanwhile,
            there_is_one_reconciler_at_a_time,
            dataset_versions_are_given_once,
            a_dataset_is_finished_once,
            a_dataset_keeps_its_statistics,
            a_reservation_that_lapsed_is_over,
            a_project_is_there_once_created_or_used,
            a_key_is_claimed_once_and_keeps_its_answer,
            a_key_is_forgotten_in_time,
            every_change_is_in_the_feed_once_and_in_order,
            quarantine_is_idempotent_and_paged,
            a_replayed_record_does_not_come_back,
            quarantine_goes_with_its_group,
            an_earlier_life_has_no_part_in_quarantine,
            a_page_of_large_records_is_shorter,
            one_replay_of_a_group_goes_on_at_a_time,
            everything_survives_a_reopen,
        );
    };
    ($place:expr; $($case:ident),* $(,)?) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn $case() {
                $crate::conformance::$case(&$place).await;
            }
        )*
    };
}

const RACERS: usize = 20;

pub async fn a_group_is_created_once_among_racers(place: &dyn Place) {
    let store = place.open().await;
    let (group_a, new) = (group("a"), schema("schema"));
    let racers = (0..RACERS).map(|_| store.create_group(&group_a, &new, NOW));
    let answers = join_all(racers).await;
    let created: Vec<&GroupRecord> = answers.iter().flatten().collect();
    assert_eq!(created.len(), 1, "{answers:?}");
    assert_eq!(created[0].state, ResourceState::Creating);
    let refused = |answer: &&Result<_, Error>| matches!(answer, Err(Error::AlreadyExists { .. }));
    assert_eq!(
        answers.iter().filter(refused).count(),
        RACERS - 1,
        "{answers:?}"
    );
    let stored = store.group(group("a").id()).await.expect("readable");
    assert_eq!(stored.as_ref(), Some(created[0]));
}

pub async fn the_definition_of_a_revision_is_replaced_once(place: &dyn Place) {
    let store = place.open().await;
    let first = create(&store, "a").await;
    let racers = (0..RACERS).map(|racer| {
        let (store, wider) = (&store, with_feature(&first.group, racer));
        let (new, revision) = (schema(&format!("schema {racer}")), first.revision);
        async move { store.update_group(&wider, &new, revision).await }
    });
    let answers = join_all(racers).await;
    let updated: Vec<&GroupRecord> = answers.iter().flatten().collect();
    assert_eq!(updated.len(), 1, "{answers:?}");
    assert!(updated[0].revision > first.revision);
    let stale = |answer: &&Result<_, Error>| matches!(answer, Err(Error::StaleRevision { .. }));
    assert_eq!(
        answers.iter().filter(stale).count(),
        RACERS - 1,
        "{answers:?}"
    );
    let stored = store.group(first.group.id()).await.expect("readable");
    assert_eq!(stored.as_ref(), Some(updated[0]));
    assert_eq!(texts(&store, &subject("a")).await.len(), 2);
    let unknown = store.update_group(&group("b"), &schema("schema"), 1).await;
    assert!(
        matches!(unknown, Err(Error::NotFound { .. })),
        "{unknown:?}"
    );
}

pub async fn groups_are_listed_by_id(place: &dyn Place) {
    let store = place.open().await;
    // Languages have other orders than bytes have.
    for name in ["ab", "a_b", "a1", "b"] {
        create(&store, name).await;
    }
    let listed = store.groups(None).await.expect("readable");
    let ids: Vec<&str> = listed.iter().map(|r| r.group.id().name.as_str()).collect();
    assert_eq!(ids, ["a1", "a_b", "ab", "b"]);
    let of_project = store.groups(Some(&project())).await.expect("readable");
    assert_eq!(of_project, listed);
    let elsewhere = view("elsewhere", 1).id.project;
    let of_another = store.groups(Some(&elsewhere)).await.expect("readable");
    assert_eq!(of_another, []);
}

pub async fn schema_ids_and_resource_names_are_not_reused(place: &dyn Place) {
    let mut seen = BTreeSet::new();
    let mut resources = BTreeSet::new();
    for round in 0..3 {
        // A reopened store must remember too.
        let store = place.open().await;
        let new = schema(&format!("schema {round}"));
        let record = store.create_group(&group("a"), &new, NOW).await;
        let record = record.expect("new");
        assert!(
            seen.insert(record.schema),
            "round {round}: {:?} was seen",
            record.schema
        );
        assert!(
            resources.insert(record.resource.clone()),
            "round {round}: {} was seen",
            record.resource
        );
        remove(&store, &record).await;
        assert_eq!(store.schema(record.schema).await.expect("readable"), None);
        assert_eq!(texts(&store, &subject("a")).await, [""; 0]);
        store.close().await.expect("closes");
    }
}

pub async fn states_move_only_where_they_may(place: &dyn Place) {
    let store = place.open().await;
    let record = create(&store, "a").await;
    let id = record.group.id();
    let failed = ResourceState::Failed {
        reason: "disk full".to_owned(),
    };
    for state in [failed.clone(), ResourceState::Active, failed] {
        store
            .set_group_state(id, &state, record.revision)
            .await
            .expect("allowed");
        let stored = store.group(id).await.expect("readable").expect("there");
        assert_eq!(stored.state, state);
    }
    let removed = store.remove_group(id).await;
    assert!(
        matches!(removed, Err(Error::WrongState { .. })),
        "{removed:?}"
    );

    let newer = with_feature(&record.group, 1);
    let newer = store
        .update_group(&newer, &schema("wider"), record.revision)
        .await
        .expect("current");
    let late = store
        .set_group_state(id, &ResourceState::Active, record.revision)
        .await;
    assert!(matches!(late, Err(Error::StaleRevision { .. })), "{late:?}");

    let deleting = ResourceState::Deleting;
    store
        .set_group_state(id, &deleting, newer.revision)
        .await
        .expect("allowed");
    store
        .set_group_state(id, &deleting, newer.revision)
        .await
        .expect("said twice");
    let back = store
        .set_group_state(id, &ResourceState::Active, newer.revision)
        .await;
    assert!(matches!(back, Err(Error::WrongState { .. })), "{back:?}");
    let changed = store
        .update_group(&newer.group, &schema("schema"), newer.revision)
        .await;
    assert!(
        matches!(changed, Err(Error::WrongState { .. })),
        "{changed:?}"
    );
    store.remove_group(id).await.expect("deleting");
    assert_eq!(store.group(id).await.expect("readable"), None);
    let again = store.remove_group(id).await;
    assert!(matches!(again, Err(Error::NotFound { .. })), "{again:?}");
}

pub async fn a_reason_may_hold_any_character(place: &dyn Place) {
    let store = place.open().await;
    let record = create(&store, "a").await;
    let id = record.group.id();
    let reason = "found `\u{1}\0\u{1f980}`".to_owned();
    let wanted = "found `\u{1}\u{fffd}\u{1f980}`".to_owned();

    let odd = QuarantinedRecord {
        reason: reason.clone(),
        ..quarantined(id, 0, 7)
    };
    store.quarantine(&[odd]).await.expect("group exists");
    let open = store.quarantined(id, None, 10).await.expect("readable");
    assert_eq!(open[0].reason, wanted);

    let failed = ResourceState::Failed { reason };
    store
        .set_group_state(id, &failed, record.revision)
        .await
        .expect("allowed");
    let stored = store.group(id).await.expect("readable").expect("there");
    assert_eq!(stored.state, ResourceState::Failed { reason: wanted });
}

pub async fn a_feature_view_is_stored_as_it_is(place: &dyn Place) {
    let store = place.open().await;
    create(&store, "a").await;
    let (first, second) = (view("default", 1), view("default", 2));
    let elsewhere = view("elsewhere", 1);
    for view in [&second, &first, &elsewhere] {
        store.create_view(view, NOW).await.expect("new");
    }
    let again = store.create_view(&first, NOW).await;
    assert!(
        matches!(again, Err(Error::AlreadyExists { .. })),
        "{again:?}"
    );
    assert_eq!(
        store.view(&first.id).await.expect("readable"),
        Some(first.clone())
    );
    let of_project = store
        .views(Some(&first.id.project))
        .await
        .expect("readable");
    assert_eq!(of_project, [first.clone(), second.clone()]);
    assert_eq!(
        store.views(None).await.expect("readable"),
        [first.clone(), second, elsewhere]
    );
    store.remove_view(&first.id).await.expect("there");
    assert_eq!(store.view(&first.id).await.expect("readable"), None);
    let again = store.remove_view(&first.id).await;
    assert!(matches!(again, Err(Error::NotFound { .. })), "{again:?}");
}

pub async fn dataset_versions_are_given_once(place: &dyn Place) {
    let store = place.open().await;
    let project = project();
    let reserve = |version| store.reserve_dataset(&project, "fares", version, LATER);
    let answers = join_all((0..RACERS).map(|_| reserve(None))).await;
    let given: BTreeSet<u32> = answers.into_iter().map(|v| v.expect("free")).collect();
    assert_eq!(given, (1..=20).collect());

    assert_eq!(reserve(Some(30)).await.expect("free"), 30);
    let taken = reserve(Some(30)).await;
    assert!(
        matches!(taken, Err(Error::AlreadyExists { .. })),
        "{taken:?}"
    );
    let reserved = store.reserved_datasets().await.expect("readable");
    assert_eq!(reserved.len(), RACERS + 1);
    assert_eq!(reserved[RACERS], reservation(30, LATER));
    store
        .remove_dataset(&project, "fares", 30, NOW)
        .await
        .expect("reserved");
    let reserved = store.reserved_datasets().await.expect("readable");
    assert_eq!(reserved.len(), RACERS);
    assert_eq!(reserve(Some(30)).await.expect("given up"), 30);
    assert_eq!(reserve(None).await.expect("free"), 31);
    let other = store.reserve_dataset(&project, "tips", None, LATER).await;
    assert_eq!(other.expect("free"), 1);
}

pub async fn what_is_referred_to_is_there_and_stays(place: &dyn Place) {
    let store = place.open().await;
    let reserved = store
        .reserve_dataset(&project(), "fares", Some(1), LATER)
        .await;
    reserved.expect("free");
    let refer = async || {
        (
            store.create_view(&view("default", 1), NOW).await,
            store.put_dataset(&dataset(1), None, NOW).await,
        )
    };
    let refused = refer().await;
    assert!(
        matches!(
            refused,
            (Err(Error::NotFound { .. }), Err(Error::NotFound { .. }))
        ),
        "{refused:?}"
    );
    let record = create(&store, "a").await;
    let id = record.group.id();
    store.begin_deletion(id, None).await.expect("there");
    let refused = refer().await;
    assert!(
        matches!(
            refused,
            (Err(Error::WrongState { .. }), Err(Error::WrongState { .. }))
        ),
        "{refused:?}"
    );
    store.remove_group(id).await.expect("deleting");
    // What was read in one life is not there in the next.
    create(&store, "a").await;
    let (viewed, pinned) = refer().await;
    viewed.expect("there");
    assert!(matches!(pinned, Err(Error::NotFound { .. })), "{pinned:?}");
    assert_eq!(store.datasets(None).await.expect("readable"), []);
}

pub async fn a_deletion_notices_what_changed_meanwhile(place: &dyn Place) {
    let store = place.open().await;
    let record = create(&store, "a").await;
    let id = record.group.id();
    let seen = store.newest_change().await.expect("readable");
    let view = store.create_view(&view("default", 1), NOW).await;
    view.expect("new");
    let late = store.begin_deletion(id, Some(seen)).await;
    assert!(matches!(late, Err(Error::StaleFeed { .. })), "{late:?}");
    let stored = store.group(id).await.expect("readable").expect("there");
    assert_eq!(stored.state, ResourceState::Creating);

    let seen = store.newest_change().await.expect("readable");
    let deleted = store.begin_deletion(id, Some(seen)).await;
    deleted.expect("nothing changed");
    let again = store.begin_deletion(id, Some(seen)).await;
    again.expect("the same deletion");
    assert_eq!(store.newest_change().await.expect("readable"), seen + 1);
}

pub async fn there_is_one_reconciler_at_a_time(place: &dyn Place) {
    let store = place.open().await;
    let lease = async || store.reconciler().await.expect("answers");
    let mut first = lease().await.expect("free");
    assert!(lease().await.is_none());
    first.renew().await.expect("held");
    first.release().await.expect("held");
    assert!(lease().await.is_some());
}

pub async fn a_dataset_is_finished_once(place: &dyn Place) {
    let store = place.open().await;
    let project = project();
    create(&store, "a").await;
    let unreserved = store.put_dataset(&dataset(1), None, NOW).await;
    assert!(
        matches!(unreserved, Err(Error::NotFound { .. })),
        "{unreserved:?}"
    );
    for version in 1..=3 {
        store
            .reserve_dataset(&project, "fares", Some(version), LATER)
            .await
            .expect("free");
    }
    let newest = |version| store.dataset(&project, "fares", version);
    assert_eq!(
        newest(None).await.expect("readable"),
        None,
        "nothing is finished yet"
    );
    for version in [2, 1] {
        store
            .put_dataset(&dataset(version), None, NOW)
            .await
            .expect("reserved");
    }
    let again = store.put_dataset(&dataset(1), None, NOW).await;
    assert!(
        matches!(again, Err(Error::AlreadyExists { .. })),
        "{again:?}"
    );
    assert_eq!(newest(None).await.expect("readable"), Some(dataset(2)));
    assert_eq!(newest(Some(1)).await.expect("readable"), Some(dataset(1)));
    assert_eq!(newest(Some(3)).await.expect("readable"), None);
    let all = [dataset(1), dataset(2)];
    assert_eq!(store.datasets(Some(&project)).await.expect("readable"), all);
    assert_eq!(store.datasets(None).await.expect("readable"), all);
    store
        .remove_dataset(&project, "fares", 2, NOW)
        .await
        .expect("there");
    assert_eq!(newest(None).await.expect("readable"), Some(dataset(1)));
    let again = store.remove_dataset(&project, "fares", 2, NOW).await;
    assert!(matches!(again, Err(Error::NotFound { .. })), "{again:?}");
    let given_again = store
        .reserve_dataset(&project, "fares", Some(2), LATER)
        .await;
    assert!(
        matches!(given_again, Err(Error::AlreadyExists { .. })),
        "{given_again:?}"
    );
}

#[expect(
    clippy::too_many_lines,
    reason = "one story of every kind of change, in order"
)]
pub async fn every_change_is_in_the_feed_once_and_in_order(place: &dyn Place) {
    let store = place.open().await;
    assert_eq!(feed(&store).await, []);
    assert_eq!(store.newest_change().await.expect("readable"), 0);
    let record = create(&store, "a").await;
    let id = record.group.id().clone();
    activate(&store, &record).await;
    activate(&store, &record).await;
    store
        .create_group(&record.group, &schema("schema"), NOW)
        .await
        .expect_err("exists");
    let view = view("default", 1);
    store.create_view(&view, NOW).await.expect("new");
    store.create_view(&view, NOW).await.expect_err("exists");
    store
        .reserve_dataset(&project(), "fares", None, LATER)
        .await
        .expect("free");
    store
        .put_dataset(&dataset(1), None, NOW)
        .await
        .expect("reserved");
    store
        .update_group(&record.group, &schema("other"), record.revision)
        .await
        .expect("current");
    store.remove_view(&view.id).await.expect("there");
    store
        .remove_dataset(&project(), "fares", 1, NOW)
        .await
        .expect("there");
    store
        .set_group_state(&id, &ResourceState::Deleting, record.revision + 1)
        .await
        .expect("allowed");
    store.remove_group(&id).await.expect("deleting");

    let of_group = ChangeSubject::FeatureGroup(id);
    let of_view = ChangeSubject::FeatureView(view.id);
    let of_dataset = ChangeSubject::TrainingDataset {
        project: project(),
        name: "fares".to_owned(),
        version: 1,
    };
    let changes = feed(&store).await;
    let subjects: Vec<&ChangeSubject> = changes.iter().map(|change| &change.subject).collect();
    let wanted = [
        &of_group,
        &of_group,
        &of_view,
        &of_dataset,
        &of_group,
        &of_view,
        &of_dataset,
        &of_group,
        &of_group,
    ];
    assert_eq!(subjects, wanted);
    assert!(
        changes.is_sorted_by(|a, b| a.sequence < b.sequence),
        "{changes:?}"
    );
    assert_eq!(
        store.newest_change().await.ok(),
        changes.last().map(|change| change.sequence)
    );
    let page = store
        .changes(changes[1].sequence, 3)
        .await
        .expect("readable");
    assert_eq!(page, changes[2..5]);

    let racers = (0..RACERS).map(|racer| {
        let (store, name) = (&store, format!("racer_{racer}"));
        async move { create(store, &name).await }
    });
    join_all(racers).await;
    let after = changes.last().map_or(0, |change| change.sequence);
    let raced = store.changes(after, usize::MAX).await.expect("readable");
    let subjects: BTreeSet<String> = raced.iter().map(|c| format!("{:?}", c.subject)).collect();
    assert_eq!((raced.len(), subjects.len()), (RACERS, RACERS));
}

pub async fn quarantine_is_idempotent_and_paged(place: &dyn Place) {
    let store = place.open().await;
    let record = create(&store, "a").await;
    let id = record.group.id();
    let records: Vec<_> = [(0, 7), (0, 9), (1, 2), (1, 30), (2, 0)]
        .map(|(partition, offset)| quarantined(id, partition, offset))
        .into();
    store.quarantine(&records[2..]).await.expect("group exists");
    let other_words = QuarantinedRecord {
        reason: "said by the other consumer".to_owned(),
        ..records[2].clone()
    };
    store
        .quarantine(&[records[0].clone(), records[1].clone(), other_words])
        .await
        .expect("again");
    store.quarantine(&records).await.expect("again");

    let first = store.quarantined(id, None, 2).await.expect("readable");
    assert_eq!(first, records[..2]);
    let rest = store
        .quarantined(id, Some(first[1].position), 10)
        .await
        .expect("readable");
    assert_eq!(rest, records[2..]);

    assert_eq!(store.quarantine(&[]).await.ok(), Some(()));
}

pub async fn a_replayed_record_does_not_come_back(place: &dyn Place) {
    let store = place.open().await;
    let record = create(&store, "a").await;
    let id = record.group.id();
    let records = [(0, 7), (0, 9), (1, 2), (1, 30)]
        .map(|(partition, offset)| quarantined(id, partition, offset));
    store.quarantine(&records).await.expect("group exists");
    let replayed = [records[0].position, records[3].position];
    for _ in 0..2 {
        store
            .mark_replayed(id, &record.resource, &replayed, NOW)
            .await
            .expect("group exists");
    }
    // A consumer that starts again reports what lies after its last progress once more.
    store.close().await.expect("closes");
    let store = place.open().await;
    store.quarantine(&records).await.expect("reported again");
    let open = store.quarantined(id, None, 10).await.expect("readable");
    assert_eq!(open, records[1..3]);
}

pub async fn quarantine_goes_with_its_group(place: &dyn Place) {
    let store = place.open().await;
    let record = create(&store, "a").await;
    let id = record.group.id();
    let elsewhere = group("b");
    let both = [quarantined(id, 0, 1), quarantined(elsewhere.id(), 0, 1)];
    let refused = store.quarantine(&both).await;
    assert!(
        matches!(refused, Err(Error::NotFound { .. })),
        "{refused:?}"
    );
    let none = store.quarantined(id, None, 10).await.expect("readable");
    assert_eq!(none, [], "all or nothing");
    store.quarantine(&both[..1]).await.expect("group exists");
    remove(&store, &record).await;
    create(&store, "a").await;
    assert_eq!(store.quarantined(id, None, 10).await.expect("readable"), []);
}

pub async fn everything_survives_a_reopen(place: &dyn Place) {
    let store = place.open().await;
    let record = create(&store, "a").await;
    let failed = ResourceState::Failed {
        reason: "disk full".to_owned(),
    };
    let id = record.group.id();
    store
        .set_group_state(id, &failed, record.revision)
        .await
        .expect("allowed");
    store
        .create_view(&view("default", 1), NOW)
        .await
        .expect("new");
    store
        .reserve_dataset(&project(), "fares", None, LATER)
        .await
        .expect("free");
    store
        .put_dataset(&dataset(1), None, NOW)
        .await
        .expect("reserved");
    store
        .quarantine(&[quarantined(id, 0, 7)])
        .await
        .expect("group exists");
    let changes = feed(&store).await;
    store.close().await.expect("closes");
    store.close().await.expect("closes twice");

    let store = place.open().await;
    let wanted = GroupRecord {
        state: failed,
        ..record.clone()
    };
    assert_eq!(
        store.group(id).await.expect("readable"),
        Some(wanted.clone())
    );
    assert_eq!(store.groups(None).await.expect("readable"), [wanted]);
    assert_eq!(texts(&store, &subject("a")).await, ["schema"]);
    assert_eq!(
        store.views(None).await.expect("readable"),
        [view("default", 1)]
    );
    assert_eq!(store.datasets(None).await.expect("readable"), [dataset(1)]);
    let open = store.quarantined(id, None, 10).await.expect("readable");
    assert_eq!(open, [quarantined(id, 0, 7)]);
    assert_eq!(feed(&store).await, changes);
    assert_eq!(
        store
            .reserve_dataset(&project(), "fares", None, LATER)
            .await
            .expect("free"),
        2
    );
}
