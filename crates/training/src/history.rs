//! Reading a group's history: its features in their declared types, and its live rows.

use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, AsArray, BooleanArray};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{DataType, Schema, TimestampMicrosecondType};
use arrow::record_batch::RecordBatch;
use arrow::row::{OwnedRow, RowConverter, SortField};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::{DataFusionError, Result as DataFusionResult};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, cast, ident, lit, when};
use datafusion::physical_expr::{Distribution, PhysicalExpr};
use datafusion::physical_plan::distribution_requirements::InputDistributionRequirements;
use datafusion::physical_plan::stream::RecordBatchReceiverStream;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use futures::StreamExt;
use twinfold_model::{Feature, Value};
use twinfold_wire::record::arrow_type_of;

use crate::keys::{KeyTable, NO_KEY, Probe, columns};
use crate::literal::scalar;
use crate::{Error, Result, Source};

pub(crate) const EVENT_TIME: &str = "_event_time";
pub(crate) const PARTITION: &str = "_partition";
pub(crate) const OFFSET: &str = "_offset";
/// The writer schema of the row.
const SCHEMA: &str = "_schema";
pub(crate) const DELETED: &str = "_deleted";

const QUEUE_BATCHES_MAX: usize = 4;

/// How to read `feature` from a snapshot: in its declared type, whatever the files hold.
///
/// A row whose writer did not have the feature reads as its default, as it does online.
pub(crate) fn feature(source: &Source, feature: &Feature) -> Result<Expr> {
    let snapshot = &source.snapshot.schema;
    let name = feature.name.as_str();
    let wanted = arrow_type_of(&feature.r#type);
    let stored = match snapshot.field_with_name(name) {
        Ok(field) if *field.data_type() == wanted => ident(name),
        Ok(_) => cast(ident(name), wanted),
        Err(_) => lit(scalar(&Value::Null, &feature.r#type)?),
    };
    match (&feature.default, source.lacking.get(name)) {
        (Some(default), Some(schemas)) => {
            let schemas = schemas.iter().map(|id| lit(i64::from(id.0))).collect();
            let written_without = cast(ident(SCHEMA), DataType::Int64).in_list(schemas, false);
            let default = lit(scalar(default, &feature.r#type)?);
            Ok(when(written_without, default).otherwise(stored)?)
        }
        _ => Ok(stored),
    }
}

/// A system column in the type that the operators expect.
pub(crate) fn system(snapshot: &Schema, name: &str, wanted: &DataType) -> Result<Expr> {
    let field = snapshot
        .field_with_name(name)
        .map_err(|_| Error::InvalidSource {
            reason: format!("a history lacks its system column `{name}`"),
        })?;
    Ok(if field.data_type() == wanted {
        ident(name)
    } else {
        cast(ident(name), wanted.clone())
    })
}

/// Drops rows that a delete hides, and all but the first of equal (event time, key).
///
/// `rows` are upserts sorted by event time, key and descending offset; `deletes` are columns of the
/// key, then the event time.
#[derive(Debug)]
pub(crate) struct LiveRowsExec {
    rows: Arc<dyn ExecutionPlan>,
    deletes: Arc<dyn ExecutionPlan>,
    time: usize,
    keys: Vec<usize>,
}

impl LiveRowsExec {
    pub(crate) fn new(
        rows: Arc<dyn ExecutionPlan>,
        deletes: Arc<dyn ExecutionPlan>,
        time: usize,
        keys: Vec<usize>,
    ) -> Self {
        Self {
            rows,
            deletes,
            time,
            keys,
        }
    }
}

impl DisplayAs for LiveRowsExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LiveRowsExec: keys={:?}, time={}", self.keys, self.time)
    }
}

impl ExecutionPlan for LiveRowsExec {
    fn name(&self) -> &'static str {
        "LiveRowsExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.rows.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.rows, &self.deletes]
    }

    fn input_distribution_requirements(&self) -> InputDistributionRequirements {
        InputDistributionRequirements::new(vec![Distribution::SinglePartition; 2])
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true, false]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> DataFusionResult<TreeNodeRecursion>,
    ) -> DataFusionResult<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        let [rows, deletes] = <[_; 2]>::try_from(children).map_err(|children| {
            DataFusionError::Internal(format!(
                "LiveRowsExec has 2 children, found {}",
                children.len()
            ))
        })?;
        let keys = self.keys.clone();
        Ok(Arc::new(Self::new(rows, deletes, self.time, keys)))
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> DataFusionResult<SendableRecordBatchStream> {
        let mut output = RecordBatchReceiverStream::builder(self.schema(), QUEUE_BATCHES_MAX);
        let mut rows = self.rows.execute(partition, Arc::clone(&context))?;
        let deletes = self.deletes.execute(0, Arc::clone(&context))?;
        let memory = MemoryConsumer::new("LiveRowsExec deletes").register(context.memory_pool());
        let mut live = LiveRows::new(&rows.schema(), self.time, self.keys.clone())?;
        let sender = output.tx();
        output.spawn(async move {
            live.read_deletes(deletes, &memory).await?;
            while let Some(batch) = rows.next().await {
                let batch = live.keep(&batch?)?;
                if batch.num_rows() > 0 && sender.send(Ok(batch)).await.is_err() {
                    break;
                }
            }
            Ok(())
        });
        Ok(output.build())
    }
}

/// The state of one pass over the sorted rows.
struct LiveRows {
    time: usize,
    keys: Vec<usize>,
    deleted: KeyTable,
    /// Per deleted key, the event time up to which its rows are hidden.
    deleted_until: Vec<i64>,
    probe: Probe,
    /// (event time, key), to tell one row from the next.
    identity: RowConverter,
    last: Option<OwnedRow>,
}

impl LiveRows {
    fn new(schema: &Schema, time: usize, keys: Vec<usize>) -> Result<Self> {
        let type_of = |index: &usize| schema.field(*index).data_type().clone();
        let deleted = KeyTable::new(keys.iter().map(type_of))?;
        let identity = std::iter::once(&time).chain(&keys).map(type_of);
        Ok(Self {
            identity: RowConverter::new(identity.map(SortField::new).collect())?,
            probe: deleted.probe(),
            deleted,
            deleted_until: Vec::new(),
            last: None,
            time,
            keys,
        })
    }

    async fn read_deletes(
        &mut self,
        mut deletes: SendableRecordBatchStream,
        memory: &MemoryReservation,
    ) -> Result<()> {
        let width = self.keys.len();
        while let Some(batch) = deletes.next().await {
            let batch = batch?;
            self.deleted
                .intern(&batch.columns()[..width], &mut self.probe)?;
            self.deleted_until.resize(self.deleted.len(), i64::MIN);
            let times = batch
                .column(width)
                .as_primitive::<TimestampMicrosecondType>();
            for (id, time) in self.probe.ids.iter().zip(times.values()) {
                if *id != NO_KEY {
                    let until = &mut self.deleted_until[*id as usize];
                    *until = (*until).max(*time);
                }
            }
            memory.try_resize(self.deleted.bytes() + 8 * self.deleted_until.len())?;
        }
        Ok(())
    }

    fn keep(&mut self, batch: &RecordBatch) -> Result<RecordBatch> {
        if batch.num_rows() == 0 {
            return Ok(batch.clone());
        }
        let mut identity = vec![self.time];
        identity.extend(&self.keys);
        let rows = self.identity.convert_columns(&columns(batch, &identity))?;
        let mut keep = Vec::with_capacity(batch.num_rows());
        for index in 0..batch.num_rows() {
            let row = rows.row(index);
            keep.push(match (index, &self.last) {
                (0, None) => true,
                (0, Some(last)) => row != last.row(),
                _ => row != rows.row(index - 1),
            });
        }
        self.last = Some(rows.row(batch.num_rows() - 1).owned());
        self.hide_deleted(batch, &mut keep)?;
        if keep.iter().all(|keep| *keep) {
            return Ok(batch.clone());
        }
        Ok(filter_record_batch(batch, &BooleanArray::from(keep))?)
    }

    fn hide_deleted(&mut self, batch: &RecordBatch, keep: &mut [bool]) -> Result<()> {
        if self.deleted.len() == 0 {
            return Ok(());
        }
        self.deleted
            .find(&columns(batch, &self.keys), &mut self.probe)?;
        let times = batch
            .column(self.time)
            .as_primitive::<TimestampMicrosecondType>();
        debug_assert_eq!(times.null_count(), 0, "every record has an event time");
        for ((keep, id), time) in keep.iter_mut().zip(&self.probe.ids).zip(times.values()) {
            if *id != NO_KEY && *time <= self.deleted_until[*id as usize] {
                *keep = false;
            }
        }
        Ok(())
    }
}
