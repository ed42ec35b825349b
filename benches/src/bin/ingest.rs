//! Rows per second of the embedded platform until readable online and until committed to history,
//! beside what the same bytes cost when they are only written to files.
//!
//! `ingest ROWS [preload]`: rows are inserted before the clock of the materializers is read. With
//! `preload` they are all in the topic before the platform opens, so that the backlog is as large as
//! it can be.

use std::fs::File;
use std::io::Write;
use std::time::Instant;

use twinfold_benches::{BATCH_ROWS, insert, memory_mb, platform, wait};
use twinfold_model::SchemaId;
use twinfold_testkit::{bench_group, bench_rows};
use twinfold_wire::record::Encoder;

#[tokio::main(flavor = "multi_thread")]
async fn main() {
    let rows: usize = std::env::args()
        .nth(1)
        .and_then(|text| text.parse().ok())
        .unwrap_or(1_000_000);
    let generated = Instant::now();
    for first in (0..rows).step_by(BATCH_ROWS) {
        std::hint::black_box(bench_rows(first as i64, BATCH_ROWS.min(rows - first), 0));
    }
    let generated = generated.elapsed();
    let (peer_rate, row_bytes) = plain_files(rows);

    let folder = tempfile::tempdir().expect("folder");
    let (platform, group) = platform(folder.path()).await;
    let started = Instant::now();
    let receipt = insert(platform.as_ref(), &group, rows).await;
    let appended = started.elapsed();
    wait(platform.as_ref(), &receipt, true, false).await;
    let online = started.elapsed();
    wait(platform.as_ref(), &receipt, false, true).await;
    let offline = started.elapsed();
    let (rss, rss_max) = memory_mb();
    platform.close().await.expect("close");

    // Making the rows is not the platform's work: its cost, measured above, is taken off.
    let rate = |elapsed: std::time::Duration| {
        rows as f64 / (elapsed.saturating_sub(generated)).as_secs_f64()
    };
    println!(
        "rows {rows}, {row_bytes} bytes each; making them took {:.2} s and is taken off below",
        generated.as_secs_f64()
    );
    println!("acknowledged    {:>9.0} rows/s", rate(appended));
    println!("readable online {:>9.0} rows/s", rate(online));
    println!("in history      {:>9.0} rows/s", rate(offline));
    println!("memory          {rss} MB at the end, {rss_max} MB at most");
    println!(
        "ingest: ours {:.0} rows/s, peer {peer_rate:.0} rows/s (encode and write twice to plain files), ratio {:.2}",
        rate(online),
        rate(online) / peer_rate
    );
}

/// The limit: encode every row and write it to two files, as the log and the online store must.
fn plain_files(rows: usize) -> (f64, usize) {
    let folder = tempfile::tempdir().expect("folder");
    let create = |name: &str| File::create(folder.path().join(name)).expect("create");
    let mut files = [create("log"), create("values")];
    let mut encoder = Encoder::new(&bench_group(), SchemaId(1)).expect("encoder");
    let mut bytes = 0;
    let mut spent = std::time::Duration::ZERO;
    for first in (0..rows).step_by(BATCH_ROWS) {
        let batch = bench_rows(first as i64, BATCH_ROWS.min(rows - first), 0);
        let started = Instant::now();
        let encoded = encoder.encode(&batch).expect("encode");
        let mut block = Vec::with_capacity(BATCH_ROWS * 1_000);
        for row in encoded.iter() {
            block.extend_from_slice(&row);
        }
        bytes += block.len();
        for file in &mut files {
            file.write_all(&block).expect("write");
        }
        spent += started.elapsed();
    }
    for file in &files {
        file.sync_all().expect("sync");
    }
    (rows as f64 / spent.as_secs_f64(), bytes / rows)
}
