use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use datafusion::common::runtime::JoinSet;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::{DataFusionError, Result as DataFusionResult};
use datafusion::execution::memory_pool::{
    GreedyMemoryPool, MemoryConsumer, MemoryPool, MemoryReservation,
};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{Distribution, EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::distribution_requirements::InputDistributionRequirements;
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType, reset_plan_states};
use datafusion::physical_plan::stream::RecordBatchReceiverStream;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, Partitioning,
    PlanProperties,
};
use futures::StreamExt;
use tokio::sync::mpsc::Sender;

use super::PitJoin;
use super::gather::Winners;
use super::probe::Candidates;
use super::slots::Slots;
use crate::{Error, Result};

/// Rows of the spine that are joined in one pass over the history, whatever the memory.
const CHUNK_ROWS_MAX: usize = 1 << 28;
/// Batches that wait for the consumer.
const QUEUE_BATCHES_MAX: usize = 4;

/// Joins a spine, in its order, with a history in any order and partitioning.
#[derive(Debug)]
pub(crate) struct PitJoinExec {
    spine: Arc<dyn ExecutionPlan>,
    history: Arc<dyn ExecutionPlan>,
    join: Arc<PitJoin>,
    /// For the chunk of the spine, its slots and the features found for it. A larger spine takes
    /// more passes over the history.
    memory_bytes_max: usize,
    properties: Arc<PlanProperties>,
}

impl PitJoinExec {
    pub(crate) fn new(
        spine: Arc<dyn ExecutionPlan>,
        history: Arc<dyn ExecutionPlan>,
        join: Arc<PitJoin>,
        memory_bytes_max: usize,
    ) -> Self {
        let mut fields = spine.schema().fields().to_vec();
        fields.extend(join.features.iter().cloned());
        let schema = Arc::new(Schema::new(fields));
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Self {
            spine,
            history,
            join,
            memory_bytes_max,
            properties: Arc::new(properties),
        }
    }
}

impl DisplayAs for PitJoinExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "PitJoinExec: kind={:?}, keys={:?}, time={:?}, ttl={:?}",
            self.join.kind, self.join.spine_keys, self.join.spine_time, self.join.ttl
        )
    }
}

impl ExecutionPlan for PitJoinExec {
    fn name(&self) -> &'static str {
        "PitJoinExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.spine, &self.history]
    }

    fn input_distribution_requirements(&self) -> InputDistributionRequirements {
        InputDistributionRequirements::new(vec![
            Distribution::SinglePartition,
            Distribution::UnspecifiedDistribution,
        ])
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
        let [spine, history] = <[_; 2]>::try_from(children).map_err(|children| {
            DataFusionError::Internal(format!(
                "PitJoinExec has 2 children, found {}",
                children.len()
            ))
        })?;
        let join = Arc::clone(&self.join);
        Ok(Arc::new(Self::new(
            spine,
            history,
            join,
            self.memory_bytes_max,
        )))
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> DataFusionResult<SendableRecordBatchStream> {
        debug_assert_eq!(partition, 0, "the result has one partition");
        let mut output = RecordBatchReceiverStream::builder(self.schema(), QUEUE_BATCHES_MAX);
        let spine = self.spine.execute(0, Arc::clone(&context))?;
        let run = Run {
            join: Arc::clone(&self.join),
            history: Arc::clone(&self.history),
            schema: self.schema(),
            context,
            pool: Arc::new(GreedyMemoryPool::new(self.memory_bytes_max)),
            memory_bytes_max: self.memory_bytes_max,
            output: output.tx(),
        };
        output.spawn(async move { Ok(run.all(spine).await?) });
        Ok(output.build())
    }
}

/// One execution of the join.
struct Run {
    join: Arc<PitJoin>,
    history: Arc<dyn ExecutionPlan>,
    schema: SchemaRef,
    context: Arc<TaskContext>,
    pool: Arc<dyn MemoryPool>,
    memory_bytes_max: usize,
    output: Sender<DataFusionResult<RecordBatch>>,
}

impl Run {
    async fn all(&self, mut spine: SendableRecordBatchStream) -> Result<()> {
        let mut next = None;
        loop {
            let memory = self.reservation("spine");
            let chunk = self.chunk(&mut spine, &mut next, &memory).await?;
            if chunk.is_empty() {
                return Ok(());
            }
            // A chunk whose features do not fit is joined half by half, the first half first.
            let mut pending = vec![chunk];
            while let Some(chunk) = pending.pop() {
                match self.join_chunk(&chunk).await {
                    Err(Error::DataFusion(DataFusionError::ResourcesExhausted(reason))) => {
                        let (first, second) = self.halves(chunk, &reason)?;
                        pending.push(second);
                        pending.push(first);
                    }
                    other => other?,
                }
            }
            if self.output.is_closed() {
                return Ok(());
            }
        }
    }

    /// As many batches of the spine as half of the memory holds; `next` is the first one of the next chunk.
    async fn chunk(
        &self,
        spine: &mut SendableRecordBatchStream,
        next: &mut Option<RecordBatch>,
        memory: &MemoryReservation,
    ) -> Result<Vec<RecordBatch>> {
        let mut chunk = Vec::new();
        let mut rows = 0;
        loop {
            let batch = match next.take() {
                Some(batch) => batch,
                None => match spine.next().await {
                    Some(batch) => batch?,
                    None => return Ok(chunk),
                },
            };
            if batch.num_rows() == 0 {
                continue;
            }
            let bytes = bytes_of(&batch)?;
            let fits = memory.size() + bytes <= self.memory_bytes_max / 2
                && rows + batch.num_rows() <= CHUNK_ROWS_MAX;
            if !fits && !chunk.is_empty() {
                *next = Some(batch);
                return Ok(chunk);
            }
            memory.grow(bytes);
            rows += batch.num_rows();
            chunk.push(batch);
        }
    }

    async fn join_chunk(&self, chunk: &[RecordBatch]) -> Result<()> {
        let memory = self.reservation("slots");
        let slots = Arc::new(Slots::new(&self.join, chunk)?);
        memory.try_grow(slots.bytes())?;
        let partitions = self.pass_history(&slots).await?;
        let winners = Winners::new(&self.join, &slots, partitions);
        let mut first = 0;
        for spine in chunk {
            let batch = winners.gather(&self.schema, spine, first)?;
            first += spine.num_rows();
            if batch.num_rows() > 0 && self.output.send(Ok(batch)).await.is_err() {
                // Nobody wants the rest.
                return Ok(());
            }
        }
        Ok(())
    }

    /// Streams every partition of the history past the slots, in parallel.
    async fn pass_history(&self, slots: &Arc<Slots>) -> Result<Vec<Candidates>> {
        // Fresh state: operators below may run only once per instance.
        let history = reset_plan_states(Arc::clone(&self.history))?;
        let mut tasks = JoinSet::new();
        for partition in 0..history.output_partitioning().partition_count() {
            let mut stream = history.execute(partition, Arc::clone(&self.context))?;
            let mut candidates = Candidates::new(slots, self.reservation("candidates"))?;
            let (join, slots) = (Arc::clone(&self.join), Arc::clone(slots));
            tasks.spawn(async move {
                while let Some(batch) = stream.next().await {
                    candidates.offer(&join, &slots, &batch?)?;
                }
                Ok::<_, Error>(candidates)
            });
        }
        let mut partitions = Vec::with_capacity(tasks.len());
        while let Some(finished) = tasks.join_next().await {
            partitions.push(finished??);
        }
        Ok(partitions)
    }

    fn halves(
        &self,
        mut chunk: Vec<RecordBatch>,
        reason: &str,
    ) -> Result<(Vec<RecordBatch>, Vec<RecordBatch>)> {
        if let [batch] = chunk.as_slice() {
            let half = batch.num_rows() / 2;
            if half == 0 {
                return Err(Error::OutOfMemory {
                    memory_bytes_max: self.memory_bytes_max as u64,
                    reason: reason.to_owned(),
                });
            }
            let rest = batch.num_rows() - half;
            return Ok((vec![batch.slice(0, half)], vec![batch.slice(half, rest)]));
        }
        let second = chunk.split_off(chunk.len() / 2);
        Ok((chunk, second))
    }

    fn reservation(&self, what: &str) -> MemoryReservation {
        MemoryConsumer::new(format!("PitJoinExec {what}")).register(&self.pool)
    }
}

/// The bytes of a batch's own rows, when it is a slice of a larger one.
fn bytes_of(batch: &RecordBatch) -> Result<usize> {
    let mut bytes = 0;
    for column in batch.columns() {
        bytes += column.to_data().get_slice_memory_size()?;
    }
    Ok(bytes)
}
