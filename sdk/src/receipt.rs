use std::sync::Arc;
use std::time::Duration;

use pyo3::prelude::*;
use twinfold_client::{self as client, WaitTarget};

use crate::definition::{PositionsByPartition, by_partition};
use crate::runtime::Connection;

/// Proof that rows are in the topic.
#[pyclass(frozen, module = "twinfold")]
pub struct Receipt {
    connection: Arc<Connection>,
    receipt: client::Receipt,
}

impl Receipt {
    pub fn new(connection: Arc<Connection>, receipt: client::Receipt) -> Self {
        Self {
            connection,
            receipt,
        }
    }
}

#[pymethods]
impl Receipt {
    /// Name and version of the feature group.
    #[getter]
    fn group(&self) -> (String, u32) {
        let group = &self.receipt.group;
        (group.name.to_string(), group.version)
    }

    #[getter]
    fn ingestion_id(&self) -> String {
        self.receipt.ingestion_id()
    }

    #[getter]
    fn rows(&self) -> u64 {
        self.receipt.rows
    }

    #[getter]
    fn start(&self) -> PositionsByPartition {
        by_partition(&self.receipt.start)
    }

    #[getter]
    fn end(&self) -> PositionsByPartition {
        by_partition(&self.receipt.end)
    }

    fn wait(&self, py: Python<'_>, online: bool, offline: bool, timeout_s: f64) -> PyResult<()> {
        let timeout = Duration::try_from_secs_f64(timeout_s)?;
        let target = WaitTarget { online, offline };
        let platform = self.connection.platform()?;
        let waiting = platform.wait(&self.receipt, target, timeout);
        self.connection.wait(py, waiting)
    }
}
