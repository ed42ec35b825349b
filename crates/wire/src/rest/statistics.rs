use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use twinfold_model::{ColumnStatistics, DatasetStatistics, SplitStatistics};

use super::{Exact, ValueBody};

/// What the columns of a training dataset hold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DatasetStatisticsBody {
    /// Of all rows.
    pub whole: SplitStatisticsBody,
    /// Of each split; none when there is but one, which is the whole.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub splits: BTreeMap<String, SplitStatisticsBody>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SplitStatisticsBody {
    pub rows: u64,
    /// In the order of the dataset's columns.
    pub columns: Vec<ColumnStatisticsBody>,
}

/// One column. Beside nulls, NaN and infinities it is about finite values alone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ColumnStatisticsBody {
    pub name: String,
    pub nulls: u64,
    pub nans: u64,
    pub infinities: u64,
    /// Of numbers, dates and timestamps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<ValueBody>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<ValueBody>,
    /// Of numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mean: Option<Exact<f64>>,
    /// That of a sample; absent for fewer than two numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub standard_deviation: Option<Exact<f64>>,
    /// Of strings and booleans; absent when there are more than 1,000, or more than 256 KiB of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distinct_values: Option<u64>,
    /// Of strings, in characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub length_min: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub length_max: Option<u64>,
}

impl From<&DatasetStatistics> for DatasetStatisticsBody {
    fn from(statistics: &DatasetStatistics) -> Self {
        let splits = statistics.splits.iter();
        Self {
            whole: (&statistics.whole).into(),
            splits: splits
                .map(|(name, split)| (name.clone(), split.into()))
                .collect(),
        }
    }
}

impl From<DatasetStatisticsBody> for DatasetStatistics {
    fn from(body: DatasetStatisticsBody) -> Self {
        let splits = body.splits.into_iter();
        Self {
            whole: body.whole.into(),
            splits: splits.map(|(name, split)| (name, split.into())).collect(),
        }
    }
}

impl From<&SplitStatistics> for SplitStatisticsBody {
    fn from(split: &SplitStatistics) -> Self {
        Self {
            rows: split.rows,
            columns: split.columns.iter().map(Into::into).collect(),
        }
    }
}

impl From<SplitStatisticsBody> for SplitStatistics {
    fn from(body: SplitStatisticsBody) -> Self {
        Self {
            rows: body.rows,
            columns: body.columns.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<&ColumnStatistics> for ColumnStatisticsBody {
    fn from(column: &ColumnStatistics) -> Self {
        Self {
            name: column.name.clone(),
            nulls: column.nulls,
            nans: column.nans,
            infinities: column.infinities,
            min: column.min.as_ref().map(Into::into),
            max: column.max.as_ref().map(Into::into),
            mean: column.mean.map(Exact),
            standard_deviation: column.standard_deviation.map(Exact),
            distinct_values: column.distinct_values,
            length_min: column.length_min,
            length_max: column.length_max,
        }
    }
}

impl From<ColumnStatisticsBody> for ColumnStatistics {
    fn from(body: ColumnStatisticsBody) -> Self {
        Self {
            name: body.name,
            nulls: body.nulls,
            nans: body.nans,
            infinities: body.infinities,
            min: body.min.map(Into::into),
            max: body.max.map(Into::into),
            mean: body.mean.map(|mean| mean.0),
            standard_deviation: body.standard_deviation.map(|deviation| deviation.0),
            distinct_values: body.distinct_values,
            length_min: body.length_min,
            length_max: body.length_max,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::rest::samples;

    #[test]
    fn statistics_are_readable() {
        let json = concat!(
            r#"{"whole":{"rows":3,"columns":["#,
            r#"{"name":"fare","nulls":1,"nans":0,"infinities":0,"min":{"bigint":"-2"},"#,
            r#""max":{"bigint":"9007199254740993"},"mean":"0.5","standard_deviation":"0.1"},"#,
            r#"{"name":"zone","nulls":0,"nans":0,"infinities":0,"distinct_values":2,"#,
            r#""length_min":0,"length_max":12}]}}"#
        );
        let body: DatasetStatisticsBody = serde_json::from_str(json).expect("readable");
        let statistics = DatasetStatistics::from(body);
        assert_eq!(statistics.whole.columns[0].mean, Some(0.5));
        assert_eq!(statistics.whole.columns[1].min, None);
        let written = serde_json::to_string(&DatasetStatisticsBody::from(&statistics));
        assert_eq!(written.expect("serializable"), json);
    }

    proptest! {
        #[test]
        fn all_statistics_read_back(statistics in samples::dataset_statistics()) {
            let body = DatasetStatisticsBody::from(&statistics);
            let json = serde_json::to_string(&body).expect("serializable");
            let body: DatasetStatisticsBody = serde_json::from_str(&json).expect("readable");
            prop_assert_eq!(DatasetStatistics::from(body), statistics);
        }
    }
}
