//! Schemas, subjects and what is set for them.

use futures::future::join_all;
use twinfold_model::{ResourceState, SchemaId};
use twinfold_wire::record::{key_subject, value_subject};

use super::fixtures::{
    NOW, Store, activate, create, group, registered, remove, schema, subject, texts, with_feature,
};
use super::{Place, RACERS};
use crate::{
    Error, NewSchema, SchemaOrigin, SchemaVersion, SubjectRecord, SubjectSettings, VersionsOf,
};

async fn register(store: &Store, subject: &str, text: &str) -> SchemaVersion {
    let known = store.versions(VersionsOf::Subject(subject)).await;
    let known = known.expect("readable");
    let newest = known.last().map_or(0, |version| version.version);
    let schema = schema(text);
    let registered = store.register_version(subject, &schema, newest);
    registered.await.expect("nobody else registers")
}

pub async fn a_groups_schemas_are_versions_of_its_subject(place: &dyn Place) {
    let store = place.open().await;
    let first = create(&store, "a").await;
    activate(&store, &first).await;
    let again = store
        .update_group(&first.group, &schema("schema"), first.revision)
        .await;
    let again = again.expect("current revision");
    assert_eq!(again.schema, first.schema);
    assert_eq!(
        again.state,
        ResourceState::Active,
        "the same schema needs no new tables"
    );

    let foreign = register(&store, &subject("a"), "foreign").await;
    assert_eq!(
        (foreign.version, foreign.origin),
        (2, SchemaOrigin::Producer)
    );
    let wider = with_feature(&first.group, 1);
    let stale = store
        .update_group(&wider, &schema("wider"), again.revision)
        .await;
    assert!(
        matches!(stale, Err(Error::StaleRevision { .. })),
        "who changes a group has seen its schemas: {stale:?}"
    );
    let current = store.group(wider.id()).await.expect("readable");
    let revision = current.expect("there").revision;
    let changed = store
        .update_group(&wider, &schema("wider"), revision)
        .await
        .expect("current");
    assert_eq!(changed.state, ResourceState::Creating);

    let versions = store.versions(VersionsOf::Subject(&subject("a"))).await;
    let versions = versions.expect("readable");
    let origins: Vec<SchemaOrigin> = versions.iter().map(|version| version.origin).collect();
    assert_eq!(
        texts(&store, &subject("a")).await,
        ["schema", "foreign", "wider"]
    );
    assert_eq!(
        origins,
        [
            SchemaOrigin::FeatureGroup,
            SchemaOrigin::Producer,
            SchemaOrigin::FeatureGroup
        ]
    );
    assert_eq!(versions[2].schema.id, changed.schema);
    let of_topic = store.group_of_topic(&changed.resource).await;
    assert_eq!(of_topic.expect("readable"), Some(changed));
    let nobody = store.group_of_topic("default.b_1").await;
    assert_eq!(nobody.expect("readable"), None);
}

pub async fn a_schema_has_one_id_whoever_registers_it(place: &dyn Place) {
    let store = place.open().await;
    let of_group = create(&store, "a").await;
    let plain = register(&store, "rides-value", "schema").await;
    assert_eq!((plain.version, plain.schema.id), (1, of_group.schema));
    let again = register(&store, "rides-value", "schema").await;
    assert_eq!(again, plain);
    let described = NewSchema {
        metadata: Some(r#"{"properties":{}}"#.to_owned()),
        ..schema("described")
    };
    let described = store.register_version("rides-value", &described, 1).await;
    let described = described.expect("after the first");
    assert_eq!(described.version, 2);
    assert_ne!(described.schema.id, plain.schema.id);

    let found = store.schema_of_guid("described").await.expect("readable");
    assert_eq!(found.as_ref(), Some(&described.schema));
    let found = store.schema(described.schema.id).await.expect("readable");
    assert_eq!(found, Some(described.schema.clone()));
    assert_eq!(store.schema(SchemaId(99)).await.expect("readable"), None);
    let newest = store.newest_schema().await.expect("readable");
    assert_eq!(newest, described.schema.id);
    let places = store.versions(VersionsOf::Schema(plain.schema.id)).await;
    let places = places.expect("readable");
    let places: Vec<(&str, u32)> = places
        .iter()
        .map(|version| (version.subject.as_str(), version.version))
        .collect();
    assert_eq!(places, [(subject("a").as_str(), 1), ("rides-value", 1)]);
    let all = store.versions(VersionsOf::All).await.expect("readable");
    assert_eq!(all.len(), 3);
}

pub async fn a_schema_may_bring_its_id(place: &dyn Place) {
    let store = place.open().await;
    let id = group("a").id().clone();
    let resource = store.next_resource(&id).await.expect("not there yet");
    assert_eq!(value_subject(&resource), subject("a"));
    let elsewhere = registered("schema", &subject("b"), 700);
    let refused = store.create_group(&group("a"), &elsewhere, NOW).await;
    assert!(
        matches!(refused, Err(Error::OtherSubject { id: 700, .. })),
        "{refused:?}"
    );
    assert_eq!(store.groups(None).await.expect("readable"), []);

    let own = registered("schema", &subject("a"), 700);
    let created = store.create_group(&group("a"), &own, NOW).await;
    let created = created.expect("new");
    assert_eq!(
        (created.schema, created.resource.as_str()),
        (SchemaId(700), resource.as_str())
    );
    let taken = store.next_resource(&id).await;
    assert!(
        matches!(taken, Err(Error::AlreadyExists { .. })),
        "{taken:?}"
    );
    let older = registered("older", &subject("a"), 5);
    let older = store.register_version(&subject("a"), &older, 1).await;
    assert_eq!(older.expect("after the first").schema.id, SchemaId(5));
    let ours = register(&store, "rides-value", "ours").await;
    assert_eq!(ours.schema.id, SchemaId(701), "an id is never given twice");

    let record = store.group(&id).await.expect("readable").expect("there");
    let known = store.schema(created.schema).await.expect("readable");
    let known: NewSchema = known.expect("there").into();
    let again = store.update_group(&record.group, &known, record.revision);
    let again = again.await;
    assert_eq!(again.expect("current").schema, created.schema);
    let record = store.group(&id).await.expect("readable").expect("there");
    remove(&store, &record).await;
    let next = store.next_resource(&id).await.expect("gone");
    assert_eq!(next, id.resource_name(2));
}

pub async fn an_id_stands_for_one_schema(place: &dyn Place) {
    let store = place.open().await;
    let ours = register(&store, "rides-value", "ours").await;
    let id = ours.schema.id;
    for (given, text) in [(id.0, "theirs"), (700, "ours")] {
        let given = registered(text, "rides-value", given);
        let refused = store.register_version("rides-value", &given, 1).await;
        let Err(error @ Error::SchemaIdTaken { .. }) = &refused else {
            panic!("{refused:?}");
        };
        let message = error.to_string();
        for part in [text, "ours", &id.0.to_string()] {
            assert!(message.contains(part), "{message}");
        }
    }
    let same = registered("ours", "rides-value", id.0);
    let same = store.register_version("rides-value", &same, 1).await;
    assert_eq!(same.expect("the same id"), ours);
    assert_eq!(texts(&store, "rides-value").await, ["ours"]);
}

pub async fn a_version_is_registered_once_among_racers(place: &dyn Place) {
    let store = place.open().await;
    let racers = (0..RACERS).map(|racer| {
        let (store, new) = (&store, schema(&format!("schema {racer}")));
        async move { store.register_version("rides-value", &new, 0).await }
    });
    let answers = join_all(racers).await;
    assert_eq!(answers.iter().flatten().count(), 1, "{answers:?}");
    let stale = |answer: &&Result<_, Error>| matches!(answer, Err(Error::StaleVersion { .. }));
    assert_eq!(
        answers.iter().filter(stale).count(),
        RACERS - 1,
        "{answers:?}"
    );
    assert_eq!(texts(&store, "rides-value").await.len(), 1);
}

pub async fn a_deleted_version_is_hidden_and_its_number_not_given_again(place: &dyn Place) {
    let store = place.open().await;
    let first = register(&store, "rides-value", "first").await;
    let second = register(&store, "rides-value", "second").await;
    store
        .remove_versions("rides-value", &[1])
        .await
        .expect("nothing to remove");
    store
        .delete_versions("rides-value", &[1, 2])
        .await
        .expect("there");
    assert_eq!(texts(&store, "rides-value").await, ["(first)", "(second)"]);
    let kept = store.schema(first.schema.id).await.expect("readable");
    assert_eq!(kept, Some(first.schema.clone()));

    let again = register(&store, "rides-value", "second").await;
    assert_eq!((again.version, again.schema.id), (3, second.schema.id));
    store
        .remove_versions("rides-value", &[1, 2, 3])
        .await
        .expect("two of them are deleted");
    assert_eq!(texts(&store, "rides-value").await, ["second"]);
    assert_eq!(store.schema(first.schema.id).await.expect("readable"), None);
    let guid = store.schema_of_guid("first").await.expect("readable");
    assert_eq!(guid, None);
    let back = register(&store, "other-value", "first").await;
    assert_eq!(back.schema, first.schema, "a schema keeps its id for ever");
}

pub async fn subjects_are_listed_by_name(place: &dyn Place) {
    let store = place.open().await;
    // Languages have other orders than bytes have.
    for subject in ["ab", "a_b", ":.c:b", "Ab"] {
        register(&store, subject, "schema").await;
    }
    register(&store, "ab", "second").await;
    store.delete_versions("ab", &[1]).await.expect("there");
    store.delete_versions("a_b", &[1]).await.expect("there");
    let listed = store.subjects().await.expect("readable");
    let record = |(name, is_deleted): (&str, bool)| SubjectRecord {
        name: name.to_owned(),
        is_deleted,
    };
    let wanted = [
        (":.c:b", false),
        ("Ab", false),
        ("a_b", true),
        ("ab", false),
    ];
    assert_eq!(listed, wanted.map(record));
}

pub async fn settings_are_kept_by_scope(place: &dyn Place) {
    let store = place.open().await;
    let nothing = SubjectSettings::default();
    for scope in ["", ":.c:", "a"] {
        let unset = store.subject_settings(scope).await.expect("readable");
        assert_eq!(unset, nothing);
        store
            .set_compatibility(scope, Some(&format!("level of {scope}")))
            .await
            .expect("stored");
        store.set_mode(scope, Some("mode")).await.expect("stored");
    }
    store.set_compatibility("a", None).await.expect("stored");
    store.set_mode(":.c:", Some("other")).await.expect("stored");
    let settings = |compatibility: Option<&str>, mode: &str| SubjectSettings {
        compatibility: compatibility.map(str::to_owned),
        mode: Some(mode.to_owned()),
    };
    for (scope, wanted) in [
        ("", settings(Some("level of "), "mode")),
        (":.c:", settings(Some("level of :.c:"), "other")),
        ("a", settings(None, "mode")),
    ] {
        let found = store.subject_settings(scope).await.expect("readable");
        assert_eq!(found, wanted, "{scope}");
    }
}

pub async fn a_group_takes_its_subjects_along(place: &dyn Place) {
    let store = place.open().await;
    let record = create(&store, "a").await;
    let key = key_subject(&record.resource);
    register(&store, &key, "key").await;
    store.set_mode(&key, Some("mode")).await.expect("stored");
    let foreign = register(&store, &subject("a"), "foreign").await;
    let record = store.group(record.group.id()).await.expect("readable");
    remove(&store, &record.expect("there")).await;
    assert_eq!(store.subjects().await.expect("readable"), []);
    let settings = store.subject_settings(&key).await.expect("readable");
    assert_eq!(settings, SubjectSettings::default());
    let gone = store.schema(foreign.schema.id).await.expect("readable");
    assert_eq!(gone, None);
}

pub async fn a_schema_text_may_be_long(place: &dyn Place) {
    let store = place.open().await;
    let record = create(&store, "a").await;
    // Too random to be compressed to what an entry of an index can hold.
    let noise = (1..20_000_u64).map(|n| n.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    let long = NewSchema {
        guid: "long".to_owned(),
        avro_json: noise.map(|number| format!("{number:x}")).collect(),
        metadata: None,
        registration: None,
    };
    let first = store
        .update_group(&record.group, &long, record.revision)
        .await
        .expect("current");
    let again = store
        .update_group(&record.group, &long, first.revision)
        .await
        .expect("current");
    assert_eq!(first.schema, again.schema);
    let stored = store.schema(first.schema).await.expect("readable");
    assert!(stored.expect("there").avro_json == long.avro_json);
}
