//! All rows of an insert are checked before the first is taken in.

use std::sync::Arc;

use arrow::datatypes::DataType;
use arrow::record_batch::RecordBatch;
use twinfold_model::FeatureGroup;

use super::{SLICE_ROWS_MAX, thread_failed};
use crate::{GroupDefinition, Result};

/// Brings rows into the types of their group; the number is that of the first.
type Coerce = fn(&RecordBatch, &FeatureGroup, u64) -> twinfold_model::Result<RecordBatch>;

/// A batch that passed the check.
#[derive(Debug)]
pub(super) struct Checked {
    rows: RecordBatch,
    first_row: u64,
    /// Of rows that are left as they came: a dictionary has a value once that many rows name, and as plain
    /// values all of them could be many times as large.
    unpack: Option<Coerce>,
}

/// Rows of a batch that are encoded together.
#[derive(Debug)]
pub(super) struct Slice {
    rows: RecordBatch,
    first_row: u64,
    unpack: Option<Coerce>,
}

/// Applies `coerce` to every batch, with row numbers that count through all of them. Apart from the
/// threads that wait for I/O: a large dataframe takes seconds.
pub(super) async fn check(
    definition: &Arc<GroupDefinition>,
    batches: Vec<RecordBatch>,
    coerce: Coerce,
) -> Result<Vec<Checked>> {
    let definition = Arc::clone(definition);
    let checking = tokio::task::spawn_blocking(move || {
        let mut first_row = 0;
        let mut checked = Vec::with_capacity(batches.len());
        for batch in batches {
            let rows = batch.num_rows() as u64;
            checked.push(check_batch(batch, &definition.group, first_row, coerce)?);
            first_row += rows;
        }
        Ok(checked)
    });
    checking.await.map_err(thread_failed)?
}

fn check_batch(
    batch: RecordBatch,
    group: &FeatureGroup,
    first_row: u64,
    coerce: Coerce,
) -> Result<Checked> {
    let fields = batch.schema_ref().fields();
    let is_packed = fields.iter().any(|field| has_dictionary(field.data_type()));
    if !is_packed || batch.num_rows() == 0 {
        return Ok(Checked {
            rows: coerce(&batch, group, first_row)?,
            first_row,
            unpack: None,
        });
    }
    let packed = Checked {
        rows: batch,
        first_row,
        unpack: Some(coerce),
    };
    for slice in packed.slices() {
        slice.canonical(group)?;
    }
    Ok(packed)
}

fn has_dictionary(r#type: &DataType) -> bool {
    match r#type {
        DataType::Dictionary(..) => true,
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::ListView(item)
        | DataType::LargeListView(item)
        | DataType::FixedSizeList(item, _)
        | DataType::Map(item, _) => has_dictionary(item.data_type()),
        DataType::Struct(fields) => fields.iter().any(|field| has_dictionary(field.data_type())),
        _ => false,
    }
}

impl Checked {
    pub(super) fn slices(&self) -> impl Iterator<Item = Slice> + '_ {
        let count = self.rows.num_rows();
        (0..count).step_by(SLICE_ROWS_MAX).map(move |first| Slice {
            rows: self.rows.slice(first, SLICE_ROWS_MAX.min(count - first)),
            first_row: self.first_row + first as u64,
            unpack: self.unpack,
        })
    }
}

impl Slice {
    /// The rows in the types of their group.
    pub(super) fn canonical(self, group: &FeatureGroup) -> twinfold_model::Result<RecordBatch> {
        match self.unpack {
            None => Ok(self.rows),
            Some(coerce) => coerce(&self.rows, group, self.first_row),
        }
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, DictionaryArray, Int32Array, Int64Array, StringArray};
    use arrow::datatypes::Int32Type;
    use twinfold_model::{Error as ModelError, ResourceState, SchemaId};
    use twinfold_testkit::group;
    use twinfold_wire::record;

    use super::*;
    use crate::Error;

    const ROWS: usize = 2 * SLICE_ROWS_MAX + 1;

    fn definition() -> Arc<GroupDefinition> {
        let features = [("id", "bigint"), ("name", "string")];
        let group = group("names", &features, &["id"], None);
        Arc::new(GroupDefinition {
            resource: group.id().resource_name(1),
            group,
            state: ResourceState::Active,
            schema: SchemaId(1),
        })
    }

    /// Rows of which each names the first of these values.
    fn packed(values: ArrayRef) -> RecordBatch {
        let ids = Int64Array::from_iter_values((0..).take(ROWS));
        let names = Int32Array::from(vec![0; ROWS]);
        let names = DictionaryArray::<Int32Type>::new(names, values);
        let columns: [(&str, ArrayRef); 2] = [("id", Arc::new(ids)), ("name", Arc::new(names))];
        RecordBatch::try_from_iter(columns).expect("rows")
    }

    #[tokio::test]
    async fn values_of_a_dictionary_are_repeated_slice_by_slice() {
        let definition = definition();
        let rows = packed(Arc::new(StringArray::from(vec!["long"])));
        let checked = check(&definition, vec![rows.clone()], record::coerce).await;
        let checked = checked.expect("it fits");
        assert_eq!(checked[0].rows, rows);
        let plain = record::coerce(&rows, &definition.group, 0).expect("it fits");
        let mut first = 0;
        for slice in checked[0].slices() {
            let slice = slice.canonical(&definition.group).expect("it fits");
            assert!(slice.num_rows() <= SLICE_ROWS_MAX);
            assert_eq!(slice, plain.slice(first, slice.num_rows()));
            first += slice.num_rows();
        }
        assert_eq!(first, ROWS);
    }

    #[tokio::test]
    async fn what_a_dictionary_has_is_checked_before_anything_is_taken_in() {
        let rows = packed(Arc::new(StringArray::from(vec!["long"])));
        let wrong = packed(Arc::new(Int64Array::from(vec![7])));
        for wrong in [wrong.clone(), wrong.slice(0, 0)] {
            let batches = vec![rows.clone(), wrong];
            let checked = check(&definition(), batches, record::coerce).await;
            let Err(Error::Invalid(ModelError::TypeMismatch { feature, row, .. })) = checked else {
                panic!("it was taken in");
            };
            assert_eq!((feature.as_str(), row), ("name", Some(ROWS as u64)));
        }
    }
}
