//! Whoever needs the registry cannot tell whether it is in the same process.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use twinfold_client::remote::RemoteRegistry;
use twinfold_client::{ControlPlane, Deletion, Expected, Result, revision};
use twinfold_model::{
    ColumnStatistics, DatasetStatistics, Feature, FeatureGroup, FeatureGroupId, FeatureType,
    FeatureViewId, GroupDescription, Offset, PartitionId, Position, ProjectName, QuarantinedRecord,
    SplitStatistics, TrainingDataset, Value,
};
use twinfold_registry::{LocalRegistry, http};
use twinfold_testkit::weather_group;

use crate::definitions::{dataset, id, pin, project, quarantined, view};
use crate::world::{Place, tasks};

const WAIT: Duration = Duration::from_secs(60);
const ANY: &Expected = &Expected::Anything;
const NO_TIME: Duration = Duration::from_millis(1);

/// A registry that works, seen from near and from far.
struct Both {
    place: Place,
    url: String,
    stop: CancellationToken,
    near: Arc<dyn ControlPlane>,
    far: Arc<dyn ControlPlane>,
}

impl Both {
    async fn new() -> Self {
        let place = Place::new().await;
        let registry = place.registry().await;
        let stop = CancellationToken::new();
        let (working, token) = (registry.clone(), stop.clone());
        tokio::spawn(async move { working.run(token).await });
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its address");
        let router = http::router(registry.clone(), tasks());
        tokio::spawn(twinfold_http_kit::serve(listener, router, stop.clone()));
        let url = format!("http://{address}");
        let far = RemoteRegistry::connect(&url).await;
        let far = Arc::new(far.expect("it answers"));
        let (followed, token) = (Arc::clone(&far), stop.clone());
        tokio::spawn(async move { followed.follow(token).await });
        Self {
            place,
            url,
            stop,
            near: Arc::new(LocalRegistry::new(registry)),
            far,
        }
    }
}

impl Drop for Both {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn said<T: Debug>(answer: Result<T>) -> String {
    match answer {
        Ok(answer) => format!("{answer:?}"),
        Err(error) => format!("{error:?} {error}"),
    }
}

fn of_version(version: u32) -> TrainingDataset {
    TrainingDataset {
        version,
        pins: vec![pin(1, 3)],
        ..dataset(view(1).query)
    }
}

fn statistics() -> DatasetStatistics {
    let column = ColumnStatistics {
        name: "temp".to_owned(),
        nulls: 1,
        min: Some(Value::Double(-0.5)),
        mean: Some(0.1),
        ..ColumnStatistics::default()
    };
    let whole = SplitStatistics {
        rows: 4,
        columns: vec![column],
    };
    DatasetStatistics {
        whole,
        ..DatasetStatistics::default()
    }
}

async fn put(registry: &dyn ControlPlane, version: u32) -> String {
    let dataset = of_version(version);
    said(registry.put_training_dataset(&dataset, &statistics()).await)
}

/// Changes that were meant for the group as it was created, or for what it never is.
async fn late_changes(registry: &dyn ControlPlane, storms: &GroupDescription) -> Vec<String> {
    let id = id();
    let created = revision(&weather_group(), &id.resource_name(1));
    let weak = format!("W/\"{created}\"");
    let seen = Expected::OneOf(vec![created, weak]);
    let snow = Feature::new("snow", FeatureType::Double).expect("feature");
    let appended = registry.append_features(&id, vec![snow], &seen, WAIT);
    let described = registry.describe_feature_group(&id, storms, &seen);
    let deleted = registry.delete_feature_group(&id, Deletion::Force, &seen, WAIT);
    vec![
        said(appended.await),
        said(described.await),
        said(deleted.await),
    ]
}

/// Defines all there is through one of the two, and undoes it.
async fn life(registry: &dyn ControlPlane) -> Vec<String> {
    let (group, id, project) = (weather_group(), id(), project());
    let gust = Feature::new("gust", FeatureType::Double).expect("feature");
    let unknown = FeatureGroupId::new("default", "wether", 1).expect("valid");
    let storms = GroupDescription {
        description: Some("storms".to_owned()),
        tags: None,
    };
    let created = registry.create_feature_group(&group, WAIT).await;
    let again = registry.create_feature_group(&group, WAIT).await;
    let appended = registry.append_features(&id, vec![gust.clone()], ANY, WAIT);
    let mut said_all = vec![
        said(created),
        said(again),
        said(appended.await),
        said(registry.group(&id).await),
        said(registry.feature_group(&id).await),
        said(registry.append_features(&id, vec![gust], ANY, WAIT).await),
        said(registry.describe_feature_group(&id, &storms, ANY).await),
        said(
            registry
                .describe_feature_group(&unknown, &storms, ANY)
                .await,
        ),
        said(registry.schemas(&id).await),
        said(registry.create_feature_view(&view(1)).await),
        said(registry.create_feature_view(&view(1)).await),
        said(
            registry
                .delete_feature_group(&id, Deletion::RefuseIfUsed, ANY, WAIT)
                .await,
        ),
    ];
    said_all.extend(late_changes(registry, &storms).await);
    let reserve = || registry.reserve_training_dataset(&project, "heat", None);
    for version in [1, 2] {
        said_all.push(said(reserve().await));
        let renewed = registry.renew_training_dataset(&project, "heat", version);
        said_all.push(said(renewed.await));
    }
    said_all.extend([
        put(registry, 1).await,
        put(registry, 7).await,
        said(registry.reserved_training_datasets(&project).await),
        said(registry.pinned_commits(&id).await),
    ]);
    said_all.extend(questions(registry, &project).await);
    for version in [1, 2, 2] {
        let deleted = registry.delete_training_dataset(&project, "heat", version);
        said_all.push(said(deleted.await));
    }
    said_all.extend(bad_records(registry).await);
    said_all.extend([
        said(registry.delete_feature_view(&view(1).id).await),
        said(registry.delete_feature_view(&view(1).id).await),
        said(
            registry
                .delete_feature_group(&id, Deletion::RefuseIfUsed, ANY, WAIT)
                .await,
        ),
        said(registry.group(&id).await),
        said(registry.feature_group(&id).await),
        said(registry.groups().await),
    ]);
    said_all
}

async fn questions(registry: &dyn ControlPlane, project: &ProjectName) -> Vec<String> {
    let unknown = FeatureViewId::new("default", "heat", 2).expect("valid");
    let elsewhere = ProjectName::new("elsewhere").expect("valid");
    let dataset =
        async |name: &str, version| said(registry.training_dataset(project, name, version).await);
    let statistics_of = async |name: &str, version| {
        let found = registry.training_dataset_statistics(project, name, version);
        said(found.await)
    };
    vec![
        said(registry.newest_feature_group(project, "weather").await),
        said(registry.newest_feature_group(project, "wether").await),
        said(registry.newest_feature_group(project, "a/b é?").await),
        said(registry.feature_view(&view(1).id).await),
        said(registry.feature_view(&unknown).await),
        said(registry.newest_feature_view(project, "heat").await),
        said(registry.newest_feature_view(project, "heath").await),
        said(registry.feature_views(project).await),
        said(registry.feature_views(&elsewhere).await),
        said(registry.resolve_dataset(of_version(1).spec).await),
        dataset("heat", None).await,
        dataset("heat", Some(1)).await,
        dataset("heat", Some(2)).await,
        dataset("../heat", None).await,
        statistics_of("heat", 1).await,
        statistics_of("heat", 2).await,
        statistics_of("heath", 1).await,
        said(registry.training_datasets(project).await),
        said(registry.training_datasets(&elsewhere).await),
    ]
}

async fn bad_records(registry: &dyn ControlPlane) -> Vec<String> {
    let at = |offset| Position {
        partition: PartitionId(0),
        offset: Offset(offset),
    };
    let records: Vec<QuarantinedRecord> = (0..5).map(quarantined).collect();
    let of_another_life = QuarantinedRecord {
        resource: id().resource_name(2),
        ..quarantined(5)
    };
    let mark = async |life| {
        let (group, positions) = (id(), [at(2), at(3)]);
        let resource = group.resource_name(life);
        said(registry.mark_replayed(&group, &resource, &positions).await)
    };
    vec![
        said(registry.quarantine(&records).await),
        said(registry.quarantine(&[of_another_life]).await),
        said(registry.quarantined(&id(), None, 2).await),
        said(registry.quarantined(&id(), Some(at(1)), 10).await),
        said(registry.claim_replay(&id(), "one").await),
        said(registry.claim_replay(&id(), "two").await),
        mark(1).await,
        mark(2).await,
        said(registry.end_replay(&id(), "one").await),
        said(registry.claim_replay(&id(), "two").await),
        said(registry.quarantined(&id(), Some(at(0)), 10).await),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn the_registry_says_the_same_near_and_far() {
    let (one, other) = (Both::new().await, Both::new().await);
    let near = life(one.near.as_ref()).await;
    let far = life(other.far.as_ref()).await;
    assert_eq!(far, near);
    for kind in ["InUse", "Stale"] {
        assert!(near.iter().any(|said| said.contains(kind)), "{near:?}");
    }
}

/// A client of before there were statistics finishes its datasets without, and both say that there are none.
#[tokio::test(flavor = "multi_thread")]
async fn statistics_are_there_or_said_not_to_be() {
    let both = Both::new().await;
    let (near, far, project) = (both.near.as_ref(), both.far.as_ref(), project());
    let created = near.create_feature_group(&weather_group(), WAIT).await;
    created.expect("made");
    for version in [1, 2] {
        let reserved = near.reserve_training_dataset(&project, "heat", None).await;
        assert_eq!(reserved.expect("free"), version);
    }
    let (with, without) = (of_version(1), of_version(2));
    let put = far.put_training_dataset(&with, &statistics()).await;
    put.expect("reserved");
    let registry = both.place.registry().await;
    let put = registry.put_training_dataset(&without, None).await;
    put.expect("reserved");
    for registry in [near, far] {
        for (version, wanted) in [(1, Some(statistics())), (2, None)] {
            let found = registry.training_dataset_statistics(&project, "heat", version);
            assert_eq!(found.await.expect("there"), wanted);
        }
        let unknown = registry.training_dataset_statistics(&project, "heat", 3);
        let unknown = unknown.await.expect_err("there is none").to_string();
        assert!(
            unknown.starts_with("training dataset `default.heat_3`"),
            "{unknown}"
        );
    }
}

/// What was changed through a client is what it knows from then on, although the feed comes later.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_knows_what_it_has_changed() {
    let both = Both::new().await;
    let far = both.far.as_ref();
    for round in 0..10 {
        let group = weather_group();
        far.create_feature_group(&group, WAIT).await.expect("made");
        assert_eq!(known(far).await, [group], "{round}");
        let gust = Feature::new("gust", FeatureType::Double).expect("feature");
        let changed = far.append_features(&id(), vec![gust], ANY, WAIT).await;
        assert_eq!(known(far).await, [changed.expect("changed").group.clone()]);
        far.delete_feature_group(&id(), Deletion::RefuseIfUsed, ANY, WAIT)
            .await
            .expect("gone");
        assert_eq!(known(far).await, [], "{round}");
    }
}

/// Another may have changed it; then the rest of what is known is as old.
#[tokio::test(flavor = "multi_thread")]
async fn a_group_that_is_asked_for_anew_is_no_older_than_the_question() {
    let both = Both::new().await;
    let group = weather_group();
    both.near
        .create_feature_group(&group, WAIT)
        .await
        .expect("made");
    // Nobody tells it what changes.
    let deaf = RemoteRegistry::connect(&both.url).await;
    let deaf: Arc<dyn ControlPlane> = Arc::new(deaf.expect("it answers"));
    assert_eq!(known(deaf.as_ref()).await, [group]);
    let gust = Feature::new("gust", FeatureType::Double).expect("feature");
    let changed = both
        .near
        .append_features(&id(), vec![gust], ANY, WAIT)
        .await;
    let changed = changed.expect("changed");
    let evolved = [changed.group.clone()];
    assert_eq!(known(deaf.as_ref()).await, [weather_group()]);
    let found = deaf.feature_group(&id()).await.expect("there");
    assert_eq!(found, changed);
    assert_eq!(known(deaf.as_ref()).await, evolved);

    both.near
        .delete_feature_group(&id(), Deletion::RefuseIfUsed, ANY, WAIT)
        .await
        .expect("gone");
    assert_eq!(known(deaf.as_ref()).await, evolved);
    let gone = deaf.feature_group(&id()).await;
    assert!(said(gone).contains("does not exist"));
    assert_eq!(known(deaf.as_ref()).await, []);
}

async fn known(registry: &dyn ControlPlane) -> Vec<FeatureGroup> {
    let groups = registry.groups().await.expect("readable");
    groups.iter().map(|known| known.group.clone()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn work_goes_on_when_nobody_waits_for_it_any_longer() {
    let both = Both::new().await;
    let group = weather_group();
    let late = both.far.create_feature_group(&group, NO_TIME);
    if let Err(error) = late.await {
        assert!(error.retry(), "{error}");
    }
    twinfold_testkit::eventually(WAIT, || async {
        let known = both.near.group(&id()).await;
        known.is_ok_and(|known| known.state == twinfold_model::ResourceState::Active)
    })
    .await;
}
