use std::ffi::CStr;
use std::sync::Arc;

use arrow::array::RecordBatchIterator;
use arrow::datatypes::SchemaRef;
use arrow::ffi::FFI_ArrowSchema;
use arrow::ffi_stream::{ArrowArrayStreamReader, FFI_ArrowArrayStream};
use arrow::record_batch::{RecordBatch, RecordBatchReader};
use pyo3::prelude::*;
use pyo3::types::PyCapsule;
use twinfold_client::{BatchStream, Result};
use twinfold_model::Feature;
use twinfold_wire::record;

use crate::definition::FeatureInfo;
use crate::error;

const STREAM: &CStr = c"arrow_array_stream";
const SCHEMA: &CStr = c"arrow_schema";

/// Arrow batches on their way in or out; both ways without a copy.
#[pyclass(frozen, module = "twinfold")]
pub struct Rows {
    schema: SchemaRef,
    batches: Vec<RecordBatch>,
}

impl Rows {
    pub fn new(schema: SchemaRef, batches: Vec<RecordBatch>) -> Self {
        Self { schema, batches }
    }

    pub fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    pub fn batches(&self) -> Vec<RecordBatch> {
        self.batches.clone()
    }

    /// Everything that the stream has, or its first `limit` rows.
    pub async fn collect(mut stream: BatchStream, limit: Option<usize>) -> Result<Self> {
        use futures::StreamExt as _;
        let mut wanted = limit.unwrap_or(usize::MAX);
        let mut batches = Vec::new();
        while wanted > 0
            && let Some(batch) = stream.batches.next().await
        {
            let batch = batch?;
            let batch = batch.slice(0, batch.num_rows().min(wanted));
            wanted -= batch.num_rows();
            batches.push(batch);
        }
        Ok(Self::new(stream.schema, batches))
    }
}

#[pymethods]
impl Rows {
    /// Takes in what an object exports through the Arrow C stream interface.
    #[staticmethod]
    fn from_arrow(py: Python<'_>, exporter: &Bound<'_, PyAny>) -> PyResult<Self> {
        let capsule = exporter
            .call_method0("__arrow_c_stream__")?
            .cast_into::<PyCapsule>()?;
        let stream = capsule
            .pointer_checked(Some(STREAM))?
            .cast::<FFI_ArrowArrayStream>();
        // SAFETY: a capsule of this name holds a stream, which `from_raw` moves out and marks as
        // released in the capsule, as the interface demands of a consumer.
        let reader = unsafe { ArrowArrayStreamReader::from_raw(stream.as_ptr()) };
        let reader = reader.map_err(|failure| error::arrow(&failure))?;
        let schema = reader.schema();
        let batches = py.detach(|| reader.collect::<std::result::Result<Vec<_>, _>>());
        // The source may be Python code that was interrupted.
        py.check_signals()?;
        Ok(Self::new(
            schema,
            batches.map_err(|failure| error::source(&failure))?,
        ))
    }

    #[getter]
    fn num_rows(&self) -> usize {
        self.batches.iter().map(RecordBatch::num_rows).sum()
    }

    #[getter]
    fn column_names(&self) -> Vec<String> {
        let fields = self.schema.fields().iter();
        fields.map(|field| field.name().clone()).collect()
    }

    /// The features that these columns would be.
    fn features<'py>(&self, py: Python<'py>) -> PyResult<Vec<FeatureInfo<'py>>> {
        let features = self.schema.fields().iter().map(|field| {
            let r#type = record::feature_type_of(field).map_err(error::unsupported)?;
            let feature = Feature::new(field.name(), r#type).map_err(error::invalid)?;
            FeatureInfo::new(py, &feature)
        });
        features.collect()
    }

    #[pyo3(signature = (requested_schema=None))]
    fn __arrow_c_stream__<'py>(
        &self,
        py: Python<'py>,
        requested_schema: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyCapsule>> {
        // The interface leaves it to the exporter whether it follows the request.
        drop(requested_schema);
        let batches = self.batches.clone().into_iter().map(Ok);
        let reader = RecordBatchIterator::new(batches, Arc::clone(&self.schema));
        PyCapsule::new_with_value(py, FFI_ArrowArrayStream::new(Box::new(reader)), STREAM)
    }

    fn __arrow_c_schema__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyCapsule>> {
        let schema = FFI_ArrowSchema::try_from(self.schema.as_ref());
        let schema = schema.map_err(|failure| error::arrow(&failure))?;
        PyCapsule::new_with_value(py, schema, SCHEMA)
    }
}
