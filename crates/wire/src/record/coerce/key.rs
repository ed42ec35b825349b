use arrow::array::{AsArray, RecordBatch};
use twinfold_model::{FeatureGroup, FeatureType, Result};

use crate::row::{KEY_BYTES_MAX, key_too_long};

/// Refuses keys that consumers would only quarantine. `batch` is canonical.
pub(super) fn check_keys(batch: &RecordBatch, group: &FeatureGroup, first_row: u64) -> Result<()> {
    // The version comes before the parts, the length before each that has one.
    let mut bytes_fixed = 1;
    let mut offsets = Vec::new();
    for index in group.primary_key() {
        let column = batch.column(*index);
        match group.features()[*index].r#type {
            FeatureType::Boolean => bytes_fixed += 1,
            FeatureType::Int | FeatureType::Date => bytes_fixed += 4,
            FeatureType::String => offsets.push(column.as_string::<i32>().value_offsets()),
            FeatureType::Binary => offsets.push(column.as_binary::<i32>().value_offsets()),
            _ => bytes_fixed += 8,
        }
    }
    bytes_fixed += 4 * offsets.len();
    for row in 0..batch.num_rows() {
        let lengths = offsets
            .iter()
            .map(|ends| (ends[row + 1] - ends[row]) as usize);
        let bytes = bytes_fixed + lengths.sum::<usize>();
        if bytes > KEY_BYTES_MAX {
            let row = Some(first_row + row as u64);
            return Err(key_too_long(group.key_features(), bytes, row));
        }
    }
    Ok(())
}
