//! What to read and how to match it: a query checked against its groups. Pure.

mod builder;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::Schema;
use twinfold_model::{
    Error as ModelError, FeatureGroup, FeatureGroupId, FeatureType, Filter, JoinKind, Query, Value,
    constant,
};

use crate::Result;

/// Columns of the operators that no feature can be named like.
pub(crate) const TIME: &str = "_time";

/// What the rows of the result start from, as far as planning needs to know.
#[derive(Debug, Clone, Copy)]
pub enum SpineSchema<'a> {
    /// The live rows of the query's left group.
    LeftGroup,
    /// A dataframe that takes the place of the left group; see [`Plan::new`].
    Dataframe {
        schema: &'a Schema,
        event_time: Option<&'a str>,
    },
}

/// One column of the result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    pub name: String,
    pub r#type: FeatureType,
    /// Comes with the spine's row; the others are looked up.
    pub(crate) from_spine: bool,
}

/// A column that the spine brings into the join: `source`, as `type`, called `name`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SpineColumn {
    pub(crate) source: String,
    pub(crate) r#type: FeatureType,
    pub(crate) name: String,
}

/// A point-in-time look-up of one group for each spine row.
#[derive(Debug, Clone)]
pub(crate) struct Lookup {
    /// Which of the query's groups, counted as [`Query::groups`] does.
    pub(crate) source: usize,
    pub(crate) group: Arc<FeatureGroup>,
    /// Per key feature of the group, in the order of its key, the spine column that holds it.
    pub(crate) keys: Vec<String>,
    /// (feature, column of the result)
    pub(crate) features: Vec<(String, String)>,
    pub(crate) kind: JoinKind,
    /// False: the newest row of the snapshot, whatever the spine's time.
    pub(crate) timed: bool,
}

#[derive(Debug, Clone)]
pub(crate) enum SpineOrigin {
    LeftGroup(Arc<FeatureGroup>),
    Dataframe { event_time: Option<String> },
}

/// A query resolved against its groups: every name, type and key pair is known to fit.
#[derive(Debug, Clone)]
pub struct Plan {
    pub(crate) groups: Vec<FeatureGroupId>,
    pub(crate) origin: SpineOrigin,
    pub(crate) spine: Vec<SpineColumn>,
    pub(crate) lookups: Vec<Lookup>,
    pub(crate) columns: Vec<Column>,
    pub(crate) filter: Option<Filter>,
    /// By column, what a look-up without a row gives instead of null.
    pub(crate) defaults: BTreeMap<String, Value>,
}

impl Plan {
    /// Resolves `query`. `groups` holds at least the groups it names, in any order.
    ///
    /// A dataframe spine takes the place of the left group: its columns come first in the result,
    /// a column named like a selected feature of the left group stands in for it, and the left
    /// group's features that the dataframe lacks are looked up by the left group's key.
    pub fn new(
        query: &Query,
        groups: &[Arc<FeatureGroup>],
        spine: SpineSchema<'_>,
    ) -> Result<Self> {
        query.output_names()?;
        builder::plan(query, groups, spine)
    }

    /// The same plan with `defaults`, by column, in place of the nulls of look-ups that find no row, as
    /// a feature vector has them. Columns that come with the spine are always there.
    pub fn with_defaults(mut self, defaults: &BTreeMap<String, Value>) -> Result<Self> {
        for (name, value) in defaults {
            let column = self.columns.iter().find(|column| column.name == *name);
            let column = column.ok_or_else(|| ModelError::UnknownFeature {
                feature: name.clone(),
                owner: "the query's result".to_owned(),
                known: self
                    .columns
                    .iter()
                    .map(|column| column.name.clone())
                    .collect(),
            })?;
            let value = constant(value.clone(), name, &column.r#type)?;
            self.defaults.insert(name.clone(), value);
        }
        Ok(self)
    }

    /// The columns of the result in order.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// Name and type of each column, as a training dataset records them.
    pub fn features(&self) -> Vec<(String, FeatureType)> {
        self.columns
            .iter()
            .map(|column| (column.name.clone(), column.r#type.clone()))
            .collect()
    }

    /// The groups to read, one source each, in this order.
    pub fn groups(&self) -> &[FeatureGroupId] {
        &self.groups
    }
}

#[cfg(test)]
mod tests;
