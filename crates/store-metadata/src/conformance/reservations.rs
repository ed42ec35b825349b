use twinfold_model::ProjectName;

use super::Place;
use super::fixtures::{LATER, NOW, create, dataset, project, reservation, view};
use crate::Error;

pub async fn a_reservation_that_lapsed_is_over(place: &dyn Place) {
    let store = place.open().await;
    let project = project();
    // What the datasets pin has to be there.
    create(&store, "a").await;
    for version in 1..=2 {
        let reserved = store
            .reserve_dataset(&project, "fares", None, NOW)
            .await
            .expect("free");
        assert_eq!(reserved, version);
    }
    let late = store.renew_dataset(&reservation(1, LATER), NOW).await;
    assert!(matches!(late, Err(Error::NotFound { .. })), "{late:?}");
    let late = store.put_dataset(&dataset(1), None, NOW).await;
    assert!(matches!(late, Err(Error::NotFound { .. })), "{late:?}");
    let reserved = store.reserved_datasets().await.expect("readable");
    assert_eq!(reserved, [reservation(1, NOW), reservation(2, NOW)]);

    // Whoever let it lapse may still write files of that version.
    store
        .remove_dataset(&project, "fares", 2, NOW)
        .await
        .expect("there");
    let next = store.reserve_dataset(&project, "fares", None, LATER).await;
    assert_eq!(next.expect("free"), 3);
    let again = store.remove_dataset(&project, "fares", 2, NOW).await;
    assert!(matches!(again, Err(Error::NotFound { .. })), "{again:?}");

    store
        .renew_dataset(&reservation(3, LATER), NOW)
        .await
        .expect("good");
    store
        .put_dataset(&dataset(3), None, NOW)
        .await
        .expect("good");
    let finished = store.renew_dataset(&reservation(3, LATER), NOW).await;
    assert!(
        matches!(finished, Err(Error::NotFound { .. })),
        "{finished:?}"
    );
}

pub async fn a_project_is_there_once_created_or_used(place: &dyn Place) {
    let store = place.open().await;
    let named = |name| ProjectName::new(name).expect("valid");
    assert_eq!(store.projects().await.expect("readable"), []);
    store.create_project(&named("rides")).await.expect("new");
    create(&store, "a").await;
    let view = view("elsewhere", 1);
    store.create_view(&view, NOW).await.expect("new");
    let wanted = ["default", "elsewhere", "rides"].map(named);
    assert_eq!(store.projects().await.expect("readable"), wanted);
    for name in ["rides", "default"] {
        let again = store.create_project(&named(name)).await;
        assert!(
            matches!(again, Err(Error::AlreadyExists { .. })),
            "{again:?}"
        );
    }
}
