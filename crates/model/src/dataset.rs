use std::collections::BTreeMap;

use crate::{
    Error, EventTime, FeatureGroupId, FeatureType, FeatureViewId, Name, ProjectName, Query, Result,
    Value,
};

/// The file format of a training dataset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DatasetFormat {
    Parquet,
    Csv,
}

/// What a dataset was made from.
#[derive(Debug, Clone, PartialEq)]
pub enum DatasetSource {
    Query(Query),
    View(FeatureViewId),
}

/// One named part of a dataset and its share of the rows.
#[derive(Debug, Clone, PartialEq)]
pub struct DatasetSplit {
    pub name: String,
    /// Share of the rows, in (0, 1]; the shares of a dataset add up to 1.
    pub share: f64,
}

/// What a caller asks for when it makes a training dataset.
#[derive(Debug, Clone, PartialEq)]
pub struct DatasetSpec {
    pub project: ProjectName,
    pub name: Name,
    /// The next free one when not given.
    pub version: Option<u32>,
    pub source: DatasetSource,
    pub labels: Vec<String>,
    /// What stands in where a joined group has no row, by column: those of the view.
    pub defaults: BTreeMap<String, Value>,
    pub format: DatasetFormat,
    /// Empty means one split that holds everything.
    pub splits: Vec<DatasetSplit>,
    pub seed: u64,
    /// Rows of the left side with `start ≤ event time < end`.
    pub event_time_start: Option<EventTime>,
    pub event_time_end: Option<EventTime>,
    pub description: String,
}

impl DatasetSpec {
    pub fn validate(&self) -> Result<()> {
        let fail = |reason: String| {
            Err(Error::InvalidDataset {
                dataset: self.name.to_string(),
                reason,
            })
        };
        for (index, split) in self.splits.iter().enumerate() {
            Name::new("split", split.name.as_str())?;
            if !(split.share > 0.0 && split.share <= 1.0) {
                return fail(format!(
                    "split `{}` has share {}, wanted more than 0 and at most 1",
                    split.name, split.share
                ));
            }
            if self.splits[..index]
                .iter()
                .any(|other| other.name == split.name)
            {
                return fail(format!("split `{}` stands twice", split.name));
            }
        }
        let total: f64 = self.splits.iter().map(|split| split.share).sum();
        if !self.splits.is_empty() && (total - 1.0).abs() > 1e-9 {
            return fail(format!(
                "the shares of the splits add up to {total}, wanted 1"
            ));
        }
        Ok(())
    }
}

/// The exact version of a table that a dataset was read from; vacuum keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PinnedTable {
    pub group: FeatureGroupId,
    /// The name of the table: a group that was deleted and created again has another, with other commits.
    pub resource: String,
    pub commit: u64,
}

impl PinnedTable {
    /// What there is in place of the pinned table, when the group's table is called `resource` by now: the
    /// commits of another life of the group hold other rows. `None` when it is the one that is pinned.
    pub fn replaced_by(&self, resource: &str) -> Option<String> {
        (self.resource != resource).then(|| {
            format!(
                "; feature group `{}` was deleted and created again since, its history is `{resource}` now",
                self.group
            )
        })
    }
}

/// The immutable result of a query at pinned commits.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainingDataset {
    pub project: ProjectName,
    pub name: Name,
    pub version: u32,
    pub spec: DatasetSpec,
    /// The query that was run, whatever the source was.
    pub query: Query,
    /// One per group of the query, in its order.
    pub pins: Vec<PinnedTable>,
    /// Columns in order, labels included.
    pub features: Vec<(String, FeatureType)>,
    pub rows: BTreeMap<String, u64>,
    /// Where the files are: a folder below the platform's root.
    pub location: String,
    /// SHA-256 over the canonical content of every split, in hexadecimal.
    pub digest: String,
    pub created_at: EventTime,
}
