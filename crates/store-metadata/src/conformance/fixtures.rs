//! What the cases store, and the steps that many of them take.

use std::collections::BTreeMap;
use std::sync::Arc;

use twinfold_model::{
    DatasetFormat, DatasetSource, DatasetSpec, EventTime, Feature, FeatureGroup, FeatureGroupId,
    FeatureGroupSpec, FeatureType, FeatureView, FeatureViewId, Name, Offset, PartitionId,
    PinnedTable, Position, ProjectName, QuarantinedRecord, Query, ResourceState, SchemaId,
    Selection, TrainingDataset, evolve,
};
use twinfold_wire::record::value_subject;

use crate::{
    Change, GroupRecord, MetadataStore, NewSchema, Registration, Reservation, SchemaVersion,
    VersionsOf,
};

pub const NOW: EventTime = EventTime::from_micros(1_700_000_000_000_000);
/// A reservation until then is good at [`NOW`].
pub const LATER: EventTime = EventTime::from_micros(1_700_000_060_000_000);

pub type Store = Arc<dyn MetadataStore>;

pub fn project() -> ProjectName {
    ProjectName::new("default").expect("valid")
}

pub fn group(name: &str) -> FeatureGroup {
    FeatureGroup::new(FeatureGroupSpec {
        id: FeatureGroupId::new("default", name, 1).expect("valid"),
        features: vec![
            Feature::new("id", FeatureType::BigInt).expect("valid"),
            Feature::new("fare", FeatureType::Double).expect("valid"),
        ],
        primary_key: vec!["id".to_owned()],
        event_time: None,
        ttl: None,
        online_enabled: true,
        partitions: 4,
        description: "what a ride costs".to_owned(),
        tags: BTreeMap::from([("team".to_owned(), "rides".to_owned())]),
    })
    .expect("valid")
}

/// A schema whose text is its guid too.
pub fn schema(text: &str) -> NewSchema {
    NewSchema {
        guid: text.to_owned(),
        avro_json: text.to_owned(),
        metadata: None,
        registration: None,
    }
}

/// The same with the id that it has elsewhere.
pub fn registered(text: &str, subject: &str, id: u32) -> NewSchema {
    let registration = Registration {
        subject: subject.to_owned(),
        id: SchemaId(id),
    };
    NewSchema {
        registration: Some(registration),
        ..schema(text)
    }
}

/// The subject of a group's first life.
pub fn subject(name: &str) -> String {
    value_subject(&group(name).id().resource_name(1))
}

pub fn with_feature(group: &FeatureGroup, number: usize) -> FeatureGroup {
    let added = Feature::new(&format!("added_{number}"), FeatureType::Int).expect("valid");
    evolve(group, vec![added]).expect("nullable")
}

pub fn view(project: &str, version: u32) -> FeatureView {
    FeatureView {
        id: FeatureViewId::new(project, "fares", version).expect("valid"),
        query: query(),
        labels: Vec::new(),
        defaults: BTreeMap::new(),
        description: String::new(),
    }
}

pub fn query() -> Query {
    Query {
        left: Selection {
            group: group("a").id().clone(),
            features: vec!["fare".to_owned()],
            as_of: None,
        },
        joins: Vec::new(),
        filter: None,
    }
}

pub fn dataset(version: u32) -> TrainingDataset {
    let name = Name::new("training dataset", "fares").expect("valid");
    TrainingDataset {
        project: project(),
        name: name.clone(),
        version,
        spec: DatasetSpec {
            project: project(),
            name,
            version: None,
            source: DatasetSource::Query(query()),
            labels: Vec::new(),
            defaults: BTreeMap::new(),
            format: DatasetFormat::Parquet,
            splits: Vec::new(),
            seed: 42,
            event_time_start: None,
            event_time_end: Some(NOW),
            description: String::new(),
        },
        query: query(),
        pins: vec![PinnedTable {
            group: group("a").id().clone(),
            resource: group("a").id().resource_name(1),
            commit: 3,
        }],
        features: vec![("fare".to_owned(), FeatureType::Double)],
        rows: BTreeMap::from([("all".to_owned(), 12)]),
        location: format!("datasets/default.fares_{version}"),
        digest: "00ff".to_owned(),
        created_at: NOW,
    }
}

pub fn reservation(version: u32, until: EventTime) -> Reservation {
    Reservation {
        project: project(),
        name: "fares".to_owned(),
        version,
        until,
    }
}

/// A record of a group's first life.
pub fn quarantined(group: &FeatureGroupId, partition: u32, offset: u64) -> QuarantinedRecord {
    QuarantinedRecord {
        group: group.clone(),
        resource: group.resource_name(1),
        position: Position {
            partition: PartitionId(partition),
            offset: Offset(offset),
        },
        key: vec![0, 255],
        value: Vec::new(),
        headers: vec![1],
        code: "truncated".to_owned(),
        reason: "the body ends early".to_owned(),
        quarantined_at: NOW,
        replayed_at: None,
    }
}

pub async fn create(store: &Store, name: &str) -> GroupRecord {
    store
        .create_group(&group(name), &schema("schema"), NOW)
        .await
        .expect("new")
}

pub async fn activate(store: &Store, record: &GroupRecord) {
    let id = record.group.id();
    store
        .set_group_state(id, &ResourceState::Active, record.revision)
        .await
        .expect("allowed");
}

pub async fn remove(store: &Store, record: &GroupRecord) {
    let id = record.group.id();
    store
        .set_group_state(id, &ResourceState::Deleting, record.revision)
        .await
        .expect("allowed");
    store.remove_group(id).await.expect("deleting");
}

/// The schemas under a subject, deleted ones in brackets.
pub async fn texts(store: &Store, subject: &str) -> Vec<String> {
    let versions = store.versions(VersionsOf::Subject(subject)).await;
    let text = |version: SchemaVersion| match version.is_deleted {
        true => format!("({})", version.schema.avro_json),
        false => version.schema.avro_json,
    };
    versions.expect("readable").into_iter().map(text).collect()
}

pub async fn feed(store: &Store) -> Vec<Change> {
    store.changes(0, usize::MAX).await.expect("readable")
}
