use twinfold_model::{FeatureGroupId, SchemaId};
use twinfold_store_metadata::SchemaRecord;

use crate::{Error, Registry, Result};

impl Registry {
    pub async fn schema(&self, id: SchemaId) -> Result<SchemaRecord> {
        let found = self.metadata().schema(id).await?;
        found.ok_or_else(|| Error::NotFound {
            what: "schema",
            name: id.0.to_string(),
            hint: String::new(),
        })
    }

    /// Every schema of a group, oldest first.
    pub async fn schemas(&self, group: &FeatureGroupId) -> Result<Vec<SchemaRecord>> {
        let schemas = self.metadata().schemas(group).await?;
        if schemas.is_empty() {
            // A group always has a schema; this answers with what there is instead.
            self.feature_group(group).await?;
        }
        Ok(schemas)
    }
}
