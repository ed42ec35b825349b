use std::collections::BTreeMap;

use pyo3::prelude::*;
use pyo3::types::PyDict;
use twinfold_client::{GroupDefinition, IngestProgress, Platform};
use twinfold_model::{
    Commit, Feature, FeatureGroup, FeatureGroupId, FeatureGroupSpec, FeatureType, FeatureView,
    FeatureViewId, Positions, QuarantinedRecord, ResourceState, Ttl,
};

use crate::time::Instant;
use crate::{error, query, value};

pub fn group_id(project: &str, name: &str, version: u32) -> PyResult<FeatureGroupId> {
    FeatureGroupId::new(project, name, version).map_err(error::invalid)
}

pub fn view_id(project: &str, name: &str, version: u32) -> PyResult<FeatureViewId> {
    FeatureViewId::new(project, name, version).map_err(error::invalid)
}

pub fn feature_type(text: &str) -> PyResult<FeatureType> {
    text.parse().map_err(error::invalid)
}

/// One feature on its way in.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub struct FeatureSpec {
    name: String,
    #[pyo3(item("type"))]
    type_name: String,
    nullable: bool,
    default: Option<Py<PyAny>>,
    description: String,
}

impl FeatureSpec {
    pub fn into_model(self, py: Python<'_>) -> PyResult<Feature> {
        let r#type = feature_type(&self.type_name)?;
        let mut feature = Feature::new(&self.name, r#type.clone()).map_err(error::invalid)?;
        feature.nullable = self.nullable;
        feature.description = self.description;
        if let Some(default) = self.default {
            let default = value::typed(default.bind(py), &self.name, &r#type)?;
            feature = feature.with_default(default).map_err(error::invalid)?;
        }
        Ok(feature)
    }
}

/// One feature on its way out.
#[derive(IntoPyObject)]
pub struct FeatureInfo<'py> {
    name: String,
    #[pyo3(item("type"))]
    type_name: String,
    nullable: bool,
    default: Option<Bound<'py, PyAny>>,
    description: String,
}

impl<'py> FeatureInfo<'py> {
    pub fn new(py: Python<'py>, feature: &Feature) -> PyResult<Self> {
        let default = feature.default.as_ref();
        Ok(Self {
            name: feature.name.to_string(),
            type_name: feature.r#type.to_string(),
            nullable: feature.nullable,
            default: default
                .map(|default| value::to_python(py, default, Some(&feature.r#type)))
                .transpose()?,
            description: feature.description.clone(),
        })
    }
}

/// A feature group on its way in.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub struct GroupSpec {
    name: String,
    version: u32,
    features: Vec<FeatureSpec>,
    primary_key: Vec<String>,
    event_time: Option<String>,
    ttl_us: Option<i64>,
    online_enabled: bool,
    partitions: Option<u32>,
    description: String,
    tags: BTreeMap<String, String>,
}

impl GroupSpec {
    pub fn into_model(self, py: Python<'_>, platform: &dyn Platform) -> PyResult<FeatureGroup> {
        let features = self
            .features
            .into_iter()
            .map(|feature| feature.into_model(py));
        FeatureGroup::new(FeatureGroupSpec {
            id: group_id(platform.project(), &self.name, self.version)?,
            features: features.collect::<PyResult<_>>()?,
            primary_key: self.primary_key,
            event_time: self.event_time,
            ttl: self.ttl_us.and_then(Ttl::from_micros),
            online_enabled: self.online_enabled,
            partitions: self
                .partitions
                .unwrap_or_else(|| platform.partitions_default()),
            description: self.description,
            tags: self.tags,
        })
        .map_err(error::invalid)
    }
}

/// A feature group on its way out.
#[derive(IntoPyObject)]
pub struct GroupInfo<'py> {
    name: String,
    version: u32,
    features: Vec<FeatureInfo<'py>>,
    primary_key: Vec<String>,
    event_time: Option<String>,
    ttl_us: Option<i64>,
    online_enabled: bool,
    partitions: u32,
    description: String,
    tags: BTreeMap<String, String>,
    state: &'static str,
    reason: Option<String>,
}

impl<'py> GroupInfo<'py> {
    pub fn new(py: Python<'py>, definition: &GroupDefinition) -> PyResult<Self> {
        let group = &definition.group;
        let (state, reason) = match &definition.state {
            ResourceState::Creating => ("creating", None),
            ResourceState::Active => ("active", None),
            ResourceState::Failed { reason } => ("failed", Some(reason.clone())),
            ResourceState::Deleting => ("deleting", None),
        };
        let features = group
            .features()
            .iter()
            .map(|feature| FeatureInfo::new(py, feature));
        Ok(Self {
            name: group.id().name.to_string(),
            version: group.id().version,
            features: features.collect::<PyResult<_>>()?,
            primary_key: group
                .key_features()
                .map(|key| key.name.to_string())
                .collect(),
            event_time: group
                .event_time_feature()
                .map(|feature| feature.name.to_string()),
            ttl_us: group.ttl().map(Ttl::micros),
            online_enabled: group.online_enabled(),
            partitions: group.partitions(),
            description: group.description().to_owned(),
            tags: group.tags().clone(),
            state,
            reason,
        })
    }
}

/// A feature view on its way in.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub struct ViewSpec<'py> {
    name: String,
    version: u32,
    query: Bound<'py, PyDict>,
    labels: Vec<String>,
    /// Per column its type and the value.
    defaults: BTreeMap<String, (String, Bound<'py, PyAny>)>,
    description: String,
}

impl ViewSpec<'_> {
    pub fn into_model(self, project: &str) -> PyResult<FeatureView> {
        let mut defaults = BTreeMap::new();
        for (column, (type_name, default)) in self.defaults {
            let default = value::typed(&default, &column, &feature_type(&type_name)?)?;
            defaults.insert(column, default);
        }
        Ok(FeatureView {
            id: view_id(project, &self.name, self.version)?,
            query: query::from_python(&self.query, project)?,
            labels: self.labels,
            defaults,
            description: self.description,
        })
    }
}

/// A feature view on its way out.
#[derive(IntoPyObject)]
pub struct ViewInfo<'py> {
    name: String,
    version: u32,
    query: Bound<'py, PyDict>,
    labels: Vec<String>,
    defaults: BTreeMap<String, Bound<'py, PyAny>>,
    description: String,
}

impl<'py> ViewInfo<'py> {
    pub fn new(py: Python<'py>, view: &FeatureView) -> PyResult<Self> {
        let mut defaults = BTreeMap::new();
        for (column, default) in &view.defaults {
            defaults.insert(column.clone(), value::to_python(py, default, None)?);
        }
        Ok(Self {
            name: view.id.name.to_string(),
            version: view.id.version,
            query: query::to_python(py, &view.query)?,
            labels: view.labels.clone(),
            defaults,
            description: view.description.clone(),
        })
    }
}

/// A record that could not be applied.
#[derive(IntoPyObject)]
pub struct QuarantinedRow {
    group: String,
    version: u32,
    partition: u32,
    offset: u64,
    code: String,
    reason: String,
    key: PyBytesOut,
    value: PyBytesOut,
    headers: PyBytesOut,
    quarantined_at: Instant,
    replayed_at: Option<Instant>,
}

/// Bytes that become `bytes`, where a plain `Vec<u8>` would become a list.
struct PyBytesOut(Vec<u8>);

impl<'py> IntoPyObject<'py> for PyBytesOut {
    type Target = pyo3::types::PyBytes;
    type Output = Bound<'py, Self::Target>;
    type Error = std::convert::Infallible;

    fn into_pyobject(self, py: Python<'py>) -> Result<Self::Output, Self::Error> {
        Ok(pyo3::types::PyBytes::new(py, &self.0))
    }
}

impl From<QuarantinedRecord> for QuarantinedRow {
    fn from(record: QuarantinedRecord) -> Self {
        Self {
            group: record.group.name.to_string(),
            version: record.group.version,
            partition: record.position.partition.0,
            offset: record.position.offset.0,
            code: record.code,
            reason: record.reason,
            key: PyBytesOut(record.key),
            value: PyBytesOut(record.value),
            headers: PyBytesOut(record.headers),
            quarantined_at: Instant(record.quarantined_at),
            replayed_at: record.replayed_at.map(Instant),
        }
    }
}

/// Offsets by partition.
pub type PositionsByPartition = BTreeMap<u32, u64>;

pub fn by_partition(positions: &Positions) -> PositionsByPartition {
    positions
        .iter()
        .map(|(partition, offset)| (partition.0, offset.0))
        .collect()
}

/// One commit of a group's history.
#[derive(IntoPyObject)]
pub struct CommitInfo {
    id: u64,
    committed_at: Instant,
    rows_upserted: u64,
    rows_deleted: u64,
    bytes: u64,
    positions: PositionsByPartition,
}

impl From<Commit> for CommitInfo {
    fn from(commit: Commit) -> Self {
        Self {
            id: commit.id,
            committed_at: Instant(commit.committed_at),
            rows_upserted: commit.rows_upserted,
            rows_deleted: commit.rows_deleted,
            bytes: commit.bytes,
            positions: by_partition(&commit.positions),
        }
    }
}

/// How far a group's rows have come.
#[derive(IntoPyObject)]
pub struct ProgressInfo {
    topic: PositionsByPartition,
    online: Option<PositionsByPartition>,
    offline: PositionsByPartition,
}

impl From<IngestProgress> for ProgressInfo {
    fn from(progress: IngestProgress) -> Self {
        Self {
            topic: by_partition(&progress.topic),
            online: progress.online.as_ref().map(by_partition),
            offline: by_partition(&progress.offline),
        }
    }
}
