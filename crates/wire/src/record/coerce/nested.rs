use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, FixedSizeListArray, Float32Array, ListArray, MapArray, StructArray,
    UInt32Array, make_array,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, Float32Type};
use arrow::error::ArrowError;
use twinfold_model::{Error, FeatureType, Result, StructField, Value};

use super::{Target, constant};
use crate::record::arrow_types::{
    embedding_item_field, entries_field, entry_fields, item_field, struct_fields,
};

pub(super) fn is_list(found: &DataType) -> bool {
    matches!(
        found,
        DataType::List(_)
            | DataType::LargeList(_)
            | DataType::FixedSizeList(..)
            | DataType::ListView(_)
            | DataType::LargeListView(_)
    )
}

/// A map, or a list of key and value as dataframes without a map type write it.
pub(super) fn is_map(found: &DataType) -> bool {
    match found {
        DataType::Map(..) => true,
        DataType::List(entry) | DataType::LargeList(entry) => match entry.data_type() {
            DataType::Struct(fields) => {
                fields.len() == 2
                    && matches!(fields[0].name().as_str(), "key" | "keys")
                    && matches!(fields[1].name().as_str(), "value" | "values")
            }
            _ => false,
        },
        _ => false,
    }
}

/// A list whose items are exactly those of its valid rows, in order.
struct Dense {
    offsets: OffsetBuffer<i32>,
    items: ArrayRef,
    nulls: Option<NullBuffer>,
}

impl Dense {
    /// The row that holds item `index`.
    fn row_of(&self, index: usize) -> usize {
        let ends = &self.offsets[1..];
        ends.partition_point(|end| *end as usize <= index)
    }
}

impl Target<'_> {
    pub(super) fn array(&self, array: &ArrayRef, item: &FeatureType) -> Result<ArrayRef> {
        let wanted = FeatureType::Array(Box::new(item.clone()));
        let dense = self.dense(array, &wanted)?;
        let items = self.inside(&dense, &dense.items, item)?;
        ListArray::try_new(item_field(item), dense.offsets, items, dense.nulls)
            .map(|list| Arc::new(list) as ArrayRef)
            .map_err(|error| self.unexpected(array, &wanted, &error))
    }

    pub(super) fn map(
        &self,
        array: &ArrayRef,
        value: &FeatureType,
        wanted: &FeatureType,
    ) -> Result<ArrayRef> {
        let dense = self.dense(array, wanted)?;
        let entries = dense.items.as_struct();
        let keys = self.inside(&dense, entries.column(0), &FeatureType::String)?;
        let null = |array: &dyn Array| array.nulls()?.iter().position(|valid| !valid);
        if let Some(index) = null(entries).or_else(|| null(&keys)) {
            return Err(self.mismatch("a null key", wanted, dense.row_of(index)));
        }
        let values = self.inside(&dense, entries.column(1), value)?;
        StructArray::try_new(entry_fields(value), vec![keys, values], None)
            .and_then(|entries| {
                let field = entries_field(value);
                MapArray::try_new(field, dense.offsets, entries, dense.nulls, false)
            })
            .map(|map| Arc::new(map) as ArrayRef)
            .map_err(|error| self.unexpected(array, wanted, &error))
    }

    /// Fields are matched by name; one that is absent is null.
    pub(super) fn structure(
        &self,
        array: &ArrayRef,
        fields: &[StructField],
        wanted: &FeatureType,
    ) -> Result<ArrayRef> {
        let found = array.as_struct();
        if let Some(unknown) = found
            .column_names()
            .iter()
            .find(|name| fields.iter().all(|field| field.name != **name))
        {
            let found = format!("a struct with field `{unknown}`");
            return Err(self.wrong_type(array, found, &wanted.to_string()));
        }
        let columns = fields
            .iter()
            .map(|field| match found.column_by_name(&field.name) {
                None => constant(&field.r#type, &Value::Null, array.len()),
                Some(column) => {
                    let column = masked(column, found.nulls())
                        .map_err(|error| self.unexpected(array, wanted, &error))?;
                    self.convert(&column, &field.r#type)
                }
            })
            .collect::<Result<Vec<_>>>()?;
        StructArray::try_new(struct_fields(fields), columns, found.nulls().cloned())
            .map(|array| Arc::new(array) as ArrayRef)
            .map_err(|error| self.unexpected(array, wanted, &error))
    }

    /// Lists of one length and of floats without nulls.
    pub(super) fn embedding(
        &self,
        array: &ArrayRef,
        length: u32,
        wanted: &FeatureType,
    ) -> Result<ArrayRef> {
        let dense = self.dense(array, wanted)?;
        let length = length as usize;
        for (row, found) in dense.offsets.lengths().enumerate() {
            if array.is_valid(row) && found != length {
                let found = format!("a list of {found} items");
                return Err(self.mismatch(found, wanted, row));
            }
        }
        let items = self.inside(&dense, &dense.items, &FeatureType::Float)?;
        if let Some(index) = items
            .nulls()
            .and_then(|n| n.iter().position(|valid| !valid))
        {
            return Err(self.mismatch("a null item", wanted, dense.row_of(index)));
        }
        let items = items.as_primitive::<Float32Type>();
        let floats = match &dense.nulls {
            None => items.clone(),
            Some(nulls) => Float32Array::from(padded(items.values(), nulls, length)),
        };
        let floats = Float32Array::new(floats.values().clone(), None);
        let (field, size) = (
            embedding_item_field(),
            i32::try_from(length).unwrap_or(i32::MAX),
        );
        FixedSizeListArray::try_new(field, size, Arc::new(floats), dense.nulls)
            .map(|array| Arc::new(array) as ArrayRef)
            .map_err(|error| self.unexpected(array, wanted, &error))
    }

    /// Converts what is inside a list; errors name the row that holds the item.
    fn inside(&self, dense: &Dense, items: &ArrayRef, wanted: &FeatureType) -> Result<ArrayRef> {
        let target = Target {
            feature: self.feature,
            row_of: &|index| (self.row_of)(dense.row_of(index)),
        };
        target.convert(items, wanted)
    }

    /// Any kind of list with 32-bit offsets from zero, and nothing hidden behind its nulls: hidden
    /// items are no values, so they must not be errors either.
    fn dense(&self, array: &ArrayRef, wanted: &FeatureType) -> Result<Dense> {
        let (offsets, items) = match array.data_type() {
            DataType::Map(..) => {
                let map = array.as_map();
                let entries: ArrayRef = Arc::new(map.entries().clone());
                (map.offsets().clone(), entries)
            }
            DataType::List(_) => {
                let list = array.as_list::<i32>();
                (list.offsets().clone(), list.values().clone())
            }
            DataType::LargeList(item)
            | DataType::FixedSizeList(item, _)
            | DataType::ListView(item)
            | DataType::LargeListView(item) => {
                let list = self.cast(array, &DataType::List(item.clone()), wanted)?;
                let list = list.as_list::<i32>();
                (list.offsets().clone(), list.values().clone())
            }
            other => return Err(self.wrong_type(array, other.to_string(), &wanted.to_string())),
        };
        let nulls = array.nulls().filter(|nulls| nulls.null_count() > 0);
        let hides = nulls.is_some_and(|nulls| {
            let lengths = offsets.lengths().enumerate();
            lengths
                .into_iter()
                .any(|(row, n)| n > 0 && nulls.is_null(row))
        });
        let (offsets, items) = if hides {
            self.without_hidden(array, &offsets, &items, wanted)?
        } else {
            let first = offsets[0];
            let length = (offsets[offsets.len() - 1] - first) as usize;
            let rebased: Vec<i32> = offsets.iter().map(|offset| offset - first).collect();
            let items = items.slice(first as usize, length);
            (OffsetBuffer::new(rebased.into()), items)
        };
        Ok(Dense {
            offsets,
            items,
            nulls: nulls.cloned(),
        })
    }

    fn without_hidden(
        &self,
        array: &ArrayRef,
        offsets: &OffsetBuffer<i32>,
        items: &ArrayRef,
        wanted: &FeatureType,
    ) -> Result<(OffsetBuffer<i32>, ArrayRef)> {
        let mut kept = Vec::new();
        let mut lengths = Vec::with_capacity(array.len());
        for (row, bounds) in offsets.windows(2).enumerate() {
            let before = kept.len();
            if array.is_valid(row) {
                // Offsets of an Arrow array are never negative.
                kept.extend(bounds[0] as u32..bounds[1] as u32);
            }
            lengths.push(kept.len() - before);
        }
        let items = arrow::compute::take(items, &UInt32Array::from(kept), None)
            .map_err(|error| self.unexpected(array, wanted, &error))?;
        Ok((OffsetBuffer::from_lengths(lengths), items))
    }

    fn unexpected(&self, array: &ArrayRef, wanted: &FeatureType, error: &ArrowError) -> Error {
        let found = format!("{} ({error})", array.data_type());
        self.wrong_type(array, found, &wanted.to_string())
    }
}

/// A field of a struct, null wherever the struct is.
fn masked(column: &ArrayRef, parent: Option<&NullBuffer>) -> Result<ArrayRef, ArrowError> {
    match parent {
        Some(parent) if parent.null_count() > 0 && column.data_type() != &DataType::Null => {
            let nulls = NullBuffer::union(Some(parent), column.logical_nulls().as_ref());
            let data = column.to_data().into_builder().nulls(nulls).build()?;
            Ok(make_array(data))
        }
        _ => Ok(column.clone()),
    }
}

/// Floats of the valid rows, with zeros in the place of the others.
fn padded(floats: &[f32], nulls: &NullBuffer, length: usize) -> Vec<f32> {
    let mut rest = floats.chunks_exact(length);
    let mut padded = Vec::with_capacity(nulls.len() * length);
    for valid in nulls {
        let row = if valid { rest.next() } else { None };
        match row {
            Some(row) => padded.extend_from_slice(row),
            None => padded.resize(padded.len() + length, 0.0),
        }
    }
    padded
}
