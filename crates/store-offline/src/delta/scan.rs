//! A table at one commit as DataFusion reads it.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::Result;
use datafusion::datasource::TableType;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::physical_plan::ExecutionPlan;
use deltalake_core::DeltaTable;
use deltalake_core::delta_datafusion::{DeltaScanConfig, DeltaScanNext};

use super::embeddings::{to_embeddings, with_lists};

/// Reads in the canonical schema. Filters skip files by the bounds in the log and row groups by those
/// in the files; DataFusion filters the rest.
#[derive(Debug)]
pub(super) struct FrozenTable {
    table: DeltaTable,
    scan: DeltaScanNext,
    schema: SchemaRef,
}

impl FrozenTable {
    pub(super) fn new(table: DeltaTable, schema: SchemaRef) -> Result<Self> {
        let mut config = DeltaScanConfig::new().with_schema(with_lists(&schema));
        // Columns are strings and bytes in the canonical schema, not views of them.
        config.schema_force_view_types = false;
        let scan = DeltaScanNext::new(table.snapshot()?.snapshot().clone(), config)?;
        Ok(Self {
            table,
            scan,
            schema,
        })
    }
}

#[async_trait]
impl TableProvider for FrozenTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        self.scan.supports_filters_pushdown(filters)
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        // The session learns where the files are.
        self.table.update_datafusion_session(session)?;
        let plan = self.scan.scan(session, projection, filters, limit).await?;
        match projection {
            None => to_embeddings(plan, &self.schema),
            Some(columns) => to_embeddings(plan, &self.schema.project(columns)?),
        }
    }
}
