//! Running a plan over pinned tables.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use arrow::array::types::ArrowPrimitiveType;
use arrow::datatypes::{DataType, Field, FieldRef, Int32Type, Int64Type, SchemaRef};
use arrow::record_batch::RecordBatch;
use datafusion::common::DFSchema;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column as PhysicalColumn;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use datafusion::prelude::{SessionConfig, SessionContext};
use futures::Stream;
use twinfold_model::{EventTime, FeatureGroup, Filter, SchemaId, Value};
use twinfold_store_offline::Snapshot;
use twinfold_wire::record::arrow_type_of;

use crate::history::{self, DELETED, EVENT_TIME, OFFSET, PARTITION};
use crate::literal::array;
use crate::pit_join::{PitJoin, PitJoinExec};
use crate::plan::{Lookup, Plan, SpineOrigin, TIME};
use crate::spine::{self, PreparedSpine, timestamp, timestamp_literal};
use crate::{Error, Result, filter};

/// One group of the query, frozen at the commit to read.
#[derive(Debug, Clone)]
pub struct Source {
    pub group: Arc<FeatureGroup>,
    pub snapshot: Snapshot,
    /// Writer schemas that lack a feature, by feature: rows written with them read as its default.
    pub lacking: BTreeMap<String, Vec<SchemaId>>,
}

/// The rows that the result starts from.
#[derive(Debug, Clone)]
pub enum Spine {
    LeftGroup,
    /// The dataframe that the plan was made for.
    Dataframe(Vec<RecordBatch>),
}

/// Limits and bounds of one run.
#[derive(Debug, Clone)]
pub struct Options {
    /// For sorting and joining together; what is more is spilled to disk or done in several passes.
    pub memory_bytes_max: usize,
    pub threads: usize,
    /// Rows of a batch, of the input as of the result.
    pub batch_rows: usize,
    /// Rows of the spine with `start ≤ event time < end`.
    pub event_time_start: Option<EventTime>,
    pub event_time_end: Option<EventTime>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            memory_bytes_max: 2 << 30,
            threads: 2,
            batch_rows: 8_192,
            event_time_start: None,
            event_time_end: None,
        }
    }
}

/// The rows of a result, in an order that depends on nothing but the plan and the pinned tables.
pub struct Rows {
    schema: SchemaRef,
    batches: Pin<Box<dyn Stream<Item = Result<RecordBatch>> + Send>>,
}

impl Rows {
    pub fn new(
        schema: SchemaRef,
        batches: impl Stream<Item = Result<RecordBatch>> + Send + 'static,
    ) -> Self {
        Self {
            schema,
            batches: Box::pin(batches),
        }
    }

    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    pub(crate) fn from_plan(batches: SendableRecordBatchStream) -> Self {
        use futures::StreamExt;
        let schema = batches.schema();
        Self::new(schema, batches.map(|batch| Ok(batch?)))
    }
}

impl Stream for Rows {
    type Item = Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.batches.as_mut().poll_next(context)
    }
}

/// Runs `plan`; `sources` are its [`groups`](Plan::groups) in their order.
///
/// The rows of a left group come in the order of (event time, key), those of a dataframe in its own.
pub async fn execute(
    plan: &Plan,
    sources: &[Source],
    spine: &Spine,
    options: &Options,
) -> Result<Rows> {
    check_sources(plan, sources)?;
    // Half of the memory is for sorting, which spills; the joins share the other half.
    let sort_bytes = match plan.lookups.len() {
        0 => options.memory_bytes_max,
        _ => options.memory_bytes_max / 2,
    };
    let context = session(options, sort_bytes)?;
    let spine = match (&plan.origin, spine) {
        (SpineOrigin::LeftGroup(group), Spine::LeftGroup) => {
            spine::from_left_group(&context, plan, group, &sources[0], options).await?
        }
        (SpineOrigin::Dataframe { event_time }, Spine::Dataframe(batches)) => {
            spine::from_dataframe(plan, event_time.as_deref(), batches, options)?
        }
        _ => {
            return Err(Error::InvalidSource {
                reason: "the plan was made for another kind of spine".to_owned(),
            });
        }
    };
    let physical = joined(&context, plan, sources, &spine, options).await?;
    let batches = execute_stream(physical, context.task_ctx())?;
    Ok(Rows::from_plan(batches))
}

fn check_sources(plan: &Plan, sources: &[Source]) -> Result<()> {
    let found: Vec<_> = sources.iter().map(|source| source.group.id()).collect();
    if found.iter().copied().eq(plan.groups.iter()) {
        return Ok(());
    }
    let names = |ids: Vec<String>| ids.join(", ");
    Err(Error::InvalidSource {
        reason: format!(
            "found tables of {}, wanted those of {}",
            names(found.iter().map(ToString::to_string).collect()),
            names(plan.groups.iter().map(ToString::to_string).collect()),
        ),
    })
}

/// Where plans run. What needs more than `sort_bytes` to be sorted is spilled to disk.
pub(crate) fn session(options: &Options, sort_bytes: usize) -> Result<SessionContext> {
    let runtime = RuntimeEnvBuilder::new()
        .with_memory_pool(Arc::new(FairSpillPool::new(sort_bytes)))
        .build_arc()?;
    let config = SessionConfig::new()
        .with_target_partitions(options.threads.max(1))
        .with_batch_size(options.batch_rows.max(1))
        .with_sort_spill_reservation_bytes(sort_bytes / 8 / options.threads.max(1));
    Ok(SessionContext::new_with_config_rt(config, runtime))
}

async fn joined(
    context: &SessionContext,
    plan: &Plan,
    sources: &[Source],
    spine: &PreparedSpine,
    options: &Options,
) -> Result<Arc<dyn ExecutionPlan>> {
    let from_spine = |name: &str| {
        let column = plan.columns.iter().find(|column| column.name == name);
        column.is_some_and(|column| column.from_spine)
    };
    let (before, after): (Vec<Filter>, Vec<Filter>) = plan
        .filter
        .clone()
        .into_iter()
        .flat_map(filter::conjuncts)
        .partition(|part| filter::concerns_only(part, &from_spine));
    let mut rows = filtered(context, plan, &before, Arc::clone(&spine.plan))?;
    let join_bytes_max = options.memory_bytes_max / 2 / plan.lookups.len().max(1);
    for lookup in &plan.lookups {
        let history = history_of(context, lookup, &sources[lookup.source], spine).await?;
        let join = Arc::new(pit_join(plan, lookup, &rows.schema())?);
        rows = Arc::new(PitJoinExec::new(rows, history, join, join_bytes_max));
    }
    rows = filtered(context, plan, &after, rows)?;
    projected(plan, rows)
}

/// The history's columns in the order that [`PitJoin`] expects.
async fn history_of(
    context: &SessionContext,
    lookup: &Lookup,
    source: &Source,
    spine: &PreparedSpine,
) -> Result<Arc<dyn ExecutionPlan>> {
    let snapshot = &source.snapshot.schema;
    let time = history::system(snapshot, EVENT_TIME, &timestamp())?;
    let mut selected = Vec::new();
    for (index, key) in lookup.group.key_features().enumerate() {
        selected.push(history::feature(source, key)?.alias(format!("_key_{index}")));
    }
    selected.push(time.clone().alias(EVENT_TIME));
    for (name, wanted) in [
        (DELETED, DataType::Boolean),
        (OFFSET, Int64Type::DATA_TYPE),
        (PARTITION, Int32Type::DATA_TYPE),
    ] {
        selected.push(history::system(snapshot, name, &wanted)?.alias(name));
    }
    for (name, column) in &lookup.features {
        let feature = lookup.group.feature(name)?;
        selected.push(history::feature(source, feature)?.alias(column));
    }
    let mut rows = context.read_table(Arc::clone(&source.snapshot.table))?;
    if let Some(latest) = spine.latest_us.filter(|_| lookup.timed) {
        rows = rows.filter(time.clone().lt_eq(timestamp_literal(latest)))?;
    }
    if let (true, Some(earliest), Some(ttl)) = (lookup.timed, spine.earliest_us, lookup.group.ttl())
    {
        let oldest = timestamp_literal(earliest.saturating_sub(ttl.micros()));
        rows = rows.filter(time.gt_eq(oldest))?;
    }
    Ok(rows.select(selected)?.create_physical_plan().await?)
}

fn pit_join(plan: &Plan, lookup: &Lookup, spine: &SchemaRef) -> Result<PitJoin> {
    let keys = lookup.keys.iter().map(|name| spine.index_of(name));
    let mut features: Vec<FieldRef> = Vec::with_capacity(lookup.features.len());
    let mut missing = Vec::with_capacity(lookup.features.len());
    for (name, column) in &lookup.features {
        let r#type = &lookup.group.feature(name)?.r#type;
        let default = plan.defaults.get(column).unwrap_or(&Value::Null);
        features.push(Arc::new(Field::new(column, arrow_type_of(r#type), true)));
        missing.push(array(std::slice::from_ref(default), r#type)?);
    }
    let spine_time = lookup.timed.then(|| spine.index_of(TIME)).transpose()?;
    Ok(PitJoin {
        spine_keys: keys.collect::<Result<_, _>>()?,
        spine_time,
        ttl: lookup.group.ttl(),
        kind: lookup.kind,
        features,
        missing,
    })
}

fn filtered(
    context: &SessionContext,
    plan: &Plan,
    parts: &[Filter],
    mut rows: Arc<dyn ExecutionPlan>,
) -> Result<Arc<dyn ExecutionPlan>> {
    for part in parts {
        let schema = DFSchema::try_from(rows.schema())?;
        let predicate = filter::expression(part, &plan.columns)?;
        let predicate = context.state().create_physical_expr(predicate, &schema)?;
        rows = Arc::new(FilterExec::try_new(predicate, rows)?);
    }
    Ok(rows)
}

fn projected(plan: &Plan, rows: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    let schema = rows.schema();
    let mut columns: Vec<(Arc<dyn PhysicalExpr>, String)> = Vec::with_capacity(plan.columns.len());
    for column in &plan.columns {
        let index = schema.index_of(&column.name)?;
        let expression = PhysicalColumn::new(&column.name, index);
        columns.push((Arc::new(expression), column.name.clone()));
    }
    Ok(Arc::new(ProjectionExec::try_new(columns, rows)?))
}
