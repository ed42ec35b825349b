//! Lists that are longer than one answer may be.

use std::path::Path;

use serde_json::Value as Json;
use twinfold_client::newest_commits;
use twinfold_integration_tests::Way;
use twinfold_testkit::weather_group;
use twinfold_wire::rest::PAGE_ITEMS_MAX;

/// Two pages that are full, and one more commit.
const NEWEST: u64 = 2 * PAGE_ITEMS_MAX as u64;

#[tokio::test(flavor = "multi_thread")]
async fn a_long_history_is_listed_whole() {
    let deployment = Way::OverHttp.deployment().await;
    let platform = deployment.platform();
    let group = weather_group();
    let created = platform.create_feature_group(group.clone()).await;
    let resource = created.expect("create").resource.clone();
    make_commits(&deployment.folder().join("offline").join(resource));
    let newest_first: Vec<u64> = (0..=NEWEST).rev().collect();

    // By the commit before which a page begins, as our client asks.
    for limit in [PAGE_ITEMS_MAX, PAGE_ITEMS_MAX + 1, usize::MAX] {
        let commits = newest_commits(platform, group.id(), limit).await;
        let found: Vec<u64> = commits
            .expect("listed")
            .iter()
            .map(|commit| commit.id)
            .collect();
        let wanted = limit.min(newest_first.len());
        assert_eq!(found, newest_first[..wanted]);
    }

    // By tokens, as anybody may.
    let pages = pages(platform.url()).await;
    let sizes: Vec<usize> = pages.iter().map(Vec::len).collect();
    assert_eq!(sizes, [PAGE_ITEMS_MAX, PAGE_ITEMS_MAX, 1]);
    assert_eq!(pages.concat(), newest_first);
}

/// Commits as that of the table's creation, which change nothing: real ones take longer than all else here.
fn make_commits(table: &Path) {
    let file = |id: u64| table.join(format!("_delta_log/{id:020}.json"));
    let created = std::fs::read_to_string(file(0)).expect("a commit");
    let info = created.lines().find(|line| line.contains("\"commitInfo\""));
    let info = info.expect("what the commit says of itself");
    for id in 1..=NEWEST {
        std::fs::write(file(id), info).expect("written");
    }
}

/// The ids of the commits on each page.
async fn pages(platform: &str) -> Vec<Vec<u64>> {
    let list = format!("{platform}/v1/platform/feature-groups/default/weather/1/commits");
    let mut pages = Vec::new();
    let mut next = format!("{list}?limit={PAGE_ITEMS_MAX}");
    loop {
        let answer = reqwest::get(&next).await.expect("an answer");
        let page: Json = answer.json().await.expect("JSON");
        let items = page["items"].as_array().expect("items").iter();
        pages.push(
            items
                .map(|item| item["id"].as_u64().expect("a number"))
                .collect(),
        );
        let Some(token) = page["next_page_token"].as_str() else {
            return pages;
        };
        next = format!("{list}?limit={PAGE_ITEMS_MAX}&page_token={token}");
    }
}
