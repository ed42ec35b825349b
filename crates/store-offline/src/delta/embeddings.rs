//! Embeddings as Delta has them, arrays of any length, and as the canonical schema has them.
//!
//! The conversion is our own because that of arrow-cast 59 takes the values of a sliced list from the
//! beginning of what it is a slice of.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, FixedSizeListArray, ListArray, MapArray, StructArray, UInt64Array,
    make_array,
};
use arrow::compute::take;
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use arrow::error::ArrowError;
use datafusion::common::{Result, exec_err};
use datafusion::config::ConfigOptions;
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::projection::ProjectionExec;

/// The schema with lists in the place of embeddings.
pub(super) fn with_lists(schema: &Schema) -> SchemaRef {
    Arc::new(Schema::new(
        schema.fields().iter().map(list_field).collect::<Vec<_>>(),
    ))
}

fn list_field(field: &FieldRef) -> FieldRef {
    let r#type = match field.data_type() {
        DataType::FixedSizeList(item, _) => DataType::List(Arc::clone(item)),
        DataType::List(item) => DataType::List(list_field(item)),
        DataType::Map(entries, sorted) => DataType::Map(list_field(entries), *sorted),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(list_field).collect()),
        _ => return Arc::clone(field),
    };
    Arc::new(Field::clone(field).with_data_type(r#type))
}

/// A plan that gives `wanted` columns, made of one that gives lists for embeddings.
pub(super) fn to_embeddings(
    plan: Arc<dyn ExecutionPlan>,
    wanted: &Schema,
) -> Result<Arc<dyn ExecutionPlan>> {
    let found = plan.schema();
    if found
        .fields()
        .iter()
        .zip(wanted.fields())
        .all(|(a, b)| a.data_type() == b.data_type())
    {
        return Ok(plan);
    }
    let columns = wanted.fields().iter().enumerate().map(|(index, field)| {
        let column: Arc<dyn PhysicalExpr> = Arc::new(Column::new(field.name(), index));
        let expression = if found.field(index).data_type() == field.data_type() {
            column
        } else {
            Arc::new(ScalarFunctionExpr::new(
                field.name(),
                Arc::new(ScalarUDF::new_from_impl(ToEmbeddings::new(field))),
                vec![column],
                Arc::clone(field),
                Arc::new(ConfigOptions::default()),
            ))
        };
        (expression, field.name().clone())
    });
    let columns: Vec<_> = columns.collect();
    Ok(Arc::new(ProjectionExec::try_new(columns, plan)?))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct ToEmbeddings {
    wanted: DataType,
    signature: Signature,
}

impl ToEmbeddings {
    fn new(field: &Field) -> Self {
        Self {
            wanted: field.data_type().clone(),
            signature: Signature::any(1, Volatility::Immutable),
        }
    }
}

impl ScalarUDFImpl for ToEmbeddings {
    fn name(&self) -> &'static str {
        "to_embeddings"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.wanted.clone())
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [ColumnarValue::Array(lists)] = arguments.args.as_slice() else {
            return exec_err!("to_embeddings takes one column");
        };
        Ok(ColumnarValue::Array(converted(lists, &self.wanted)?))
    }
}

fn converted(array: &ArrayRef, wanted: &DataType) -> Result<ArrayRef, ArrowError> {
    Ok(match (array.data_type(), wanted) {
        (found, wanted) if found == wanted => Arc::clone(array),
        (DataType::List(_), DataType::FixedSizeList(item, length)) => {
            embeddings(array.as_list(), item, *length)?
        }
        (DataType::List(_), DataType::List(item)) => {
            let list = array.as_list::<i32>();
            let values = converted(list.values(), item.data_type())?;
            let (offsets, nulls) = (list.offsets().clone(), list.nulls().cloned());
            Arc::new(ListArray::try_new(
                Arc::clone(item),
                offsets,
                values,
                nulls,
            )?)
        }
        (DataType::Map(..), DataType::Map(entries, sorted)) => {
            let map = array.as_map();
            let found: ArrayRef = Arc::new(map.entries().clone());
            let values = converted(&found, entries.data_type())?;
            Arc::new(MapArray::try_new(
                Arc::clone(entries),
                map.offsets().clone(),
                values.as_struct().clone(),
                map.nulls().cloned(),
                *sorted,
            )?)
        }
        (DataType::Struct(_), DataType::Struct(fields)) => {
            let columns = array.as_struct().columns().iter().zip(fields);
            let columns = columns.map(|(column, field)| converted(column, field.data_type()));
            Arc::new(StructArray::try_new_with_length(
                fields.clone(),
                columns.collect::<Result<_, _>>()?,
                array.nulls().cloned(),
                array.len(),
            )?)
        }
        // What differs is not an embedding: names or nullability, which carry no data.
        (_, wanted) => make_array(
            array
                .to_data()
                .into_builder()
                .data_type(wanted.clone())
                .build()?,
        ),
    })
}

fn embeddings(list: &ListArray, item: &FieldRef, length: i32) -> Result<ArrayRef, ArrowError> {
    let size = usize::try_from(length).unwrap_or_default();
    let mut places = Vec::with_capacity(list.len() * size);
    for (row, ends) in list.offsets().windows(2).enumerate() {
        let (start, end) = (ends[0] as usize, ends[1] as usize);
        if list.is_null(row) {
            places.extend(std::iter::repeat_n(None, size));
        } else if end - start == size {
            places.extend((start..end).map(|place| Some(place as u64)));
        } else {
            return Err(ArrowError::InvalidArgumentError(format!(
                "an embedding has {} items, wanted {size}",
                end - start
            )));
        }
    }
    let values = take(list.values(), &UInt64Array::from(places), None)?;
    let nulls = list.nulls().cloned();
    Ok(Arc::new(FixedSizeListArray::try_new(
        Arc::clone(item),
        length,
        values,
        nulls,
    )?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Float32Builder, ListBuilder};
    use arrow::datatypes::Float32Type;

    fn item() -> FieldRef {
        Arc::new(Field::new("item", DataType::Float32, true))
    }

    fn lists(rows: &[Option<[f32; 2]>]) -> ListArray {
        let mut builder = ListBuilder::new(Float32Builder::new()).with_field(item());
        for row in rows {
            builder
                .values()
                .append_slice(row.as_ref().map_or(&[], |row| row));
            builder.append(row.is_some());
        }
        builder.finish()
    }

    #[test]
    fn a_slice_has_its_own_values() {
        let all = [Some([0.0, 1.0]), Some([2.0, 3.0]), None, Some([4.0, 5.0])];
        for (offset, length) in [(0, 4), (1, 1), (1, 3), (2, 2), (3, 1)] {
            let list = lists(&all).slice(offset, length);
            let found = embeddings(&list, &item(), 2).expect("embeddings");
            let found = found.as_fixed_size_list();
            let rows = (0..length).map(|row| {
                let values = found.value(row);
                let values = values.as_primitive::<Float32Type>().values().to_vec();
                found.is_valid(row).then_some(values)
            });
            let wanted = all[offset..][..length].iter();
            let wanted = wanted.map(|row| row.map(|row| row.to_vec()));
            assert!(rows.eq(wanted), "rows {offset} and on, {length} of them");
        }
        let error = embeddings(&lists(&all), &item(), 3).expect_err("too short");
        assert!(
            error.to_string().contains("has 2 items, wanted 3"),
            "{error}"
        );
    }
}
