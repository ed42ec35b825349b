use std::sync::Arc;

use async_trait::async_trait;
use twinfold_client::{Result, Serving, ServingRequest, ServingSource, VectorReader};
use twinfold_model::Query;

use super::StorePlatform;
use crate::{ServingPlan, Vectors};

#[async_trait]
impl Serving for StorePlatform {
    async fn vector_reader(&self, request: ServingRequest) -> Result<Arc<dyn VectorReader>> {
        self.check_open()?;
        let (query, labels, defaults) = match request.source {
            ServingSource::View(id) => {
                let view = self.control_plane().feature_view(&id).await?;
                (view.query, view.labels, view.defaults)
            }
            ServingSource::Dataset { name, version } => {
                let dataset = self.stored_dataset(&name, Some(version)).await?;
                (dataset.query, dataset.spec.labels, dataset.spec.defaults)
            }
        };
        let definitions = self.definitions_of(&query).await?;
        let plan = ServingPlan::new(&query, &labels, &defaults, &definitions)?;
        Ok(Arc::new(Vectors::new(
            plan,
            Arc::clone(&self.parts.online),
            self.definitions(),
            Arc::clone(&self.parts.clock),
        )))
    }
}

impl StorePlatform {
    /// One definition per group of the query, in its order.
    pub(super) async fn definitions_of(
        &self,
        query: &Query,
    ) -> Result<Vec<Arc<twinfold_client::GroupDefinition>>> {
        let mut definitions = Vec::new();
        for id in query.groups() {
            definitions.push(self.definition(id).await?);
        }
        Ok(definitions)
    }
}
