//! Measures a point-in-time join from Parquet to Parquet.
//!
//! ```text
//! cargo run -p twinfold-training --example point_in_time -- FOLDER [LABELS HISTORY_ROWS KEYS]
//! ```
//!
//! The first run makes the tables below FOLDER: labels with an id, a user and a time, and a history
//! of eight doubles per user, once in the order of time (as ingested) and once in no order.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use arrow::array::{
    ArrayRef, BooleanArray, Float64Array, Int32Array, Int64Array, TimestampMicrosecondArray,
};
use arrow::record_batch::RecordBatch;
use datafusion::prelude::{ParquetReadOptions, SessionContext};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;
use twinfold_model::{
    DatasetFormat, DatasetSource, DatasetSpec, Feature, FeatureGroup, FeatureGroupId,
    FeatureGroupSpec, FeatureType, Join, JoinKind, Name, Positions, ProjectName, Query, Selection,
};
use twinfold_store_offline::Snapshot;
use twinfold_training::{
    Options, Plan, Source, Spine, SpineSchema, digest_rows, execute, write_dataset,
};
use twinfold_wire::record::history_schema;

const FEATURES: usize = 8;
const BATCH_ROWS: usize = 65_536;
const FILES: usize = 4;
const SPAN_US: u64 = 90 * 86_400_000_000;

type Outcome<T> = Result<T, Box<dyn Error>>;

struct Sizes {
    labels: usize,
    history: usize,
    keys: u64,
}

#[tokio::main]
async fn main() -> Outcome<()> {
    let mut arguments = std::env::args().skip(1);
    let folder = PathBuf::from(arguments.next().ok_or("which FOLDER?")?);
    let mut number = |default: usize| match arguments.next() {
        Some(text) => text.parse::<usize>(),
        None => Ok(default),
    };
    let sizes = Sizes {
        labels: number(1_000_000)?,
        history: number(10_000_000)?,
        keys: number(100_000)? as u64,
    };
    let (labels, users) = (labels_group()?, users_group()?);
    for (name, group, rows, ordered) in [
        ("labels", &labels, sizes.labels, true),
        ("ordered", &users, sizes.history, true),
        ("shuffled", &users, sizes.history, false),
    ] {
        let table = folder.join(name);
        if !table.exists() {
            write_table(&table, group, rows, sizes.keys, ordered)?;
        }
    }
    for history in ["ordered", "shuffled"] {
        let sources = [
            source(&labels, &folder.join("labels")).await?,
            source(&users, &folder.join(history)).await?,
        ];
        measure(&folder, history, &sources).await?;
    }
    Ok(())
}

async fn measure(folder: &Path, history: &str, sources: &[Source]) -> Outcome<()> {
    let query = query(&sources[0].group, &sources[1].group);
    let groups: Vec<_> = sources.iter().map(|source| source.group.clone()).collect();
    let plan = Plan::new(&query, &groups, SpineSchema::LeftGroup)?;
    let options = Options::default();
    let rows = || execute(&plan, sources, &Spine::LeftGroup, &options);

    let started = Instant::now();
    let mut batches = rows().await?;
    let mut count = 0;
    while let Some(batch) = futures::StreamExt::next(&mut batches).await {
        count += batch?.num_rows();
    }
    println!(
        "{history}: {count} rows joined in {:.2} s",
        started.elapsed().as_secs_f64()
    );

    let started = Instant::now();
    let digest = digest_rows(rows().await?, &[], 0).await?.combined();
    println!(
        "{history}: joined and hashed in {:.2} s",
        started.elapsed().as_secs_f64()
    );

    let target = folder.join(format!("dataset_{history}"));
    if target.exists() {
        fs::remove_dir_all(&target)?;
    }
    let started = Instant::now();
    let written = write_dataset(rows().await?, &spec(query.clone())?, &target).await?;
    println!(
        "{history}: written as a dataset in {:.2} s, digest the same: {}",
        started.elapsed().as_secs_f64(),
        written.digest == digest
    );
    Ok(())
}

fn group(name: &str, features: Vec<Feature>, key: &str) -> Outcome<Arc<FeatureGroup>> {
    Ok(Arc::new(FeatureGroup::new(FeatureGroupSpec {
        id: FeatureGroupId::new("default", name, 1)?,
        features,
        primary_key: vec![key.to_owned()],
        event_time: Some("at".to_owned()),
        ttl: None,
        online_enabled: true,
        partitions: 4,
        description: String::new(),
        tags: BTreeMap::new(),
    })?))
}

fn labels_group() -> Outcome<Arc<FeatureGroup>> {
    let features = vec![
        Feature::new("id", FeatureType::BigInt)?,
        Feature::new("at", FeatureType::Timestamp)?,
        Feature::new("user", FeatureType::BigInt)?,
    ];
    group("labels", features, "id")
}

fn users_group() -> Outcome<Arc<FeatureGroup>> {
    let mut features = vec![
        Feature::new("user", FeatureType::BigInt)?,
        Feature::new("at", FeatureType::Timestamp)?,
    ];
    for index in 0..FEATURES {
        features.push(Feature::new(&format!("f{index}"), FeatureType::Double)?);
    }
    group("users", features, "user")
}

fn query(labels: &FeatureGroup, users: &FeatureGroup) -> Query {
    let select = |group: &FeatureGroup, features: Vec<String>| Selection {
        group: group.id().clone(),
        features,
        as_of: None,
    };
    let names = vec!["id".to_owned(), "user".to_owned(), "at".to_owned()];
    Query {
        left: select(labels, names),
        joins: vec![Join {
            right: select(
                users,
                (0..FEATURES).map(|index| format!("f{index}")).collect(),
            ),
            on: vec![],
            kind: JoinKind::Left,
            prefix: None,
        }],
        filter: None,
    }
}

fn spec(query: Query) -> Outcome<DatasetSpec> {
    Ok(DatasetSpec {
        project: ProjectName::new("default")?,
        name: Name::new("dataset", "measured")?,
        version: None,
        source: DatasetSource::Query(query),
        labels: vec![],
        defaults: BTreeMap::new(),
        format: DatasetFormat::Parquet,
        splits: vec![],
        seed: 0,
        event_time_start: None,
        event_time_end: None,
        description: String::new(),
    })
}

async fn source(group: &Arc<FeatureGroup>, folder: &Path) -> Outcome<Source> {
    let context = SessionContext::new();
    let path = folder.to_str().ok_or("a folder of unusual name")?;
    let options = ParquetReadOptions::default();
    context.register_parquet("history", path, options).await?;
    let table = context.table_provider("history").await?;
    Ok(Source {
        group: Arc::clone(group),
        snapshot: Snapshot {
            name: group.id().resource_name(1),
            commit: 0,
            positions: Positions::new(),
            schema: table.schema(),
            table,
        },
        lacking: BTreeMap::new(),
    })
}

/// SplitMix64.
fn draw(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut x = *state;
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

fn write_table(
    folder: &Path,
    group: &FeatureGroup,
    rows: usize,
    keys: u64,
    ordered: bool,
) -> Outcome<()> {
    fs::create_dir_all(folder)?;
    let schema = history_schema(group);
    let is_labels = group.features().len() == 3;
    let mut state = rows as u64;
    for file in 0..FILES {
        let properties = WriterProperties::builder()
            .set_compression(Compression::LZ4_RAW)
            .build();
        let path = folder.join(format!("part-{file}.parquet"));
        let mut writer =
            ArrowWriter::try_new(File::create(path)?, schema.clone(), Some(properties))?;
        let last = rows * (file + 1) / FILES;
        let mut first = rows * file / FILES;
        while first < last {
            let numbers = first..last.min(first + BATCH_ROWS);
            let count = numbers.len();
            let users: Vec<i64> = numbers
                .clone()
                .map(|_| (draw(&mut state) % keys) as i64)
                .collect();
            let times = numbers.clone().map(|row| match ordered {
                true => (row as u64 * (SPAN_US / rows as u64)) as i64,
                false => (draw(&mut state) % SPAN_US) as i64,
            });
            let times = TimestampMicrosecondArray::from_iter_values(times).with_timezone("UTC");
            let times: ArrayRef = Arc::new(times);
            let offsets: ArrayRef =
                Arc::new(Int64Array::from_iter_values(numbers.map(|row| row as i64)));
            let users: ArrayRef = Arc::new(Int64Array::from(users));
            let mut columns = match is_labels {
                true => vec![Arc::clone(&offsets), Arc::clone(&times), users],
                false => vec![users, Arc::clone(&times)],
            };
            while columns.len() < group.features().len() {
                let doubles = (0..count).map(|_| draw(&mut state) as f64 / u64::MAX as f64);
                columns.push(Arc::new(Float64Array::from_iter_values(doubles)));
            }
            columns.push(times);
            columns.push(Arc::new(Int32Array::from(vec![0; count])));
            columns.push(offsets);
            columns.push(Arc::new(Int32Array::from(vec![1; count])));
            columns.push(Arc::new(BooleanArray::from(vec![false; count])));
            writer.write(&RecordBatch::try_new(schema.clone(), columns)?)?;
            first += count;
        }
        writer.close()?;
    }
    Ok(())
}
