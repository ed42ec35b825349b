use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int32Array, Int64Array};
use arrow::compute::concat_batches;
use arrow::record_batch::RecordBatch;
use datafusion::datasource::MemTable;
use futures::TryStreamExt;
use twinfold_model::{
    Feature, FeatureGroup, FeatureGroupId, FeatureGroupSpec, FeatureType, Join, JoinKind,
    Positions, Query, Selection, Ttl, Value,
};
use twinfold_store_offline::Snapshot;
use twinfold_wire::record::history_schema;

use crate::literal::array;
use crate::{Options, Plan, Rows, Source, Spine, SpineSchema, execute};

pub(crate) fn group(
    name: &str,
    features: &[(&str, FeatureType)],
    key: &[&str],
    event_time: Option<&str>,
    ttl_us: Option<i64>,
) -> Arc<FeatureGroup> {
    let features = features
        .iter()
        .map(|(name, r#type)| Feature::new(name, r#type.clone()).expect("valid"));
    group_of(name, features.collect(), key, event_time, ttl_us)
}

pub(super) fn group_of(
    name: &str,
    features: Vec<Feature>,
    key: &[&str],
    event_time: Option<&str>,
    ttl_us: Option<i64>,
) -> Arc<FeatureGroup> {
    let group = FeatureGroup::new(FeatureGroupSpec {
        id: FeatureGroupId::new("default", name, 1).expect("valid"),
        features,
        primary_key: key.iter().map(ToString::to_string).collect(),
        event_time: event_time.map(str::to_owned),
        ttl: ttl_us.and_then(Ttl::from_micros),
        online_enabled: true,
        partitions: 4,
        description: String::new(),
        tags: BTreeMap::new(),
    });
    Arc::new(group.expect("valid"))
}

/// One row of a history table.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Record {
    /// One per feature; for a delete all but the key is null.
    pub(super) values: Vec<Value>,
    pub(super) event_time: i64,
    pub(super) offset: i64,
    /// Of the writer.
    pub(super) schema: i32,
    pub(super) deleted: bool,
}

/// A table of `records`, cut into partitions and batches.
pub(super) fn source(
    group: &Arc<FeatureGroup>,
    records: &[Record],
    partitions: usize,
    batch_rows: usize,
) -> Source {
    let schema = history_schema(group);
    let mut parts = vec![Vec::new(); partitions];
    for (index, records) in records.chunks(batch_rows).enumerate() {
        parts[index % partitions].push(history_batch(group, records));
    }
    let table = MemTable::try_new(Arc::clone(&schema), parts).expect("valid");
    Source {
        group: Arc::clone(group),
        snapshot: Snapshot {
            name: group.id().resource_name(1),
            commit: 1,
            positions: Positions::new(),
            schema,
            table: Arc::new(table),
        },
        lacking: BTreeMap::new(),
    }
}

pub(super) fn history_batch(group: &FeatureGroup, records: &[Record]) -> RecordBatch {
    let mut columns: Vec<ArrayRef> = Vec::new();
    for (index, feature) in group.features().iter().enumerate() {
        let values: Vec<Value> = records.iter().map(|r| r.values[index].clone()).collect();
        columns.push(array(&values, &feature.r#type).expect("typed"));
    }
    let times: Vec<Value> = records
        .iter()
        .map(|record| Value::Timestamp(record.event_time))
        .collect();
    columns.push(array(&times, &FeatureType::Timestamp).expect("typed"));
    columns.push(Arc::new(Int32Array::from(vec![0; records.len()])));
    columns.push(Arc::new(Int64Array::from_iter_values(
        records.iter().map(|record| record.offset),
    )));
    columns.push(Arc::new(Int32Array::from_iter_values(
        records.iter().map(|record| record.schema),
    )));
    let deleted: Vec<bool> = records.iter().map(|record| record.deleted).collect();
    columns.push(Arc::new(BooleanArray::from(deleted)));
    RecordBatch::try_new(history_schema(group), columns).expect("valid")
}

pub(crate) fn select(group: &FeatureGroup, features: &[&str]) -> Selection {
    Selection {
        group: group.id().clone(),
        features: features.iter().map(ToString::to_string).collect(),
        as_of: None,
    }
}

pub(crate) fn join(right: Selection, on: &[(&str, &str)], kind: JoinKind, prefix: &str) -> Join {
    Join {
        right,
        on: on
            .iter()
            .map(|(left, right)| ((*left).to_owned(), (*right).to_owned()))
            .collect(),
        kind,
        prefix: (!prefix.is_empty()).then(|| prefix.to_owned()),
    }
}

pub(crate) fn query(left: Selection, joins: Vec<Join>) -> Query {
    Query {
        left,
        joins,
        filter: None,
    }
}

pub(super) fn groups_of(sources: &[Source]) -> Vec<Arc<FeatureGroup>> {
    let group = |source: &Source| Arc::clone(&source.group);
    sources.iter().map(group).collect()
}

/// Runs `query` with its left group as spine.
pub(super) async fn run(
    query: &Query,
    sources: &[Source],
    options: &Options,
) -> crate::Result<Rows> {
    let plan = Plan::new(query, &groups_of(sources), SpineSchema::LeftGroup)?;
    execute(&plan, sources, &Spine::LeftGroup, options).await
}

/// Runs `query` with a dataframe as spine.
pub(super) async fn run_dataframe(
    query: &Query,
    sources: &[Source],
    dataframe: Vec<RecordBatch>,
    event_time: Option<&str>,
    options: &Options,
) -> crate::Result<Rows> {
    let spine = SpineSchema::Dataframe {
        schema: &dataframe[0].schema(),
        event_time,
    };
    let plan = Plan::new(query, &groups_of(sources), spine)?;
    execute(&plan, sources, &Spine::Dataframe(dataframe), options).await
}

/// All rows as one batch.
pub(super) async fn collected(rows: Rows) -> RecordBatch {
    let schema = Arc::clone(rows.schema());
    let batches: Vec<RecordBatch> = rows.try_collect().await.expect("runs");
    concat_batches(&schema, &batches).expect("one schema")
}

/// Rows of values as columns of these types.
pub(super) fn columns_of(rows: &[Vec<Value>], types: &[FeatureType]) -> Vec<ArrayRef> {
    let column = |(index, r#type): (usize, &FeatureType)| {
        let values: Vec<Value> = rows.iter().map(|row| row[index].clone()).collect();
        array(&values, r#type).expect("typed")
    };
    types.iter().enumerate().map(column).collect()
}

pub(super) fn text(value: &str) -> Value {
    Value::String(value.to_owned())
}

pub(super) fn upsert(event_time: i64, offset: i64, values: Vec<Value>) -> Record {
    Record {
        values,
        event_time,
        offset,
        schema: 1,
        deleted: false,
    }
}

pub(super) fn delete(event_time: i64, offset: i64, values: Vec<Value>) -> Record {
    Record {
        deleted: true,
        ..upsert(event_time, offset, values)
    }
}
