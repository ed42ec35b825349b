//! What may be defined, who may change it, and what is said about the rest.

use std::collections::BTreeMap;

use tokio::task::JoinSet;
use twinfold_client::{Deletion, Expected};
use twinfold_model::{
    CompareOp, DatasetFormat, DatasetSource, DatasetSpec, DatasetSplit, EventTime, Feature,
    FeatureGroup, FeatureGroupId, FeatureType, FeatureView, FeatureViewId, Filter,
    GroupDescription, Name, Offset, PartitionId, PinnedTable, Position, ProjectName,
    QuarantinedRecord, Query, ResourceState, SchemaId, Selection, TrainingDataset, Value,
};
use twinfold_registry::{Error, Registry};
use twinfold_store_metadata::ChangeSubject;
use twinfold_testkit::weather_group;

use crate::world::Place;

pub fn id() -> FeatureGroupId {
    weather_group().id().clone()
}

pub fn project() -> ProjectName {
    ProjectName::new("default").expect("valid")
}

fn changed(change: impl FnOnce(&mut twinfold_model::FeatureGroupSpec)) -> FeatureGroup {
    let mut spec = weather_group().to_spec();
    change(&mut spec);
    FeatureGroup::new(spec).expect("valid")
}

pub fn view(version: u32) -> FeatureView {
    FeatureView {
        id: FeatureViewId::new("default", "heat", version).expect("valid"),
        query: Query {
            left: Selection {
                group: id(),
                features: vec!["temp".to_owned(), "visibility".to_owned()],
                as_of: None,
            },
            joins: Vec::new(),
            filter: None,
        },
        labels: vec!["visibility".to_owned()],
        defaults: BTreeMap::from([("temp".to_owned(), Value::Int(20))]),
        description: String::new(),
    }
}

fn spec(source: DatasetSource) -> DatasetSpec {
    DatasetSpec {
        project: project(),
        name: Name::new("training dataset", "heat").expect("valid"),
        version: None,
        source,
        labels: Vec::new(),
        defaults: BTreeMap::new(),
        format: DatasetFormat::Parquet,
        splits: Vec::new(),
        seed: 0,
        event_time_start: None,
        event_time_end: None,
        description: String::new(),
    }
}

pub async fn with_group(place: &Place) -> Registry {
    let registry = place.registry().await;
    registry
        .create_feature_group(weather_group())
        .await
        .expect("new");
    registry.reconcile_once().await.expect("reads");
    registry
}

fn text<T: std::fmt::Debug>(answer: Result<T, Error>) -> String {
    answer.expect_err("refused").to_string()
}

#[tokio::test]
async fn a_group_is_created_once() {
    let place = Place::new().await;
    let registry = with_group(&place).await;
    let again = registry.create_feature_group(weather_group()).await;
    assert_eq!(
        text(again),
        "feature group `default.weather_1` already exists"
    );
}

#[tokio::test]
async fn what_cannot_be_read_back_is_not_stored() {
    let place = Place::new().await;
    let registry = place.registry().await;
    let broken = changed(|spec| spec.features[2].default = Some(Value::String("hot".to_owned())));
    let refused = text(registry.create_feature_group(broken).await);
    assert_eq!(
        refused,
        "feature `temp`: found string \"hot\", wanted double"
    );
    assert_eq!(registry.feature_groups(None).await.expect("reads"), []);
}

#[tokio::test]
async fn features_appended_at_the_same_time_are_all_kept() {
    let place = Place::new().await;
    let registry = with_group(&place).await;
    let mut callers = JoinSet::new();
    for caller in 0..5 {
        let registry = registry.clone();
        let added = Feature::new(&format!("added_{caller}"), FeatureType::Int).expect("valid");
        callers.spawn(async move {
            registry
                .append_features(&id(), vec![added], &Expected::Anything)
                .await
        });
    }
    for record in callers.join_all().await {
        record.expect("appended");
    }
    let record = registry.feature_group(&id()).await.expect("exists");
    assert_eq!(
        record.group.features().len(),
        weather_group().features().len() + 5
    );
    assert_eq!(registry.schemas(&id()).await.expect("exists").len(), 6);

    let required = Feature::new("late", FeatureType::Int)
        .expect("valid")
        .required();
    let refused = text(
        registry
            .append_features(&id(), vec![required], &Expected::Anything)
            .await,
    );
    assert!(
        refused.contains("is neither nullable nor has a default; create version 2"),
        "{refused}"
    );
}

#[tokio::test]
async fn a_new_description_touches_nothing_else() {
    let place = Place::new().await;
    let registry = with_group(&place).await;
    let before = registry.feature_group(&id()).await.expect("exists");
    place.world.calls();
    let tags = BTreeMap::from([("team".to_owned(), "sky".to_owned())]);
    let after = registry
        .describe_feature_group(
            &id(),
            &GroupDescription {
                description: Some("what the weather is".to_owned()),
                tags: Some(tags.clone()),
            },
            &Expected::Anything,
        )
        .await
        .expect("exists");
    assert_eq!(
        (after.state, after.schema),
        (ResourceState::Active, before.schema)
    );
    assert_eq!(
        (after.group.description(), after.group.tags()),
        ("what the weather is", &tags)
    );
    let without_tags = GroupDescription {
        description: None,
        tags: Some(BTreeMap::new()),
    };
    let again = registry
        .describe_feature_group(&id(), &without_tags, &Expected::Anything)
        .await;
    let again = again.expect("exists");
    assert_eq!(again.group.description(), "what the weather is");
    assert!(again.group.tags().is_empty());
    let seen = *registry.newest_change().borrow();
    let same = registry
        .describe_feature_group(&id(), &without_tags, &Expected::Anything)
        .await;
    assert_eq!(same.expect("exists"), again, "nothing was said anew");
    assert_eq!(registry.changes(seen, 10).await.expect("reads"), []);
    registry.reconcile_once().await.expect("reads");
    assert!(place.world.calls().is_empty());
}

#[tokio::test]
async fn nothing_said_changes_nothing_also_where_a_default_equals_nothing() {
    let place = Place::new().await;
    let registry = place.registry().await;
    let group = changed(|spec| spec.features[2].default = Some(Value::Double(f64::NAN)));
    let created = registry.create_feature_group(group).await.expect("new");
    let nothing = GroupDescription::default();
    let described = registry
        .describe_feature_group(&id(), &nothing, &Expected::Anything)
        .await;
    assert_eq!(described.expect("exists").revision, created.revision);
}

#[tokio::test]
async fn who_asks_for_what_is_not_there_hears_what_is() {
    let place = Place::new().await;
    let registry = with_group(&place).await;
    let ask = |name: &str, version| FeatureGroupId::new("default", name, version).expect("valid");
    assert_eq!(
        text(registry.feature_group(&ask("wether", 1)).await),
        "feature group `default.wether_1` does not exist; did you mean `weather`?"
    );
    assert_eq!(
        text(registry.feature_group(&ask("weather", 3)).await),
        "feature group `default.weather_3` does not exist; there is version 1"
    );
    assert_eq!(
        text(registry.newest_feature_group(&project(), "trips").await),
        "feature group `default.trips` does not exist; project `default` has `weather`"
    );
    assert_eq!(
        text(registry.newest_feature_view(&project(), "heat").await),
        "feature view `default.heat` does not exist; project `default` has none"
    );
    registry.create_feature_view(view(2)).await.expect("valid");
    assert_eq!(
        text(registry.feature_view(&view(1).id).await),
        "feature view `default.heat_1` does not exist; there is version 2"
    );
    assert_eq!(
        text(registry.training_dataset(&project(), "heat", Some(1)).await),
        "training dataset `default.heat_1` does not exist; project `default` has none"
    );
    assert_eq!(
        text(
            registry
                .writer_schema(SchemaId(99), "default.weather_1")
                .await
        ),
        "schema `99` does not exist"
    );
    let newest = registry
        .newest_feature_group(&project(), "weather")
        .await
        .expect("exists");
    assert_eq!(newest.group, weather_group());
}

#[tokio::test]
async fn a_view_is_checked_and_stored_with_typed_values() {
    let place = Place::new().await;
    let registry = with_group(&place).await;
    let mut hot = view(1);
    hot.query.filter = Some(Filter::Compare {
        feature: "temp".to_owned(),
        op: CompareOp::Greater,
        value: Value::BigInt(30),
    });
    let stored = registry.create_feature_view(hot).await.expect("valid");
    assert_eq!(stored.defaults["temp"], Value::Double(20.0));
    let Some(Filter::Compare { value, .. }) = &stored.query.filter else {
        panic!("the filter is gone");
    };
    assert_eq!(*value, Value::Double(30.0));
    assert_eq!(
        registry.feature_view(&stored.id).await.expect("exists"),
        stored
    );
    registry.create_feature_view(view(2)).await.expect("valid");
    let newest = registry
        .newest_feature_view(&project(), "heat")
        .await
        .expect("exists");
    assert_eq!(newest.id.version, 2);

    let again = text(registry.create_feature_view(view(1)).await);
    assert_eq!(again, "feature view `default.heat_1` already exists");
    let mut wrong = view(3);
    wrong.query.left.features.push("humidity".to_owned());
    let refused = text(registry.create_feature_view(wrong).await);
    assert!(
        refused.starts_with("feature `humidity` does not exist in `default.weather_1`"),
        "{refused}"
    );
    let mut elsewhere = view(3);
    elsewhere.query.left.group.version = 7;
    let refused = text(registry.create_feature_view(elsewhere).await);
    assert!(
        refused.contains("`default.weather_7` does not exist; there is version 1"),
        "{refused}"
    );

    registry
        .delete_feature_view(&stored.id)
        .await
        .expect("exists");
    let gone = registry.feature_view(&stored.id).await;
    assert!(matches!(gone, Err(Error::NotFound { .. })), "{gone:?}");
}

#[tokio::test]
async fn a_group_in_use_is_deleted_only_by_force() {
    let place = Place::new().await;
    let registry = with_group(&place).await;
    registry.create_feature_view(view(1)).await.expect("valid");
    let query = view(1).query;
    registry
        .reserve_training_dataset(&project(), "heat", None)
        .await
        .expect("free");
    registry
        .put_training_dataset(&dataset(query), None)
        .await
        .expect("reserved");
    let refused = registry
        .delete_feature_group(&id(), Deletion::RefuseIfUsed, &Expected::Anything)
        .await;
    assert_eq!(
        text(refused),
        "feature group `default.weather_1` is in use by feature view `default.heat_1`, training \
         dataset `default.heat_1`"
    );
    assert_eq!(registry.pinned_commits(&id()).await.expect("reads"), [3, 5]);
    registry
        .delete_feature_group(&id(), Deletion::Force, &Expected::Anything)
        .await
        .expect("forced");
    registry
        .delete_feature_group(&id(), Deletion::Force, &Expected::Anything)
        .await
        .expect("said twice");
    let late = text(registry.create_feature_view(view(2)).await);
    assert_eq!(late, "feature group `default.weather_1` is being deleted");
}

pub fn pin(life: u32, commit: u64) -> PinnedTable {
    PinnedTable {
        group: id(),
        resource: id().resource_name(life),
        commit,
    }
}

pub fn dataset(query: Query) -> TrainingDataset {
    let spec = spec(DatasetSource::Query(query.clone()));
    TrainingDataset {
        project: project(),
        name: spec.name.clone(),
        version: 1,
        spec,
        query,
        pins: [5, 3, 5].map(|commit| pin(1, commit)).into(),
        features: Vec::new(),
        rows: BTreeMap::new(),
        location: "datasets/default.heat_1".to_owned(),
        digest: "00ff".to_owned(),
        created_at: EventTime::from_micros(1),
    }
}

#[tokio::test]
async fn a_dataset_is_resolved_to_the_query_it_runs() {
    let place = Place::new().await;
    let registry = with_group(&place).await;
    let stored = registry.create_feature_view(view(1)).await.expect("valid");
    let from_view = spec(DatasetSource::View(stored.id.clone()));
    let (resolved, query) = registry.resolve_dataset(from_view).await.expect("valid");
    assert_eq!(resolved.labels, ["visibility"]);
    assert_eq!(resolved.defaults, stored.defaults);
    assert_eq!(query, stored.query);

    let mut wrong = spec(DatasetSource::Query(query.clone()));
    wrong.labels = vec!["price".to_owned()];
    let refused = text(registry.resolve_dataset(wrong).await);
    assert!(
        refused.starts_with("feature `price` does not exist in `training dataset heat`"),
        "{refused}"
    );
    let mut wrong = spec(DatasetSource::Query(query));
    wrong.splits = vec![DatasetSplit {
        name: "train".to_owned(),
        share: 0.5,
    }];
    let refused = text(registry.resolve_dataset(wrong).await);
    assert!(refused.contains("add up to 0.5, wanted 1"), "{refused}");

    let project = project();
    let reserve = || registry.reserve_training_dataset(&project, "heat", None);
    assert_eq!(reserve().await.expect("free"), 1);
    registry
        .delete_training_dataset(&project, "heat", 1)
        .await
        .expect("given up");
    assert_eq!(reserve().await.expect("free"), 1, "nothing was made of it");
}

pub fn quarantined(offset: u64) -> QuarantinedRecord {
    QuarantinedRecord {
        group: id(),
        resource: id().resource_name(1),
        position: Position {
            partition: PartitionId(0),
            offset: Offset(offset),
        },
        key: Vec::new(),
        value: vec![1],
        headers: Vec::new(),
        code: "truncated".to_owned(),
        reason: "the body ends early".to_owned(),
        quarantined_at: EventTime::from_micros(1),
        replayed_at: None,
    }
}

#[tokio::test]
async fn quarantined_records_are_listed_until_replayed() {
    let place = Place::new().await;
    let registry = with_group(&place).await;
    registry
        .quarantine(&[quarantined(1), quarantined(2)])
        .await
        .expect("group exists");
    let open = registry.quarantined(&id(), None, 10).await.expect("reads");
    assert_eq!(open, [quarantined(1), quarantined(2)]);
    registry
        .mark_replayed(&id(), &id().resource_name(1), &[quarantined(1).position])
        .await
        .expect("group exists");
    let open = registry.quarantined(&id(), None, 10).await.expect("reads");
    assert_eq!(open, [quarantined(2)]);
    let mut unknown = id();
    unknown.version = 9;
    let refused = registry.quarantined(&unknown, None, 10).await;
    assert!(
        matches!(refused, Err(Error::NotFound { .. })),
        "{refused:?}"
    );
}

#[tokio::test]
async fn every_change_moves_the_feed() {
    let place = Place::new().await;
    let registry = place.registry().await;
    let mut feed = registry.newest_change();
    assert_eq!(*feed.borrow_and_update(), 0);
    registry
        .create_feature_group(weather_group())
        .await
        .expect("new");
    assert!(feed.has_changed().expect("open"));
    let created = *feed.borrow_and_update();
    registry.reconcile_once().await.expect("reads");
    registry.create_feature_view(view(1)).await.expect("valid");
    let newest = *feed.borrow_and_update();
    let changes = registry.changes(created, 100).await.expect("reads");
    assert_eq!(changes.last().map(|change| change.sequence), Some(newest));
    let subjects: Vec<ChangeSubject> = changes.into_iter().map(|change| change.subject).collect();
    assert_eq!(
        subjects,
        [
            ChangeSubject::FeatureGroup(id()),
            ChangeSubject::FeatureView(view(1).id)
        ]
    );
    let restarted = place.registry().await;
    assert_eq!(*restarted.newest_change().borrow(), newest);
}
