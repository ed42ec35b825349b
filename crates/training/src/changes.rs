//! What a history gained between two commits.

use std::sync::Arc;

use arrow::array::types::ArrowPrimitiveType;
use arrow::datatypes::{DataType, Int32Type, Int64Type};
use datafusion::logical_expr::{Expr, lit, when};
use datafusion::physical_plan::execute_stream;
use twinfold_model::Positions;

use crate::execute::session;
use crate::history::{self, DELETED, EVENT_TIME, OFFSET, PARTITION};
use crate::spine::timestamp;
use crate::{Options, Result, Rows, Source};

/// The column that says what a record did: `upsert` or `delete`.
const CHANGE_TYPE: &str = "_change_type";

/// The records of a pinned table beyond `contained`, as they were written: the features of the group,
/// then `_event_time` and `_change_type`. A delete has its key alone. Order: partition and offset, which
/// is the order of writing for each key.
pub async fn changes(source: &Source, contained: &Positions, options: &Options) -> Result<Rows> {
    let context = session(options, options.memory_bytes_max)?;
    let snapshot = &source.snapshot.schema;
    let partition = history::system(snapshot, PARTITION, &Int32Type::DATA_TYPE)?;
    let offset = history::system(snapshot, OFFSET, &Int64Type::DATA_TYPE)?;
    let deleted = history::system(snapshot, DELETED, &DataType::Boolean)?;
    let mut selected = Vec::new();
    for feature in source.group.features() {
        let mut value = history::feature(source, feature)?;
        if !source
            .group
            .key_features()
            .any(|key| key.name == feature.name)
        {
            // A default stands in where the writer's schema lacked the feature, and a delete has none.
            value = when(deleted.clone().is_false(), value).end()?;
        }
        selected.push(value.alias(feature.name.as_str()));
    }
    selected.push(history::system(snapshot, EVENT_TIME, &timestamp())?.alias(EVENT_TIME));
    let change_type = when(deleted, lit("delete")).otherwise(lit("upsert"))?;
    selected.push(change_type.alias(CHANGE_TYPE));

    let mut rows = context.read_table(Arc::clone(&source.snapshot.table))?;
    if let Some(is_contained) = is_contained(contained, &partition, &offset) {
        rows = rows.filter(!is_contained)?;
    }
    let rows = rows
        .sort(vec![partition.sort(true, false), offset.sort(true, false)])?
        .select(selected)?;
    let physical = rows.create_physical_plan().await?;
    Ok(Rows::from_plan(execute_stream(
        physical,
        context.task_ctx(),
    )?))
}

/// `None` when nothing is contained.
fn is_contained(contained: &Positions, partition: &Expr, offset: &Expr) -> Option<Expr> {
    contained
        .iter()
        .map(|(id, next)| {
            let in_partition = partition.clone().eq(lit(id.0 as i32));
            in_partition.and(offset.clone().lt(lit(next.0 as i64)))
        })
        .reduce(Expr::or)
}
