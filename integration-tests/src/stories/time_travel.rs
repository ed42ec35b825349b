use twinfold_client::{Platform, WaitTarget};
use twinfold_model::{AsOf, Commit, FeatureGroup};

use super::trips::{begin, query, read, zone_rows, zones};
use crate::{WAIT_MAX, Way, column_i64, history, insert_and_wait, latest, read_all};

const BOTH: WaitTarget = WaitTarget {
    online: true,
    offline: true,
};

async fn newest_commit(platform: &dyn Platform, group: &FeatureGroup) -> Commit {
    let mut commits = platform
        .commits(group.id(), None, 1)
        .await
        .expect("commits");
    commits.remove(0)
}

/// A correction, then a delete; the newest commits before, between and after.
async fn corrected_and_deleted(platform: &dyn Platform) -> [Commit; 3] {
    begin(platform).await;
    let group = zones();
    let first = newest_commit(platform, &group).await;
    insert_and_wait(platform, group.id(), zone_rows(&[("north", 0, 99)])).await;
    let second = newest_commit(platform, &group).await;
    let keys = zone_rows(&[("south", 0, 0)]);
    let deleted = platform.delete(group.id(), vec![keys], None).await;
    let receipt = deleted.expect("delete");
    let passed = platform.wait(&receipt, BOTH, WAIT_MAX).await;
    passed.expect("it is in both stores");
    [first, second, newest_commit(platform, &group).await]
}

pub async fn changes_lie_between_two_commits(way: Way) {
    let deployment = way.deployment().await;
    let platform = deployment.platform();
    let [first, second, third] = corrected_and_deleted(platform).await;
    let commit = |of: &Commit| Some(AsOf::Commit(of.id));
    let time = |of: &Commit| Some(AsOf::Time(of.committed_at));
    // Records of both kinds, and the demands: a delete has none.
    for (from, to, records, demands) in [
        (None, None, 5, vec![7, 10, 20, 99]),
        (None, commit(&first), 3, vec![7, 10, 20]),
        (commit(&first), commit(&second), 1, vec![99]),
        (time(&first), time(&second), 1, vec![99]),
        (commit(&first), None, 2, vec![99]),
        (time(&second), commit(&third), 1, vec![]),
        (commit(&third), None, 0, vec![]),
    ] {
        let changes = platform.read_changes(zones().id(), from, to).await;
        let changes = read_all(changes.expect("changes")).await;
        assert_eq!(changes.num_rows(), records, "{from:?} {to:?}");
        assert_eq!(column_i64(&changes, "demand"), demands, "{from:?} {to:?}");
    }
}

pub async fn an_earlier_commit_shows_what_was_known_then(way: Way) {
    let deployment = way.deployment().await;
    let platform = deployment.platform();
    let [first, second, third] = corrected_and_deleted(platform).await;
    // What the group had, and what its trips are given: one before the correction at its old event time, and
    // one to a zone that was never there.
    for (at, had, given) in [
        (&first, vec![7, 10, 20], vec![-1, 7, 10, 20]),
        (&second, vec![7, 20, 99], vec![-1, 7, 20, 99]),
        // The delete hides rows that are older than it, not what was known of them at the time of a trip.
        (&third, vec![20, 99], vec![-1, 7, 20, 99]),
    ] {
        for as_of in [AsOf::Commit(at.id), AsOf::Time(at.committed_at)] {
            let rows = history(platform, &zones(), Some(as_of)).await;
            assert_eq!(column_i64(&rows, "demand"), had, "{as_of:?}");
            let joined = platform.read(read(query(Some(as_of)))).await;
            let joined = read_all(joined.expect("read")).await;
            assert_eq!(column_i64(&joined, "demand"), given, "{as_of:?}");
        }
    }
    let newest = latest(platform, zones().id()).await;
    assert_eq!(column_i64(&newest, "demand"), [20]);
}
