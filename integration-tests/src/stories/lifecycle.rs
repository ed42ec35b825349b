use twinfold_client::{Deletion, Error, Expected, WaitTarget};
use twinfold_testkit::{bench_group, bench_rows};

use crate::{WAIT_MAX, Way, column_i64, history, insert_and_wait, latest};

pub async fn groups_come_and_go_and_names_can_be_used_again(way: Way) {
    let deployment = way.deployment().await;
    let platform = deployment.platform();
    let group = bench_group();
    platform
        .create_feature_group(group.clone())
        .await
        .expect("create");
    insert_and_wait(platform, group.id(), bench_rows(0, 10, 0)).await;
    platform
        .delete_feature_group(group.id(), Deletion::RefuseIfUsed, &Expected::Anything)
        .await
        .expect("delete");
    let error = platform
        .insert(group.id(), vec![bench_rows(0, 1, 0)], &|_| ())
        .await
        .expect_err("gone");
    assert!(matches!(error, Error::NotFound { .. }), "{error}");

    platform
        .create_feature_group(group.clone())
        .await
        .expect("create again");
    insert_and_wait(platform, group.id(), bench_rows(100, 10, 0)).await;
    let expected: Vec<i64> = (100..110).collect();
    assert_eq!(
        column_i64(&latest(platform, group.id()).await, "id"),
        expected
    );
    assert_eq!(
        column_i64(&history(platform, &group, None).await, "id"),
        expected
    );
}

/// Its consumers are still at work on the old rows when the new group begins.
pub async fn a_group_made_again_has_nothing_of_the_one_before(way: Way) {
    let deployment = way.deployment().await;
    let platform = deployment.platform();
    let group = bench_group();
    for round in 0..5 {
        platform
            .create_feature_group(group.clone())
            .await
            .expect("create");
        let old = bench_rows(1_000, 50_000, 0);
        let old = platform.insert(group.id(), vec![old], &|_| ()).await;
        let old_receipt = old.expect("insert");
        platform
            .delete_feature_group(group.id(), Deletion::RefuseIfUsed, &Expected::Anything)
            .await
            .expect("delete");
        platform
            .create_feature_group(group.clone())
            .await
            .expect("create again");
        insert_and_wait(platform, group.id(), bench_rows(round, 1, 0)).await;
        assert_eq!(
            column_i64(&latest(platform, group.id()).await, "id"),
            [round]
        );
        assert_eq!(
            column_i64(&history(platform, &group, None).await, "id"),
            [round]
        );
        let both = WaitTarget {
            online: true,
            offline: true,
        };
        let waited = platform.wait(&old_receipt, both, WAIT_MAX).await;
        let error = waited.expect_err("its rows are gone").to_string();
        assert!(error.contains("created again since"), "{error}");
        platform
            .delete_feature_group(group.id(), Deletion::RefuseIfUsed, &Expected::Anything)
            .await
            .expect("delete");
    }
}

pub async fn many_callers_creating_one_group_make_one_group(way: Way) {
    let deployment = way.deployment().await;
    let platform = deployment.platform();
    let attempts = (0..8).map(|_| platform.create_feature_group(bench_group()));
    let outcomes = futures::future::join_all(attempts).await;
    let created = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    let refused = outcomes
        .iter()
        .filter(|outcome| matches!(outcome, Err(Error::AlreadyExists { .. })))
        .count();
    assert_eq!((created, refused), (1, 7));
}
