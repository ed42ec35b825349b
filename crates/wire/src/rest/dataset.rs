use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use twinfold_model::{
    DatasetFormat, DatasetSource, DatasetSpec, DatasetSplit, DatasetStatistics, Error, EventTime,
    Name, PinnedTable, ProjectName, TrainingDataset,
};

use super::{
    DatasetStatisticsBody, Exact, FeatureGroupIdBody, FeatureViewIdBody, QueryBody, ValueBody,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FormatBody {
    Parquet,
    Csv,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DatasetSourceBody {
    Query(QueryBody),
    View(FeatureViewIdBody),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DatasetSplitBody {
    pub name: String,
    /// Exact, because a share that moved by one bit may move a row to another split.
    pub share: Exact<f64>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DatasetSpecBody {
    pub project: String,
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u32>,
    pub source: DatasetSourceBody,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub defaults: BTreeMap<String, ValueBody>,
    pub format: FormatBody,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub splits: Vec<DatasetSplitBody>,
    #[serde(default)]
    pub seed: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_time_start_us: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_time_end_us: Option<i64>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PinnedTableBody {
    pub group: FeatureGroupIdBody,
    pub resource: String,
    pub commit: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ColumnBody {
    pub name: String,
    pub r#type: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TrainingDatasetBody {
    pub project: String,
    pub name: String,
    pub version: u32,
    pub spec: DatasetSpecBody,
    pub query: QueryBody,
    pub pins: Vec<PinnedTableBody>,
    pub features: Vec<ColumnBody>,
    /// Rows per split.
    pub rows: BTreeMap<String, u64>,
    pub location: String,
    pub digest: String,
    pub created_at_us: i64,
    /// Only where a dataset is finished, and in what is stored of it: answers have them at a resource of
    /// their own. Absent for datasets that were made before there were any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub statistics: Option<DatasetStatisticsBody>,
}

impl From<&DatasetSpec> for DatasetSpecBody {
    fn from(spec: &DatasetSpec) -> Self {
        Self {
            project: spec.project.to_string(),
            name: spec.name.to_string(),
            version: spec.version,
            source: match &spec.source {
                DatasetSource::Query(query) => DatasetSourceBody::Query(query.into()),
                DatasetSource::View(id) => DatasetSourceBody::View(id.into()),
            },
            labels: spec.labels.clone(),
            defaults: spec
                .defaults
                .iter()
                .map(|(column, value)| (column.clone(), value.into()))
                .collect(),
            format: match spec.format {
                DatasetFormat::Parquet => FormatBody::Parquet,
                DatasetFormat::Csv => FormatBody::Csv,
            },
            splits: spec
                .splits
                .iter()
                .map(|split| DatasetSplitBody {
                    name: split.name.clone(),
                    share: Exact(split.share),
                })
                .collect(),
            seed: spec.seed,
            event_time_start_us: spec.event_time_start.map(EventTime::micros),
            event_time_end_us: spec.event_time_end.map(EventTime::micros),
            description: spec.description.clone(),
        }
    }
}

impl TryFrom<DatasetSpecBody> for DatasetSpec {
    type Error = Error;

    fn try_from(body: DatasetSpecBody) -> Result<Self, Error> {
        let spec = Self {
            project: ProjectName::new(body.project)?,
            name: Name::new("training dataset", body.name)?,
            version: body.version,
            source: match body.source {
                DatasetSourceBody::Query(query) => DatasetSource::Query(query.try_into()?),
                DatasetSourceBody::View(id) => DatasetSource::View(id.try_into()?),
            },
            labels: body.labels,
            defaults: body
                .defaults
                .into_iter()
                .map(|(column, value)| (column, value.into()))
                .collect(),
            format: match body.format {
                FormatBody::Parquet => DatasetFormat::Parquet,
                FormatBody::Csv => DatasetFormat::Csv,
            },
            splits: body
                .splits
                .into_iter()
                .map(|split| DatasetSplit {
                    name: split.name,
                    share: split.share.0,
                })
                .collect(),
            seed: body.seed,
            event_time_start: body.event_time_start_us.map(EventTime::from_micros),
            event_time_end: body.event_time_end_us.map(EventTime::from_micros),
            description: body.description,
        };
        spec.validate()?;
        Ok(spec)
    }
}

impl TrainingDatasetBody {
    /// With what its columns hold.
    pub fn with_statistics(mut self, statistics: Option<&DatasetStatistics>) -> Self {
        self.statistics = statistics.map(Into::into);
        self
    }
}

impl From<&TrainingDataset> for TrainingDatasetBody {
    fn from(dataset: &TrainingDataset) -> Self {
        Self {
            project: dataset.project.to_string(),
            name: dataset.name.to_string(),
            version: dataset.version,
            spec: (&dataset.spec).into(),
            query: (&dataset.query).into(),
            pins: dataset
                .pins
                .iter()
                .map(|pin| PinnedTableBody {
                    group: (&pin.group).into(),
                    resource: pin.resource.clone(),
                    commit: pin.commit,
                })
                .collect(),
            features: dataset
                .features
                .iter()
                .map(|(name, r#type)| ColumnBody {
                    name: name.clone(),
                    r#type: r#type.to_string(),
                })
                .collect(),
            rows: dataset.rows.clone(),
            location: dataset.location.clone(),
            digest: dataset.digest.clone(),
            created_at_us: dataset.created_at.micros(),
            statistics: None,
        }
    }
}

impl TryFrom<TrainingDatasetBody> for TrainingDataset {
    type Error = Error;

    fn try_from(body: TrainingDatasetBody) -> Result<Self, Error> {
        let pin = |pin: PinnedTableBody| {
            Ok(PinnedTable {
                group: pin.group.try_into()?,
                resource: pin.resource,
                commit: pin.commit,
            })
        };
        let column = |column: ColumnBody| Ok((column.name, column.r#type.parse()?));
        Ok(Self {
            project: ProjectName::new(body.project)?,
            name: Name::new("training dataset", body.name)?,
            version: body.version,
            spec: body.spec.try_into()?,
            query: body.query.try_into()?,
            pins: body
                .pins
                .into_iter()
                .map(pin)
                .collect::<Result<_, Error>>()?,
            features: body
                .features
                .into_iter()
                .map(column)
                .collect::<Result<_, Error>>()?,
            rows: body.rows,
            location: body.location,
            digest: body.digest,
            created_at: EventTime::from_micros(body.created_at_us),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::rest::samples;

    const SPEC: &str = r#"{
  "project": "default",
  "name": "fares",
  "source": {
    "view": {
      "project": "default",
      "name": "fares",
      "version": 1
    }
  },
  "format": "parquet",
  "splits": [
    {
      "name": "train",
      "share": "0.8"
    },
    {
      "name": "test",
      "share": "0.2"
    }
  ],
  "seed": 42,
  "event_time_start_us": -5
}"#;

    fn read(json: &str) -> Result<DatasetSpec, String> {
        let body: DatasetSpecBody =
            serde_json::from_str(json).map_err(|error| error.to_string())?;
        DatasetSpec::try_from(body).map_err(|error| error.to_string())
    }

    #[test]
    fn a_spec_is_readable() {
        let spec = read(SPEC).expect("valid");
        assert_eq!(spec.splits[0].share, 0.8);
        let written = serde_json::to_string_pretty(&DatasetSpecBody::from(&spec));
        assert_eq!(written.expect("serializable"), SPEC);
    }

    #[test]
    fn shares_that_do_not_add_up_are_refused() {
        let error = read(&SPEC.replace("\"0.2\"", "0.1")).expect_err("shares");
        assert!(error.contains("add up to 0.9"), "{error}");
    }

    proptest! {
        #[test]
        fn every_training_dataset_reads_back(dataset in samples::training_dataset()) {
            let json = serde_json::to_string(&TrainingDatasetBody::from(&dataset)).expect("serializable");
            let body: TrainingDatasetBody = serde_json::from_str(&json).expect("readable");
            prop_assert_eq!(TrainingDataset::try_from(body), Ok(dataset));
        }

        #[test]
        fn statistics_travel_with_a_dataset_that_is_finished(
            dataset in samples::training_dataset(), statistics in samples::dataset_statistics(),
        ) {
            let body = TrainingDatasetBody::from(&dataset).with_statistics(Some(&statistics));
            let json = serde_json::to_string(&body).expect("serializable");
            let body: TrainingDatasetBody = serde_json::from_str(&json).expect("readable");
            let read = body.statistics.clone().map(DatasetStatistics::from);
            prop_assert_eq!(read, Some(statistics));
            prop_assert_eq!(TrainingDataset::try_from(body), Ok(dataset));
        }
    }
}
