use std::collections::BTreeMap;
use std::fmt;

use crate::{Error, Name, ProjectName, Query, Result, Value};

/// Which feature view: a project, a name and a version.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FeatureViewId {
    pub project: ProjectName,
    pub name: Name,
    pub version: u32,
}

impl FeatureViewId {
    pub fn new(project: &str, name: &str, version: u32) -> Result<Self> {
        let name = Name::new("feature view", name)?;
        if version == 0 {
            return Err(Error::InvalidFeatureView {
                view: name.to_string(),
                reason: "versions count from 1, found 0".to_owned(),
            });
        }
        Ok(Self {
            project: ProjectName::new(project)?,
            name,
            version,
        })
    }
}

impl fmt::Display for FeatureViewId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}_{}", self.project, self.name, self.version)
    }
}

/// A named query with labels and defaults: what a model takes.
#[derive(Debug, Clone, PartialEq)]
pub struct FeatureView {
    pub id: FeatureViewId,
    pub query: Query,
    /// Columns of the query that a model predicts; they are not part of serving vectors.
    pub labels: Vec<String>,
    /// What stands in for a feature whose row is missing or expired, by column name.
    pub defaults: BTreeMap<String, Value>,
    pub description: String,
}

impl FeatureView {
    /// Checks that labels and defaults name columns of the query and that something is left to serve.
    pub fn validate(&self) -> Result<()> {
        let names = self.query.output_names()?;
        for column in self.labels.iter().chain(self.defaults.keys()) {
            if !names.contains(column) {
                return Err(Error::UnknownFeature {
                    feature: column.clone(),
                    owner: format!("feature view {}", self.id),
                    known: names,
                });
            }
        }
        if names.iter().all(|name| self.labels.contains(name)) {
            return Err(Error::InvalidFeatureView {
                view: self.id.to_string(),
                reason: "every column is a label; nothing is left to serve".to_owned(),
            });
        }
        Ok(())
    }
}
