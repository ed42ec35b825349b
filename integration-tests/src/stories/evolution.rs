use twinfold_client::{Error, Expected};
use twinfold_model::{Feature, FeatureType, Value};
use twinfold_testkit::{rows, weather_group};

use crate::{Way, history, insert_and_wait, latest};

pub async fn a_group_gains_a_feature_while_rows_of_both_schemas_live(way: Way) {
    let mut deployment = way.deployment().await;
    let group = weather_group();
    let platform = deployment.platform();
    platform
        .create_feature_group(group.clone())
        .await
        .expect("create");
    insert_and_wait(platform, group.id(), rows(&group, 1, 50)).await;

    let gust = Feature::new("gust", FeatureType::Double).expect("feature");
    let gust = gust.with_default(Value::Double(0.5)).expect("default");
    let evolved = platform
        .append_features(group.id(), vec![gust.clone()], &Expected::Anything)
        .await
        .expect("evolve");
    let before = latest(platform, group.id()).await;
    assert_eq!(before.num_columns(), group.features().len() + 1);

    insert_and_wait(platform, group.id(), rows(&evolved.group, 2, 50)).await;
    assert_eq!(
        history(platform, &evolved.group, None).await.num_columns(),
        before.num_columns()
    );
    let again = platform
        .append_features(group.id(), vec![gust], &Expected::Anything)
        .await
        .expect_err("exists");
    assert!(
        matches!(
            again,
            Error::Invalid(twinfold_model::Error::IncompatibleEvolution { .. })
        ),
        "{again}"
    );

    deployment.restart().await;
    insert_and_wait(
        deployment.platform(),
        group.id(),
        rows(&evolved.group, 3, 50),
    )
    .await;
}
