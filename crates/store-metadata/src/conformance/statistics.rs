use twinfold_model::{ColumnStatistics, DatasetStatistics, SplitStatistics, Value};

use super::Place;
use super::fixtures::{LATER, NOW, create, dataset, project};

fn statistics() -> DatasetStatistics {
    DatasetStatistics {
        whole: SplitStatistics {
            rows: 12,
            columns: vec![ColumnStatistics {
                name: "fare".to_owned(),
                nulls: 2,
                infinities: 1,
                min: Some(Value::Double(-0.0)),
                max: Some(Value::Double(1e300)),
                mean: Some(0.1),
                ..ColumnStatistics::default()
            }],
        },
        ..DatasetStatistics::default()
    }
}

pub async fn a_dataset_keeps_its_statistics(place: &dyn Place) {
    let store = place.open().await;
    let project = project();
    create(&store, "a").await;
    let wanted = statistics();
    for (version, statistics) in [(1, Some(&wanted)), (2, None)] {
        store
            .reserve_dataset(&project, "fares", Some(version), LATER)
            .await
            .expect("free");
        let unfinished = store.dataset_statistics(&project, "fares", version).await;
        assert_eq!(unfinished.expect("readable"), None);
        store
            .put_dataset(&dataset(version), statistics, NOW)
            .await
            .expect("reserved");
    }
    store.close().await.expect("closes");

    let store = place.open().await;
    let of = async |version| {
        let found = store.dataset_statistics(&project, "fares", version).await;
        found.expect("readable")
    };
    assert_eq!(of(1).await, Some(wanted));
    assert_eq!(of(2).await, None, "it was made before there were any");
    assert_eq!(of(3).await, None, "there is no such dataset");
    let all = [dataset(1), dataset(2)];
    assert_eq!(store.datasets(None).await.expect("readable"), all);
    store
        .remove_dataset(&project, "fares", 1, NOW)
        .await
        .expect("there");
    assert_eq!(of(1).await, None);
}
