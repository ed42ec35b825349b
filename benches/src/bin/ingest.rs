//! Rows per second of the embedded platform until readable online and until committed to history,
//! beside what the same bytes cost when they are only written to files.

use std::fs::File;
use std::io::Write;
use std::time::Instant;

use twinfold_benches::{RowPool, insert, memory_mb, platform, wait};
use twinfold_model::SchemaId;
use twinfold_testkit::bench_group;
use twinfold_wire::record::Encoder;

#[tokio::main(flavor = "multi_thread")]
async fn main() {
    let rows: usize = std::env::args()
        .nth(1)
        .and_then(|text| text.parse().ok())
        .unwrap_or(1_000_000);
    let pool = RowPool::new();
    let (memory_before, _) = memory_mb();
    let (peer_rate, row_bytes) = plain_files(&pool, rows);

    let folder = tempfile::tempdir().expect("folder");
    let (platform, group) = platform(folder.path()).await;
    let started = Instant::now();
    let receipt = insert(platform.as_ref(), &group, &pool, rows).await;
    let appended = started.elapsed();
    wait(platform.as_ref(), &receipt, true, false).await;
    let online = started.elapsed();
    wait(platform.as_ref(), &receipt, false, true).await;
    let offline = started.elapsed();
    let (rss, rss_max) = memory_mb();
    platform.close().await.expect("close");

    let rate = |elapsed: std::time::Duration| rows as f64 / elapsed.as_secs_f64();
    println!("rows {rows}, {row_bytes} bytes each");
    println!("acknowledged    {:>9.0} rows/s", rate(appended));
    println!("readable online {:>9.0} rows/s", rate(online));
    println!("in history      {:>9.0} rows/s", rate(offline));
    println!(
        "memory          {rss} MB at the end, {rss_max} MB at most, {memory_before} MB of it before"
    );
    println!(
        "ingest: ours {:.0} rows/s, peer {peer_rate:.0} rows/s (encode and write twice to plain files), ratio {:.2}",
        rate(online),
        rate(online) / peer_rate
    );
}

/// The limit: encode every row and write it to two files, as the log and the online store must.
fn plain_files(pool: &RowPool, rows: usize) -> (f64, usize) {
    let folder = tempfile::tempdir().expect("folder");
    let create = |name: &str| File::create(folder.path().join(name)).expect("create");
    let mut files = [create("log"), create("values")];
    let mut encoder = Encoder::new(&bench_group(), SchemaId(1)).expect("encoder");
    let mut bytes = 0;
    let started = Instant::now();
    for batch in pool.batches(rows) {
        let encoded = encoder.encode(&batch).expect("encode");
        let mut block = Vec::with_capacity(batch.num_rows() * 1_000);
        for row in encoded.iter() {
            block.extend_from_slice(&row);
        }
        bytes += block.len();
        for file in &mut files {
            file.write_all(&block).expect("write");
        }
    }
    for file in &files {
        file.sync_all().expect("sync");
    }
    (rows as f64 / started.elapsed().as_secs_f64(), bytes / rows)
}
