//! A point-in-time join from Parquet to Parquet: joined alone, hashed, written as a dataset.
//!
//! The tables are made below the folder that is named, for others to join the same: labels with an id, a
//! user and a time, and a history of eight doubles per user, once in the order of time (as ingested) and
//! once in no order.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use arrow::array::{
    ArrayRef, BooleanArray, Float64Array, Int32Array, Int64Array, TimestampMicrosecondArray,
};
use arrow::record_batch::RecordBatch;
use datafusion::prelude::{ParquetReadOptions, SessionContext};
use futures::StreamExt;
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;
use twinfold_model::{
    DatasetFormat, DatasetSource, DatasetSpec, FeatureGroup, Join, JoinKind, Name, Positions,
    ProjectName, Query, Selection,
};
use twinfold_store_offline::Snapshot;
use twinfold_testkit::{SplitMix, group};
use twinfold_training::{
    Options, Plan, Source, Spine, SpineSchema, digest_rows, execute, write_dataset,
};
use twinfold_wire::record::history_schema;

const FEATURES: [&str; 8] = ["f0", "f1", "f2", "f3", "f4", "f5", "f6", "f7"];
const BATCH_ROWS: usize = 65_536;
const FILES: usize = 4;
const SPAN_US: u64 = 90 * 86_400_000_000;
/// Every whole number below it is a double.
const DOUBLES: u64 = 1 << 53;

#[tokio::main(flavor = "multi_thread")]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let folder = PathBuf::from(arguments.next().expect("a folder"));
    let mut number = || -> usize {
        let text = arguments.next().expect("how many labels, rows and keys");
        text.parse().expect("a number")
    };
    let (labels, rows, keys) = (number(), number(), number() as u64);
    let (labels_group, users_group) = (Arc::new(labels_group()), Arc::new(users_group()));
    for (name, group, rows, is_ordered) in [
        ("labels", &labels_group, labels, true),
        ("ordered", &users_group, rows, true),
        ("shuffled", &users_group, rows, false),
    ] {
        let table = Table {
            group,
            rows,
            keys,
            is_ordered,
        };
        table.write(&folder.join(name));
    }
    for history in ["ordered", "shuffled"] {
        let sources = [
            source(&labels_group, &folder.join("labels")).await,
            source(&users_group, &folder.join(history)).await,
        ];
        measure(&folder, history, &sources).await;
    }
}

async fn measure(folder: &Path, history: &str, sources: &[Source]) {
    let query = query(&sources[0].group, &sources[1].group);
    let groups: Vec<_> = sources.iter().map(|source| source.group.clone()).collect();
    let plan = Plan::new(&query, &groups, SpineSchema::LeftGroup).expect("a plan");
    let options = Options::default();
    let rows = async || {
        let rows = execute(&plan, sources, &Spine::LeftGroup, &options).await;
        rows.expect("rows")
    };

    let started = Instant::now();
    let mut batches = rows().await;
    let mut count = 0;
    while let Some(batch) = batches.next().await {
        count += batch.expect("a batch").num_rows();
    }
    let seconds = started.elapsed().as_secs_f64();
    println!("{history}: {count} rows joined in {seconds:.2} s");

    let started = Instant::now();
    let digest = digest_rows(rows().await, &[], 0).await.expect("a digest");
    let digest = digest.combined();
    let seconds = started.elapsed().as_secs_f64();
    println!("{history}: joined and hashed in {seconds:.2} s");

    let target = folder.join(format!("dataset_{history}"));
    let spec = spec(query.clone());
    let started = Instant::now();
    let written = write_dataset(rows().await, &spec, &target).await;
    let written = written.expect("a dataset");
    println!(
        "{history}: written as a dataset in {:.2} s, digest the same: {}",
        started.elapsed().as_secs_f64(),
        written.digest == digest
    );
}

fn labels_group() -> FeatureGroup {
    let features = [("id", "bigint"), ("at", "timestamp"), ("user", "bigint")];
    group("labels", &features, &["id"], Some("at"))
}

fn users_group() -> FeatureGroup {
    let mut features = vec![("user", "bigint"), ("at", "timestamp")];
    features.extend(FEATURES.map(|name| (name, "double")));
    group("users", &features, &["user"], Some("at"))
}

fn query(labels: &FeatureGroup, users: &FeatureGroup) -> Query {
    let select = |group: &FeatureGroup, features: &[&str]| Selection {
        group: group.id().clone(),
        features: features.iter().map(ToString::to_string).collect(),
        as_of: None,
    };
    Query {
        left: select(labels, &["id", "user", "at"]),
        joins: vec![Join {
            right: select(users, &FEATURES),
            on: vec![],
            kind: JoinKind::Left,
            prefix: None,
        }],
        filter: None,
    }
}

fn spec(query: Query) -> DatasetSpec {
    DatasetSpec {
        project: ProjectName::new("default").expect("a project"),
        name: Name::new("dataset", "measured").expect("a name"),
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
    }
}

async fn source(group: &Arc<FeatureGroup>, folder: &Path) -> Source {
    let context = SessionContext::new();
    let path = folder.to_str().expect("a folder of usual name");
    let options = ParquetReadOptions::default();
    let registered = context.register_parquet("history", path, options).await;
    registered.expect("a table of Parquet files");
    let table = context.table_provider("history").await.expect("the table");
    Source {
        group: Arc::clone(group),
        snapshot: Snapshot {
            name: group.id().resource_name(1),
            commit: 0,
            positions: Positions::new(),
            schema: table.schema(),
            table,
        },
        lacking: BTreeMap::new(),
    }
}

/// A history that is to be made.
struct Table<'a> {
    group: &'a FeatureGroup,
    rows: usize,
    keys: u64,
    is_ordered: bool,
}

impl Table<'_> {
    fn write(&self, folder: &Path) {
        fs::create_dir_all(folder).expect("a folder");
        let mut random = SplitMix::new(self.rows as u64);
        for file in 0..FILES {
            let path = folder.join(format!("part-{file}.parquet"));
            let rows = self.rows * file / FILES..self.rows * (file + 1) / FILES;
            self.write_file(&path, rows, &mut random);
        }
    }

    fn write_file(&self, path: &Path, rows: Range<usize>, random: &mut SplitMix) {
        let schema = history_schema(self.group);
        let properties = WriterProperties::builder()
            .set_compression(Compression::LZ4_RAW)
            .build();
        let file = File::create(path).expect("a file");
        let writer = ArrowWriter::try_new(file, Arc::clone(&schema), Some(properties));
        let mut writer = writer.expect("a writer");
        for first in rows.clone().step_by(BATCH_ROWS) {
            let numbers = first..rows.end.min(first + BATCH_ROWS);
            let columns = self.columns(numbers, random);
            let batch = RecordBatch::try_new(Arc::clone(&schema), columns);
            writer.write(&batch.expect("a batch")).expect("written");
        }
        writer.close().expect("closed");
    }

    /// Those of rows of these numbers: the features, then what every history has.
    fn columns(&self, numbers: Range<usize>, random: &mut SplitMix) -> Vec<ArrayRef> {
        let count = numbers.len();
        let users = (0..count).map(|_| random.below(self.keys) as i64);
        let users: ArrayRef = Arc::new(Int64Array::from_iter_values(users));
        let times = numbers.clone().map(|row| match self.is_ordered {
            true => (row as u64 * (SPAN_US / self.rows as u64)) as i64,
            false => random.below(SPAN_US) as i64,
        });
        let times = TimestampMicrosecondArray::from_iter_values(times).with_timezone("UTC");
        let times: ArrayRef = Arc::new(times);
        let offsets = Int64Array::from_iter_values(numbers.map(|row| row as i64));
        let offsets: ArrayRef = Arc::new(offsets);

        let mut columns = Vec::new();
        for feature in self.group.features() {
            columns.push(match feature.name.as_str() {
                "id" => Arc::clone(&offsets),
                "user" => Arc::clone(&users),
                "at" => Arc::clone(&times),
                _ => {
                    let doubles = (0..count).map(|_| random.below(DOUBLES) as f64 / DOUBLES as f64);
                    Arc::new(Float64Array::from_iter_values(doubles)) as ArrayRef
                }
            });
        }
        columns.extend([
            times,
            Arc::new(Int32Array::from(vec![0; count])),
            offsets,
            Arc::new(Int32Array::from(vec![1; count])),
            Arc::new(BooleanArray::from(vec![false; count])),
        ]);
        columns
    }
}
