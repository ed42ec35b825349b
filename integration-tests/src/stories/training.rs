use std::collections::BTreeMap;
use std::ops::Range;

use arrow::record_batch::RecordBatch;
use twinfold_client::{Error, Platform, ServingRequest, ServingSource, VectorOptions};
use twinfold_model::{
    DatasetFormat, DatasetSource, DatasetSpec, DatasetSplit, DatasetStatistics, Name, ProjectName,
    TrainingDataset,
};

use super::trips::{begin, entry, trip_rows, trips, view, zone_rows, zones};
use crate::{Way, column_i64, insert_and_wait, read_all};

const SPLITS: [(&str, f64); 2] = [("train", 0.75), ("test", 0.25)];

fn spec() -> DatasetSpec {
    let split = |(name, share): (&str, f64)| DatasetSplit {
        name: name.to_owned(),
        share,
    };
    DatasetSpec {
        project: ProjectName::new("default").expect("name"),
        name: Name::new("training dataset", "guesses").expect("name"),
        version: None,
        source: DatasetSource::View(view().id),
        // Those of the view.
        labels: Vec::new(),
        defaults: BTreeMap::new(),
        format: DatasetFormat::Parquet,
        splits: SPLITS.map(split).to_vec(),
        seed: 7,
        event_time_start: None,
        event_time_end: None,
        description: String::new(),
    }
}

async fn more_trips(platform: &dyn Platform, ids: Range<i64>) {
    let zones = ["north", "south", "west"];
    let trip = |id: i64| (id, id % 10, zones[(id % 3) as usize], "ada", id % 2);
    let rows = trip_rows(&ids.map(trip).collect::<Vec<_>>());
    insert_and_wait(platform, trips().id(), rows).await;
}

async fn read(platform: &dyn Platform, version: u32, split: Option<&str>) -> RecordBatch {
    let rows = platform.read_dataset("guesses", version, split).await;
    read_all(rows.expect("there")).await
}

/// Numbers, demands, ratings and tips.
async fn content(platform: &dyn Platform, version: u32) -> [Vec<i64>; 4] {
    let rows = read(platform, version, None).await;
    ["trip", "demand", "rating", "tip"].map(|feature| column_i64(&rows, feature))
}

async fn assert_proved(platform: &dyn Platform, version: u32) {
    let check = platform.verify_dataset("guesses", version).await;
    let check = check.expect("check");
    assert!(check.is_proved(), "{check:?}");
}

async fn statistics(platform: &dyn Platform, version: u32) -> DatasetStatistics {
    let found = platform.dataset_statistics("guesses", version).await;
    found.expect("there").expect("kept")
}

async fn make(platform: &dyn Platform) -> TrainingDataset {
    let made = platform.create_dataset(spec()).await;
    made.expect("made")
}

pub async fn a_training_dataset_stays_what_it_is_while_rows_come(way: Way) {
    let deployment = way.deployment().await;
    let platform = deployment.platform();
    begin(platform).await;
    more_trips(platform, 5..101).await;
    platform.create_feature_view(view()).await.expect("view");

    let first = make(platform).await;
    assert_eq!(first.version, 1);
    assert_eq!(first.spec.labels, ["tip"]);
    assert_eq!(first.pins.len(), 3);
    assert_proved(platform, 1).await;
    let before = content(platform, 1).await;
    assert_eq!(before[0], Vec::from_iter(1..101));

    // What is known now of an hour that is over, and trips of that hour.
    insert_and_wait(platform, zones().id(), zone_rows(&[("north", 1, 15)])).await;
    more_trips(platform, 101..131).await;
    assert_eq!(content(platform, 1).await, before);
    assert_proved(platform, 1).await;

    let second = make(platform).await;
    assert_eq!(second.version, 2);
    assert_ne!(second.digest, first.digest);
    let after = content(platform, 2).await;
    assert_eq!(after[0], Vec::from_iter(1..131));
    assert!(after[1].contains(&15) && !before[1].contains(&15));
    let again = make(platform).await;
    assert_eq!((again.version, &again.digest), (3, &second.digest));
    assert_eq!(statistics(platform, 3).await, statistics(platform, 2).await);

    let deleted = platform.delete_dataset("guesses", 1).await;
    deleted.expect("delete");
    let gone = platform.dataset("guesses", Some(1)).await;
    assert!(matches!(gone, Err(Error::NotFound { .. })), "{gone:?}");
    let kept = platform.datasets().await.expect("datasets");
    let kept: Vec<u32> = kept.iter().map(|dataset| dataset.version).collect();
    assert_eq!(kept, [2, 3]);
    assert_proved(platform, 2).await;
}

pub async fn a_training_dataset_is_dealt_into_splits_and_served(way: Way) {
    let deployment = way.deployment().await;
    let platform = deployment.platform();
    begin(platform).await;
    more_trips(platform, 5..101).await;
    platform.create_feature_view(view()).await.expect("view");
    let made = make(platform).await;

    let statistics = statistics(platform, 1).await;
    assert_eq!(statistics.whole.rows, 100);
    let mut dealt = Vec::new();
    for (split, _) in SPLITS {
        let rows = read(platform, 1, Some(split)).await;
        assert_eq!(made.rows[split], rows.num_rows() as u64);
        assert_eq!(made.rows[split], statistics.splits[split].rows);
        dealt.extend(column_i64(&rows, "trip"));
    }
    dealt.sort_unstable();
    assert_eq!(dealt, Vec::from_iter(1..101));

    let of_dataset = ServingSource::Dataset {
        name: "guesses".to_owned(),
        version: 1,
    };
    let entries = [entry(1, "north", "ada"), entry(1, "west", "eve")];
    let options = VectorOptions {
        allow_missing: true,
        allow_error: false,
    };
    let mut vectors = Vec::new();
    for source in [of_dataset, ServingSource::View(view().id)] {
        let reader = platform.vector_reader(ServingRequest { source }).await;
        let reader = reader.expect("reader");
        let found = reader.vectors(&entries, &[], options).await;
        vectors.push(found.expect("vectors"));
    }
    assert_eq!(vectors[0], vectors[1]);
}
