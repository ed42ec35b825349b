use twinfold_client::{
    Deletion, Error, Expected, Platform, ReadRequest, ServingRequest, ServingSource, Spine,
    VectorOptions,
};
use twinfold_model::{FeatureVector, Presence, Value};

use super::trips::{begin, entry, query, read, trip_rows, view, zone_rows, zones};
use crate::{Way, column_i64, insert_and_wait, read_all};

const LENIENT: VectorOptions = VectorOptions {
    allow_missing: true,
    allow_error: false,
};

/// Of a trip that is known, of one that is not, and of one to a zone and with a driver that are not.
async fn served(platform: &dyn Platform) -> Vec<FeatureVector> {
    let source = ServingSource::View(view().id);
    let reader = platform.vector_reader(ServingRequest { source }).await;
    let entries = [
        entry(1, "north", "ada"),
        entry(99, "north", "ada"),
        entry(1, "west", "eve"),
    ];
    let vectors = reader.expect("reader");
    let vectors = vectors.vectors(&entries, &[], LENIENT).await;
    vectors.expect("vectors")
}

fn values(vectors: &[FeatureVector]) -> Vec<[Value; 3]> {
    let of_one = |vector: &FeatureVector| -> [Value; 3] {
        let values = vector.values.clone();
        values.try_into().expect("three features")
    };
    vectors.iter().map(of_one).collect()
}

pub async fn a_vector_is_put_together_from_several_groups(way: Way) {
    let deployment = way.deployment().await;
    let platform = deployment.platform();
    begin(platform).await;
    platform.create_feature_view(view()).await.expect("view");

    let vectors = served(platform).await;
    let presence = |vector: &FeatureVector| -> Vec<Presence> {
        let groups = vector.groups.iter();
        groups.map(|group| group.presence).collect()
    };
    let found: Vec<Vec<Presence>> = vectors.iter().map(presence).collect();
    let (present, missing) = (Presence::Present, Presence::Missing);
    assert_eq!(
        found,
        [
            [present, present, present],
            [missing, present, present],
            [present, missing, missing],
        ]
    );
    let number = Value::BigInt;
    assert_eq!(
        values(&vectors),
        [
            [number(1), number(20), number(5)],
            [number(99), number(20), number(5)],
            [number(1), number(-1), Value::Null],
        ]
    );

    // A newer row of one of the groups shows in the next vector, a late one does not.
    let rows = zone_rows(&[("north", 9, 30), ("north", 7, 25)]);
    insert_and_wait(platform, zones().id(), rows).await;
    assert_eq!(values(&served(platform).await)[0][1], number(30));

    let in_use = platform
        .delete_feature_group(zones().id(), Deletion::RefuseIfUsed, &Expected::Anything)
        .await;
    assert!(matches!(in_use, Err(Error::InUse { .. })), "{in_use:?}");
    let forced = platform
        .delete_feature_group(zones().id(), Deletion::Force, &Expected::Anything)
        .await;
    forced.expect("it goes all the same");
    let gone = platform.feature_group("zones", Some(1)).await;
    assert!(matches!(gone, Err(Error::NotFound { .. })), "{gone:?}");
}

pub async fn training_has_what_was_known_and_later_what_is_served(way: Way) {
    let deployment = way.deployment().await;
    let platform = deployment.platform();
    begin(platform).await;
    platform.create_feature_view(view()).await.expect("view");

    let rows = platform.read(read(query(None))).await.expect("read");
    let rows = read_all(rows).await;
    assert_eq!(column_i64(&rows, "demand"), [-1, 7, 10, 20]);
    assert_eq!(column_i64(&rows, "rating"), [3, 5, 5]);

    let later = trip_rows(&[
        (1, 100, "north", "ada", 0),
        (99, 100, "north", "ada", 0),
        (1, 100, "west", "eve", 0),
    ]);
    let spine = later.project(&[0, 1, 2, 3]).expect("without the label");
    let over_spine = ReadRequest {
        spine: Some(Spine {
            schema: spine.schema(),
            batches: vec![spine],
            event_time: Some("at".to_owned()),
        }),
        ..read(query(None))
    };
    let rows = read_all(platform.read(over_spine).await.expect("read")).await;
    let vectors = values(&served(platform).await);
    for (place, feature) in ["trip", "demand", "rating"].into_iter().enumerate() {
        let number = |of: &[Value; 3]| match of[place] {
            Value::BigInt(number) => Some(number),
            _ => None,
        };
        let mut served: Vec<i64> = vectors.iter().filter_map(number).collect();
        served.sort_unstable();
        assert_eq!(column_i64(&rows, feature), served, "{feature}");
    }
}
