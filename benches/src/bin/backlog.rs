//! What it takes to work off a backlog: rows per second and memory of the materializers when all rows
//! are in the topic before the platform opens. Keys repeat, so that what grows is the backlog alone.

use std::fs;
use std::path::Path;
use std::time::Instant;

use bytes::Bytes;
use twinfold_benches::{BATCH_ROWS, memory_mb, platform, wait};
use twinfold_client::Receipt;
use twinfold_model::{FeatureGroup, Operation, PartitionId, SchemaId};
use twinfold_store_topic::{Append, NewRecord};
use twinfold_testkit::bench_rows;
use twinfold_wire::record::{Encoder, Headers};

const KEYS: usize = 500_000;

#[tokio::main(flavor = "multi_thread")]
async fn main() {
    let argument = std::env::args().nth(1);
    let rows: usize = argument
        .expect("how many rows")
        .parse()
        .expect("a number of rows");
    let folder = tempfile::tempdir().expect("folder");
    let (empty, group) = platform(folder.path()).await;
    let schema = empty
        .feature_group(group.id().name.as_str(), None)
        .await
        .expect("group")
        .schema;
    empty.close().await.expect("close");
    let receipt = preload(folder.path(), &group, schema, rows).await;

    // From here on the highest mark is that of the platform alone.
    fs::write("/proc/self/clear_refs", "5").expect("reset the mark");
    let started = Instant::now();
    let options = twinfold_embedded::Options::from_env().expect("options");
    let platform = twinfold_embedded::open(folder.path(), options)
        .await
        .expect("open");
    wait(platform.as_ref(), &receipt, true, false).await;
    let online = rows as f64 / started.elapsed().as_secs_f64();
    wait(platform.as_ref(), &receipt, false, true).await;
    let offline = rows as f64 / started.elapsed().as_secs_f64();
    let (_, rss_max) = memory_mb();
    platform.close().await.expect("close");
    println!(
        "rows {rows}: readable online {online:.0} rows/s, in history {offline:.0} rows/s, \
         memory {rss_max} MB at most"
    );
}

/// Appends rounds over the same keys straight to the log, whole batches to a partition. A key is always
/// in the same partition.
async fn preload(folder: &Path, group: &FeatureGroup, schema: SchemaId, rows: usize) -> Receipt {
    let url = format!("file://{}", folder.join("topic").display());
    let topics = twinfold_store_topic::open(&url).await.expect("topic");
    let topic = group.id().resource_name(1);
    let mut encoder = Encoder::new(group, schema).expect("encoder");
    let mut receipt = Receipt::new(group.id().clone(), topic.clone(), [0; 16]);
    for first in (0..rows).step_by(BATCH_ROWS) {
        let (round, first_id) = (first / KEYS, first % KEYS);
        let batch = bench_rows(first_id as i64, BATCH_ROWS.min(rows - first), round as u64);
        let encoded = encoder.encode(&batch).expect("encode");
        let record = |value: &[u8]| NewRecord {
            key: Bytes::new(),
            value: Bytes::copy_from_slice(value),
        };
        let append = Append {
            partition: PartitionId((first_id / BATCH_ROWS) as u32 % group.partitions()),
            headers: Headers {
                operation: Operation::Upsert,
                ingestion_id: None,
                event_time: None,
            },
            records: encoded.iter().map(|row| record(&row)).collect(),
        };
        let appended = topics.append(&topic, vec![append]).await.expect("append");
        for block in appended {
            receipt.note(&block);
        }
    }
    topics.sync(&topic).await.expect("sync");
    topics.close().await.expect("close");
    receipt
}
