use std::collections::BTreeMap;

use crate::Value;

/// Distinct values of a column are counted up to this many.
pub const DISTINCT_VALUES_MAX: usize = 1_000;
/// And up to this many bytes of UTF-8, all together.
pub const DISTINCT_VALUES_BYTES_MAX: usize = 256 << 10;

/// What the columns of a training dataset hold: a function of the content that its digest names.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DatasetStatistics {
    /// Of all rows.
    pub whole: SplitStatistics,
    /// Of each split; empty when there is but one, which is the whole.
    pub splits: BTreeMap<String, SplitStatistics>,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct SplitStatistics {
    pub rows: u64,
    /// In the order of the dataset's columns.
    pub columns: Vec<ColumnStatistics>,
}

/// One column. Beside nulls, NaN and infinities it is about finite values alone.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ColumnStatistics {
    pub name: String,
    pub nulls: u64,
    pub nans: u64,
    /// Of both signs.
    pub infinities: u64,
    /// Of numbers, dates and timestamps, in the type of the column.
    pub min: Option<Value>,
    pub max: Option<Value>,
    /// Of numbers; none where it is beyond what a double holds.
    pub mean: Option<f64>,
    /// That of a sample, which divides by n - 1; none of fewer than two numbers.
    pub standard_deviation: Option<f64>,
    /// Of strings and booleans; none of more than [`DISTINCT_VALUES_MAX`] values or
    /// [`DISTINCT_VALUES_BYTES_MAX`] bytes.
    pub distinct_values: Option<u64>,
    /// Of strings, in characters.
    pub length_min: Option<u64>,
    pub length_max: Option<u64>,
}
