//! The rows that a result starts from, as a physical plan: spine columns in order, then the time.

use std::sync::Arc;

use arrow::array::types::ArrowPrimitiveType;
use arrow::array::{ArrayRef, AsArray, BooleanArray};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{
    DataType, Field, Int32Type, Int64Type, Schema, SchemaRef, TimestampMicrosecondType,
};
use arrow::record_batch::RecordBatch;
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::logical_expr::{Expr, ident, lit};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::prelude::{DataFrame, SessionContext};
use datafusion::scalar::ScalarValue;
use twinfold_model::{FeatureGroup, FeatureType};
use twinfold_wire::record::{arrow_type_of, coerce_column};

use crate::execute::{Options, Source};
use crate::history::{self, DELETED, EVENT_TIME, LiveRowsExec, OFFSET, PARTITION};
use crate::plan::{Plan, SpineColumn, TIME};
use crate::{Error, Result, filter};

/// The spine as it will run, and which event times of a history its rows can see.
pub(crate) struct PreparedSpine {
    pub(crate) plan: Arc<dyn ExecutionPlan>,
    /// Times of the spine's rows lie between these, both inclusive, where they are known beforehand.
    pub(crate) earliest_us: Option<i64>,
    pub(crate) latest_us: Option<i64>,
}

pub(crate) fn timestamp() -> DataType {
    arrow_type_of(&FeatureType::Timestamp)
}

pub(crate) fn timestamp_literal(micros: i64) -> Expr {
    lit(ScalarValue::TimestampMicrosecond(
        Some(micros),
        Some("UTC".into()),
    ))
}

/// Live rows of the left group in the order of (event time, key), within the options' bounds.
pub(crate) async fn from_left_group(
    context: &SessionContext,
    plan: &Plan,
    group: &FeatureGroup,
    source: &Source,
    options: &Options,
) -> Result<PreparedSpine> {
    let keys = key_columns(plan, group);
    let left = LeftGroup {
        group,
        source,
        deleted: history::system(&source.snapshot.schema, DELETED, &DataType::Boolean)?,
        time: history::system(&source.snapshot.schema, EVENT_TIME, &timestamp())?,
    };
    let table = || context.read_table(Arc::clone(&source.snapshot.table));
    let rows = left.rows(table()?, plan, &keys, options)?;
    let rows = rows.create_physical_plan().await?;
    let deletes = left.deletes(table()?, options)?;
    let deletes = deletes.create_physical_plan().await?;
    let live = LiveRowsExec::new(
        rows,
        Arc::new(CoalescePartitionsExec::new(deletes)),
        plan.spine.len(),
        keys,
    );
    Ok(PreparedSpine {
        plan: Arc::new(live),
        earliest_us: options.event_time_start.map(|start| start.micros()),
        // The end is not included.
        latest_us: options
            .event_time_end
            .map(|end| end.micros().saturating_sub(1)),
    })
}

/// The history of the left group, and what tells its records apart.
struct LeftGroup<'a> {
    group: &'a FeatureGroup,
    source: &'a Source,
    deleted: Expr,
    time: Expr,
}

impl LeftGroup<'_> {
    /// Spine columns, time, offset and partition of every row, in the order of (time, key); of equal ones
    /// the one written last comes first.
    fn rows(
        &self,
        table: DataFrame,
        plan: &Plan,
        keys: &[usize],
        options: &Options,
    ) -> Result<DataFrame> {
        let snapshot = &self.source.snapshot.schema;
        let mut selected = Vec::with_capacity(plan.spine.len() + 3);
        for column in &plan.spine {
            let feature = self.group.feature(&column.source)?;
            selected.push(history::feature(self.source, feature)?.alias(&column.name));
        }
        selected.push(self.time.clone().alias(TIME));
        selected.push(history::system(snapshot, OFFSET, &Int64Type::DATA_TYPE)?.alias(OFFSET));
        selected
            .push(history::system(snapshot, PARTITION, &Int32Type::DATA_TYPE)?.alias(PARTITION));

        let rows = table.filter(!self.deleted.clone())?;
        let rows = bounded(rows, &self.time, options)?.select(selected)?;
        let rows = filter_on_identity(rows, plan, self.group)?;
        let mut order = vec![ident(TIME).sort(true, false)];
        let keys = keys.iter().map(|index| &plan.spine[*index].name);
        order.extend(keys.map(|key| ident(key).sort(true, false)));
        order.push(ident(OFFSET).sort(false, false));
        order.push(ident(PARTITION).sort(false, false));
        Ok(rows.sort(order)?)
    }

    /// Key and time of every delete that may hide one of these rows.
    fn deletes(&self, table: DataFrame, options: &Options) -> Result<DataFrame> {
        let mut deletes = table.filter(self.deleted.clone())?;
        if let Some(start) = options.event_time_start {
            let start = timestamp_literal(start.micros());
            deletes = deletes.filter(self.time.clone().gt_eq(start))?;
        }
        let mut selected = Vec::new();
        for (index, key) in self.group.key_features().enumerate() {
            selected.push(history::feature(self.source, key)?.alias(format!("_key_{index}")));
        }
        selected.push(self.time.clone().alias(TIME));
        Ok(deletes.select(selected)?)
    }
}

/// Per key feature of the left group, the spine column that holds it.
fn key_columns(plan: &Plan, group: &FeatureGroup) -> Vec<usize> {
    group
        .key_features()
        .map(|key| {
            plan.spine
                .iter()
                .position(|column| column.source == key.name.as_str())
                .expect("the plan brings every key feature of the left group")
        })
        .collect()
}

fn bounded(rows: DataFrame, time: &Expr, options: &Options) -> Result<DataFrame> {
    let mut rows = rows;
    if let Some(start) = options.event_time_start {
        rows = rows.filter(time.clone().gt_eq(timestamp_literal(start.micros())))?;
    }
    if let Some(end) = options.event_time_end {
        rows = rows.filter(time.clone().lt(timestamp_literal(end.micros())))?;
    }
    Ok(rows)
}

/// Applies what the query's filter says of the key alone: unlike other features, the key is the
/// same in every version of a row, so dropping rows by it cannot bring an older version to light.
fn filter_on_identity(rows: DataFrame, plan: &Plan, group: &FeatureGroup) -> Result<DataFrame> {
    let is_key = |name: &str| {
        plan.columns
            .iter()
            .any(|column| column.from_spine && column.name == name)
            && group.key_features().any(|key| key.name.as_str() == name)
    };
    let mut rows = rows;
    for part in plan.filter.clone().into_iter().flat_map(filter::conjuncts) {
        if filter::concerns_only(&part, &is_key) {
            rows = rows.filter(filter::expression(&part, &plan.columns)?)?;
        }
    }
    Ok(rows)
}

/// The dataframe's rows in their order, within the options' bounds.
pub(crate) fn from_dataframe(
    plan: &Plan,
    event_time: Option<&str>,
    batches: &[RecordBatch],
    options: &Options,
) -> Result<PreparedSpine> {
    let bounded = options.event_time_start.is_some() || options.event_time_end.is_some();
    if bounded && event_time.is_none() {
        return Err(Error::query(
            "bounds on the event time are given, but the dataframe has no event-time column",
        ));
    }
    let schema = dataframe_schema(plan, event_time);
    let mut prepared = Vec::new();
    let (mut earliest_us, mut latest_us) = (None, None);
    let mut first_row = 0;
    for batch in batches {
        let canonical = dataframe_batch(plan, event_time, batch, &schema, first_row)?;
        first_row += batch.num_rows() as u64;
        let batch = within(canonical, options)?;
        if event_time.is_some() {
            let times = batch
                .column(plan.spine.len())
                .as_primitive::<TimestampMicrosecondType>();
            let least = arrow::compute::min(times).into_iter().chain(earliest_us);
            earliest_us = least.min();
            latest_us = arrow::compute::max(times)
                .into_iter()
                .chain(latest_us)
                .max();
        }
        let mut first = 0;
        while first < batch.num_rows() {
            let rows = options.batch_rows.max(1).min(batch.num_rows() - first);
            prepared.push(batch.slice(first, rows));
            first += rows;
        }
    }
    Ok(PreparedSpine {
        plan: MemorySourceConfig::try_new_exec(&[prepared], schema, None)?,
        earliest_us,
        latest_us,
    })
}

fn dataframe_schema(plan: &Plan, event_time: Option<&str>) -> SchemaRef {
    let field =
        |column: &SpineColumn| Field::new(&column.name, arrow_type_of(&column.r#type), true);
    let mut fields: Vec<Field> = plan.spine.iter().map(field).collect();
    if event_time.is_some() {
        fields.push(Field::new(TIME, timestamp(), true));
    }
    Arc::new(Schema::new(fields))
}

/// The batch in the types of the spine, by the same exact coercion as rows that are inserted.
fn dataframe_batch(
    plan: &Plan,
    event_time: Option<&str>,
    batch: &RecordBatch,
    schema: &SchemaRef,
    first_row: u64,
) -> Result<RecordBatch> {
    let spine = plan.spine.iter();
    let sources = spine.map(|column| (column.source.as_str(), &column.r#type));
    let time = event_time.map(|source| (source, &FeatureType::Timestamp));
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(schema.fields().len());
    for (source, r#type) in sources.chain(time) {
        let column = batch
            .column_by_name(source)
            .ok_or_else(|| Error::InvalidSource {
                reason: format!("a batch of the dataframe lacks column `{source}`"),
            })?;
        columns.push(coerce_column(column, source, r#type, first_row)?);
    }
    Ok(RecordBatch::try_new(Arc::clone(schema), columns)?)
}

fn within(batch: RecordBatch, options: &Options) -> Result<RecordBatch> {
    if options.event_time_start.is_none() && options.event_time_end.is_none() {
        return Ok(batch);
    }
    let last = batch.num_columns() - 1;
    let times = batch
        .column(last)
        .as_primitive::<TimestampMicrosecondType>();
    let start = options.event_time_start.map_or(i64::MIN, |t| t.micros());
    let inside =
        |time: i64| time >= start && options.event_time_end.is_none_or(|end| time < end.micros());
    let keep = times.iter().map(|time| Some(time.is_some_and(inside)));
    let keep: BooleanArray = keep.collect();
    Ok(filter_record_batch(&batch, &keep)?)
}
