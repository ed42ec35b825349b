use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::PyDict;
use tokio::sync::watch;
use twinfold_client::remote::RemotePlatform;
use twinfold_client::{
    self as client, Deletion, Expected, ReadRequest, ServingRequest, ServingSource, Spine,
};
use twinfold_model::{
    EventTime, FeatureGroupId, FeatureViewId, GroupDescription, Offset, PartitionId, Position,
    feature_difference,
};
use twinfold_wire::record;

use crate::dataset::{CheckInfo, DatasetIn, DatasetInfo};
use crate::definition::{
    CommitInfo, FeatureSpec, GroupInfo, GroupSpec, ProgressInfo, QuarantinedRow, ViewInfo,
    ViewSpec, group_id, view_id,
};
use crate::error;
use crate::query;
use crate::receipt::Receipt;
use crate::rows::Rows;
use crate::runtime::{Connection, Executor};
use crate::statistics::StatisticsInfo;
use crate::vector_reader::VectorReader;

/// Opens the embedded platform in a folder, which is made when it is not there.
#[pyfunction]
pub fn open_embedded(py: Python<'_>, path: PathBuf) -> PyResult<Platform> {
    let executor = Executor::new()?;
    let options = twinfold_embedded::Options::from_env().map_err(error::to_python)?;
    twinfold_embedded::log_to_stderr(&options.config).map_err(error::to_python)?;
    let opened = executor.wait(py, twinfold_embedded::open(&path, options), |_| Ok(()))?;
    let platform = opened.map_err(error::to_python)?;
    let connection = Arc::new(Connection::new(executor, platform));
    Ok(Platform { connection })
}

/// Connects to the platform of a deployment at `http://host:port`; rows go straight to `topic`, if one is
/// named.
#[pyfunction]
#[pyo3(signature = (url, topic=None))]
pub fn open_remote(py: Python<'_>, url: &str, topic: Option<&str>) -> PyResult<Platform> {
    let executor = Executor::new()?;
    let connecting = async {
        match topic {
            None => RemotePlatform::connect(url).await,
            Some(topic) => RemotePlatform::connect_beside_topic(url, topic).await,
        }
    };
    let connected = executor.wait(py, connecting, |_| Ok(()))?;
    let platform = connected.map_err(error::to_python)?;
    let connection = Arc::new(Connection::new(executor, Arc::new(platform)));
    Ok(Platform { connection })
}

/// An open platform: everything the package asks of it.
#[pyclass(frozen, module = "twinfold")]
pub struct Platform {
    connection: Arc<Connection>,
}

impl Platform {
    fn inner(&self) -> PyResult<&Arc<dyn client::Platform>> {
        self.connection.platform()
    }

    fn group_id(&self, name: &str, version: u32) -> PyResult<FeatureGroupId> {
        group_id(self.inner()?.project(), name, version)
    }

    fn view_id(&self, name: &str, version: u32) -> PyResult<FeatureViewId> {
        view_id(self.inner()?.project(), name, version)
    }

    fn receipt(&self, receipt: client::Receipt) -> Receipt {
        Receipt::new(Arc::clone(&self.connection), receipt)
    }

    fn reader(&self, py: Python<'_>, source: ServingSource) -> PyResult<VectorReader> {
        let reading = self.inner()?.vector_reader(ServingRequest { source });
        let reader = self.connection.wait(py, reading)?;
        Ok(VectorReader::new(Arc::clone(&self.connection), reader))
    }
}

fn time(micros: Option<i64>) -> Option<EventTime> {
    micros.map(EventTime::from_micros)
}

fn spine(rows: Option<&Bound<'_, Rows>>, event_time: Option<String>) -> Option<Spine> {
    rows.map(|rows| Spine {
        schema: rows.get().schema(),
        batches: rows.get().batches(),
        event_time,
    })
}

#[pymethods]
impl Platform {
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        let closing = self.inner()?.close();
        self.connection.wait(py, closing)
    }

    fn create_feature_group<'py>(
        &self,
        py: Python<'py>,
        spec: GroupSpec,
    ) -> PyResult<GroupInfo<'py>> {
        let group = spec.into_model(py, self.inner()?.as_ref())?;
        let created = self
            .connection
            .wait(py, self.inner()?.create_feature_group(group))?;
        GroupInfo::new(py, &created)
    }

    fn feature_group<'py>(
        &self,
        py: Python<'py>,
        name: &str,
        version: Option<u32>,
    ) -> PyResult<GroupInfo<'py>> {
        let found = self
            .connection
            .wait(py, self.inner()?.feature_group(name, version))?;
        GroupInfo::new(py, &found)
    }

    fn feature_groups<'py>(&self, py: Python<'py>) -> PyResult<Vec<GroupInfo<'py>>> {
        let found = self.connection.wait(py, self.inner()?.feature_groups())?;
        found
            .iter()
            .map(|group| GroupInfo::new(py, group))
            .collect()
    }

    /// The Arrow schema of a group's rows, as rows without rows.
    fn arrow_schema(&self, py: Python<'_>, name: &str, version: u32) -> PyResult<Rows> {
        let finding = self.inner()?.feature_group(name, Some(version));
        let found = self.connection.wait(py, finding)?;
        Ok(Rows::new(record::arrow_schema(&found.group), Vec::new()))
    }

    fn append_features<'py>(
        &self,
        py: Python<'py>,
        name: &str,
        version: u32,
        features: Vec<FeatureSpec>,
    ) -> PyResult<GroupInfo<'py>> {
        let id = self.group_id(name, version)?;
        let features = features.into_iter().map(|feature| feature.into_model(py));
        let features = features.collect::<PyResult<_>>()?;
        let platform = self.inner()?;
        let appending = platform.append_features(&id, features, &Expected::Anything);
        let changed = self.connection.wait(py, appending)?;
        GroupInfo::new(py, &changed)
    }

    /// What is another in a group that is there than in these features, in words.
    fn feature_difference(
        &self,
        py: Python<'_>,
        found: GroupSpec,
        wanted: Vec<FeatureSpec>,
    ) -> PyResult<Option<String>> {
        let found = found.into_model(py, self.inner()?.as_ref())?;
        let wanted = wanted.into_iter().map(|feature| feature.into_model(py));
        let wanted = wanted.collect::<PyResult<Vec<_>>>()?;
        Ok(feature_difference(&found, &wanted))
    }

    /// What is not given stays as it is.
    fn describe_feature_group<'py>(
        &self,
        py: Python<'py>,
        name: &str,
        version: u32,
        description: Option<String>,
        tags: Option<BTreeMap<String, String>>,
    ) -> PyResult<GroupInfo<'py>> {
        let id = self.group_id(name, version)?;
        let said = GroupDescription { description, tags };
        let platform = self.inner()?;
        let describing = platform.describe_feature_group(&id, &said, &Expected::Anything);
        let described = self.connection.wait(py, describing)?;
        GroupInfo::new(py, &described)
    }

    fn delete_feature_group(
        &self,
        py: Python<'_>,
        name: &str,
        version: u32,
        force: bool,
    ) -> PyResult<()> {
        let id = self.group_id(name, version)?;
        let deletion = Deletion::forced(force);
        let platform = self.inner()?;
        let deleting = platform.delete_feature_group(&id, deletion, &Expected::Anything);
        self.connection.wait(py, deleting)
    }

    fn create_feature_view(&self, py: Python<'_>, spec: ViewSpec<'_>) -> PyResult<()> {
        let view = spec.into_model(self.inner()?.project())?;
        self.connection
            .wait(py, self.inner()?.create_feature_view(view))
    }

    fn feature_view<'py>(
        &self,
        py: Python<'py>,
        name: &str,
        version: Option<u32>,
    ) -> PyResult<ViewInfo<'py>> {
        let found = self
            .connection
            .wait(py, self.inner()?.feature_view(name, version))?;
        ViewInfo::new(py, &found)
    }

    fn feature_views<'py>(&self, py: Python<'py>) -> PyResult<Vec<ViewInfo<'py>>> {
        let found = self.connection.wait(py, self.inner()?.feature_views())?;
        found.iter().map(|view| ViewInfo::new(py, view)).collect()
    }

    fn delete_feature_view(&self, py: Python<'_>, name: &str, version: u32) -> PyResult<()> {
        let id = self.view_id(name, version)?;
        self.connection
            .wait(py, self.inner()?.delete_feature_view(&id))
    }

    /// `on_progress` hears the rows appended so far, now and then.
    fn insert(
        &self,
        py: Python<'_>,
        name: &str,
        version: u32,
        rows: &Bound<'_, Rows>,
        on_progress: Option<Bound<'_, PyAny>>,
    ) -> PyResult<Receipt> {
        let id = self.group_id(name, version)?;
        let batches = rows.get().batches();
        let platform = Arc::clone(self.inner()?);
        let (appended, progress) = watch::channel(0_u64);
        let inserting = async move {
            let on_append = |rows| {
                appended.send_replace(rows);
            };
            platform.insert(&id, batches, &on_append).await
        };
        let on_progress = on_progress.map(Bound::unbind);
        let on_tick = |py: Python<'_>| match &on_progress {
            Some(callable) => callable.call1(py, (*progress.borrow(),)).map(drop),
            None => Ok(()),
        };
        let receipt = self
            .connection
            .executor()
            .wait_spawned(py, inserting, on_tick)?;
        Ok(self.receipt(receipt))
    }

    fn delete(
        &self,
        py: Python<'_>,
        name: &str,
        version: u32,
        keys: &Bound<'_, Rows>,
        at_us: Option<i64>,
    ) -> PyResult<Receipt> {
        let id = self.group_id(name, version)?;
        let deleting = self.inner()?.delete(&id, keys.get().batches(), time(at_us));
        let receipt = self.connection.wait(py, deleting)?;
        Ok(self.receipt(receipt))
    }

    fn progress(&self, py: Python<'_>, name: &str, version: u32) -> PyResult<ProgressInfo> {
        let id = self.group_id(name, version)?;
        let progress = self.connection.wait(py, self.inner()?.progress(&id))?;
        Ok(progress.into())
    }

    fn quarantined(
        &self,
        py: Python<'_>,
        name: &str,
        version: u32,
        limit: usize,
    ) -> PyResult<Vec<QuarantinedRow>> {
        let id = self.group_id(name, version)?;
        let found = self.connection.wait(
            py,
            client::first_quarantined(self.inner()?.as_ref(), &id, limit),
        )?;
        Ok(found.into_iter().map(Into::into).collect())
    }

    /// Every quarantined record when no positions, pairs of partition and offset, are given.
    fn replay(
        &self,
        py: Python<'_>,
        name: &str,
        version: u32,
        positions: Vec<(u32, u64)>,
    ) -> PyResult<Receipt> {
        let id = self.group_id(name, version)?;
        let positions: Vec<Position> = positions
            .into_iter()
            .map(|(partition, offset)| Position {
                partition: PartitionId(partition),
                offset: Offset(offset),
            })
            .collect();
        let receipt = self
            .connection
            .wait(py, self.inner()?.replay(&id, &positions))?;
        Ok(self.receipt(receipt))
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "one per choice of a read; all by name in Python"
    )]
    fn read(
        &self,
        py: Python<'_>,
        query: &Bound<'_, PyDict>,
        spine_rows: Option<&Bound<'_, Rows>>,
        spine_event_time: Option<String>,
        start_us: Option<i64>,
        end_us: Option<i64>,
        limit: Option<usize>,
    ) -> PyResult<Rows> {
        let request = ReadRequest {
            query: query::from_python(query, self.inner()?.project())?,
            defaults: BTreeMap::new(),
            spine: spine(spine_rows, spine_event_time),
            event_time_start: time(start_us),
            event_time_end: time(end_us),
        };
        let platform = self.inner()?;
        let reading = async { Rows::collect(platform.read(request).await?, limit).await };
        self.connection.wait(py, reading)
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "one per choice of a read; all by name in Python"
    )]
    fn read_view(
        &self,
        py: Python<'_>,
        name: &str,
        version: u32,
        spine_rows: Option<&Bound<'_, Rows>>,
        spine_event_time: Option<String>,
        start_us: Option<i64>,
        end_us: Option<i64>,
    ) -> PyResult<Rows> {
        let platform = self.inner()?;
        let spine = spine(spine_rows, spine_event_time);
        let reading = async {
            let view = platform.feature_view(name, Some(version)).await?;
            let request = ReadRequest {
                query: view.query,
                defaults: view.defaults,
                spine,
                event_time_start: time(start_us),
                event_time_end: time(end_us),
            };
            Rows::collect(platform.read(request).await?, None).await
        };
        self.connection.wait(py, reading)
    }

    fn read_online(
        &self,
        py: Python<'_>,
        name: &str,
        version: u32,
        limit: Option<usize>,
    ) -> PyResult<Rows> {
        let id = self.group_id(name, version)?;
        let platform = self.inner()?;
        let reading = async { Rows::collect(platform.read_online(&id).await?, limit).await };
        self.connection.wait(py, reading)
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "a commit or a time at both ends; all by name in Python"
    )]
    fn read_changes(
        &self,
        py: Python<'_>,
        name: &str,
        version: u32,
        after_commit: Option<u64>,
        after_us: Option<i64>,
        up_to_commit: Option<u64>,
        up_to_us: Option<i64>,
    ) -> PyResult<Rows> {
        let id = self.group_id(name, version)?;
        let after = query::as_of(after_commit, after_us);
        let up_to = query::as_of(up_to_commit, up_to_us);
        let platform = self.inner()?;
        let reading =
            async { Rows::collect(platform.read_changes(&id, after, up_to).await?, None).await };
        self.connection.wait(py, reading)
    }

    /// Every commit when there is no limit.
    fn commits(
        &self,
        py: Python<'_>,
        name: &str,
        version: u32,
        limit: Option<usize>,
    ) -> PyResult<Vec<CommitInfo>> {
        let id = self.group_id(name, version)?;
        let limit = limit.unwrap_or(usize::MAX);
        let reading = client::newest_commits(self.inner()?.as_ref(), &id, limit);
        let commits = self.connection.wait(py, reading)?;
        Ok(commits.into_iter().map(Into::into).collect())
    }

    fn create_dataset<'py>(
        &self,
        py: Python<'py>,
        spec: DatasetIn<'py>,
    ) -> PyResult<DatasetInfo<'py>> {
        let spec = spec.into_model(self.inner()?.project())?;
        let created = self
            .connection
            .wait(py, self.inner()?.create_dataset(spec))?;
        DatasetInfo::new(py, created)
    }

    fn dataset<'py>(
        &self,
        py: Python<'py>,
        name: &str,
        version: Option<u32>,
    ) -> PyResult<DatasetInfo<'py>> {
        let found = self
            .connection
            .wait(py, self.inner()?.dataset(name, version))?;
        DatasetInfo::new(py, found)
    }

    fn datasets<'py>(&self, py: Python<'py>) -> PyResult<Vec<DatasetInfo<'py>>> {
        let found = self.connection.wait(py, self.inner()?.datasets())?;
        found
            .into_iter()
            .map(|dataset| DatasetInfo::new(py, dataset))
            .collect()
    }

    /// Every split when none is named.
    fn read_dataset(
        &self,
        py: Python<'_>,
        name: &str,
        version: u32,
        split: Option<&str>,
        limit: Option<usize>,
    ) -> PyResult<Rows> {
        let platform = self.inner()?;
        let reading = async {
            let stream = platform.read_dataset(name, version, split).await?;
            Rows::collect(stream, limit).await
        };
        self.connection.wait(py, reading)
    }

    fn verify_dataset(&self, py: Python<'_>, name: &str, version: u32) -> PyResult<CheckInfo> {
        let check = self
            .connection
            .wait(py, self.inner()?.verify_dataset(name, version))?;
        Ok(check.into())
    }

    /// Nothing for a dataset that was made before statistics were kept.
    fn dataset_statistics<'py>(
        &self,
        py: Python<'py>,
        name: &str,
        version: u32,
    ) -> PyResult<Option<StatisticsInfo<'py>>> {
        let found = self
            .connection
            .wait(py, self.inner()?.dataset_statistics(name, version))?;
        let found = found.map(|statistics| StatisticsInfo::new(py, statistics));
        found.transpose()
    }

    fn delete_dataset(&self, py: Python<'_>, name: &str, version: u32) -> PyResult<()> {
        self.connection
            .wait(py, self.inner()?.delete_dataset(name, version))
    }

    fn view_reader(&self, py: Python<'_>, name: &str, version: u32) -> PyResult<VectorReader> {
        self.reader(py, ServingSource::View(self.view_id(name, version)?))
    }

    fn dataset_reader(&self, py: Python<'_>, name: String, version: u32) -> PyResult<VectorReader> {
        self.reader(py, ServingSource::Dataset { name, version })
    }
}
