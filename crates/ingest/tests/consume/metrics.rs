use twinfold_ingest::Budget;
use twinfold_service_kit::admin;
use twinfold_testkit::eventually;

use crate::world::{DEADLINE, World};

#[tokio::test]
async fn a_consumer_tells_of_its_group() {
    let shown = admin::collect_metrics().expect("once in this process");
    let world = World::new(&["told"], Budget::new(1 << 20)).await;
    world.append(0, 1, 7).await;
    let gate = world.start(0, 1);
    eventually(DEADLINE, || async { gate.rows() == 7 }).await;
    world.stop().await;

    let text = shown.render();
    let labels = r#"{consumer="onlinefs",group="default.told_1"}"#;
    for (name, value) in [
        ("twinfold_ingest_rows_total", "7"),
        ("twinfold_ingest_batch_rows_sum", "7"),
        ("twinfold_ingest_write_seconds_count", "1"),
        ("twinfold_ingest_freshness_seconds_count", "2"),
        ("twinfold_ingest_rebalances_total", "1"),
        ("twinfold_ingest_lag_records", "0"),
    ] {
        let line = format!("{name}{labels} {value}\n");
        assert!(text.contains(&line), "no `{line}` in:\n{text}");
    }
    let longest = format!(
        "twinfold_ingest_freshness_seconds_bucket{}",
        labels.replace('}', ",le=\"600\"}")
    );
    assert!(text.contains(&longest), "no `{longest}` in:\n{text}");
}
