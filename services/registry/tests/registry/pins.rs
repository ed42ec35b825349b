//! Training datasets and the life of the groups that they were read from.

use twinfold_client::{Deletion, Expected};
use twinfold_model::{PinnedTable, TrainingDataset};
use twinfold_registry::{Error, Registry};
use twinfold_testkit::weather_group;

use crate::definitions::{dataset, id, pin, project, view, with_group};
use crate::world::Place;

/// Stores a dataset with these pins under the next version.
async fn put(registry: &Registry, pins: Vec<PinnedTable>) -> Result<(), Error> {
    let version = registry
        .reserve_training_dataset(&project(), "heat", None)
        .await;
    let made = TrainingDataset {
        version: version.expect("free"),
        pins,
        ..dataset(view(1).query)
    };
    registry.put_training_dataset(&made, None).await
}

async fn delete(registry: &Registry) {
    registry
        .delete_feature_group(&id(), Deletion::Force, &Expected::Anything)
        .await
        .expect("forced");
}

#[tokio::test]
async fn a_dataset_of_a_group_that_was_deleted_meanwhile_is_refused() {
    let place = Place::new().await;
    let registry = with_group(&place).await;
    delete(&registry).await;
    let late = put(&registry, vec![pin(1, 3)]).await;
    assert!(matches!(late, Err(Error::BeingDeleted { .. })), "{late:?}");

    registry.reconcile_once().await.expect("reads");
    let late = put(&registry, vec![pin(1, 3)]).await;
    assert!(matches!(late, Err(Error::NotFound { .. })), "{late:?}");

    let again = registry.create_feature_group(weather_group()).await;
    again.expect("the name is free");
    let late = put(&registry, vec![pin(2, 0), pin(1, 3)]).await;
    assert_eq!(
        late.expect_err("its rows are gone").to_string(),
        "history table `default.weather_1` does not exist; feature group `default.weather_1` was \
         deleted and created again since, its history is `default.weather_1-2` now"
    );
    assert_eq!(registry.training_datasets(None).await.expect("reads"), []);
    put(&registry, vec![pin(2, 0)]).await.expect("of this life");
}

#[tokio::test]
async fn commits_of_an_earlier_life_are_not_pinned() {
    let place = Place::new().await;
    let registry = with_group(&place).await;
    put(&registry, vec![pin(1, 700)]).await.expect("there");
    assert_eq!(registry.pinned_commits(&id()).await.expect("reads"), [700]);
    delete(&registry).await;
    registry.reconcile_once().await.expect("reads");
    let pinned = registry.pinned_commits(&id()).await.expect("reads");
    assert!(pinned.is_empty(), "{pinned:?}");

    let again = registry.create_feature_group(weather_group()).await;
    again.expect("the name is free");
    put(&registry, vec![pin(2, 4)]).await.expect("there");
    assert_eq!(registry.pinned_commits(&id()).await.expect("reads"), [4]);
}
