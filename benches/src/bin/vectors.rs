//! Latency and throughput of feature vectors read in process, beside bare reads of the same bytes from
//! a file at known places.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::time::Instant;

use twinfold_benches::{RowPool, insert, memory_mb, percentile, platform, wait};
use twinfold_client::{Entry, ServingRequest, ServingSource, VectorOptions, VectorReader};
use twinfold_model::{FeatureView, FeatureViewId, Query, Selection, Value};

const SINGLES: usize = 200_000;
const BATCHES: usize = 5_000;
const BATCH_KEYS: usize = 100;

#[tokio::main(flavor = "multi_thread")]
async fn main() {
    let keys: usize = std::env::args()
        .nth(1)
        .and_then(|text| text.parse().ok())
        .unwrap_or(1_000_000);
    let folder = tempfile::tempdir().expect("folder");
    let (platform, group) = platform(folder.path()).await;
    let receipt = insert(platform.as_ref(), &group, &RowPool::new(), keys).await;
    wait(platform.as_ref(), &receipt, true, true).await;

    let id = FeatureViewId::new("default", "bench", 1).expect("id");
    let features = group
        .features()
        .iter()
        .map(|feature| feature.name.to_string())
        .collect();
    let view = FeatureView {
        id: id.clone(),
        query: Query {
            left: Selection {
                group: group.id().clone(),
                features,
                as_of: None,
            },
            joins: Vec::new(),
            filter: None,
        },
        labels: Vec::new(),
        defaults: BTreeMap::new(),
        description: String::new(),
    };
    platform.create_feature_view(view).await.expect("view");
    let source = ServingSource::View(id);
    let reader = platform
        .vector_reader(ServingRequest { source })
        .await
        .expect("reader");

    let mut random = Random(42);
    let (p50, p99) = singles(reader.as_ref(), keys, &mut random).await;
    let batched = batches(reader.as_ref(), keys, &mut random).await;
    let bare = bare_reads(folder.path(), keys, &mut random);
    println!(
        "keys {keys}, {} features, memory {} MB",
        reader.features().len(),
        memory_mb().0
    );
    println!("single vector   p50 {p50:.2} µs, p99 {p99:.2} µs");
    println!("batches of {BATCH_KEYS}  {batched:.0} vectors/s");
    println!(
        "vectors: ours {batched:.0} vectors/s, peer {bare:.0} reads/s (bare reads of the same size), ratio {:.2}",
        batched / bare
    );
    platform.close().await.expect("close");
}

async fn singles(reader: &dyn VectorReader, keys: usize, random: &mut Random) -> (f64, f64) {
    let mut samples = Vec::with_capacity(SINGLES);
    for _ in 0..SINGLES {
        let entry = [entry(random.below(keys))];
        let started = Instant::now();
        let vectors = reader.vectors(&entry, &[], STRICT).await.expect("vector");
        samples.push(started.elapsed().as_nanos() as f64 / 1_000.0);
        std::hint::black_box(vectors);
    }
    (
        percentile(&mut samples, 0.5),
        percentile(&mut samples, 0.99),
    )
}

async fn batches(reader: &dyn VectorReader, keys: usize, random: &mut Random) -> f64 {
    let mut spent = 0.0;
    for _ in 0..BATCHES {
        let entries: Vec<Entry> = (0..BATCH_KEYS).map(|_| entry(random.below(keys))).collect();
        let started = Instant::now();
        let vectors = reader
            .vectors(&entries, &[], STRICT)
            .await
            .expect("vectors");
        spent += started.elapsed().as_secs_f64();
        std::hint::black_box(vectors);
    }
    (BATCHES * BATCH_KEYS) as f64 / spent
}

const STRICT: VectorOptions = VectorOptions {
    allow_missing: false,
    allow_error: false,
};

fn entry(id: usize) -> Entry {
    BTreeMap::from([("id".to_owned(), Value::BigInt(id as i64))])
}

/// Random reads of about a row's size from a file of as many rows.
fn bare_reads(folder: &std::path::Path, keys: usize, random: &mut Random) -> f64 {
    const ROW_BYTES: usize = 960;
    let path = folder.join("bare");
    let file = File::options()
        .create(true)
        .truncate(true)
        .read(true)
        .write(true)
        .open(path)
        .expect("open");
    let block = vec![7_u8; ROW_BYTES * 1_000];
    for at in (0..keys * ROW_BYTES).step_by(block.len()) {
        file.write_all_at(&block, at as u64).expect("write");
    }
    let mut row = vec![0_u8; ROW_BYTES];
    let started = Instant::now();
    for _ in 0..BATCHES * BATCH_KEYS {
        file.read_exact_at(&mut row, (random.below(keys) * ROW_BYTES) as u64)
            .expect("read");
        std::hint::black_box(row.clone());
    }
    (BATCHES * BATCH_KEYS) as f64 / started.elapsed().as_secs_f64()
}

/// SplitMix64: small, seeded, good enough to choose keys.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % limit as u64) as usize
    }
}
