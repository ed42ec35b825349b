use crate::{Error, EventTime, FeatureGroupId, Result, Value};

/// Up to which knowledge a history is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AsOf {
    /// The table as this commit left it.
    Commit(u64),
    /// The table as it was committed at this time: commits up to and including it.
    Time(EventTime),
}

/// Features of one group, in the order they were asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Selection {
    pub group: FeatureGroupId,
    pub features: Vec<String>,
    pub as_of: Option<AsOf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JoinKind {
    /// Rows of the left side stay, with nulls (or defaults) where the right has none.
    Left,
    /// Only rows of the left side that have a match stay.
    Inner,
}

/// A point-in-time look-up of another group for each row of the left side.
#[derive(Debug, Clone, PartialEq)]
pub struct Join {
    pub right: Selection,
    /// (column of the left side, key feature of the right group), one pair per key feature.
    /// Empty means: the right group's key, by the same names.
    pub on: Vec<(String, String)>,
    pub kind: JoinKind,
    /// Put before the names of the right side's features.
    pub prefix: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CompareOp {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// A condition on the columns of a query's result, with SQL's three-valued logic.
#[derive(Debug, Clone, PartialEq)]
pub enum Filter {
    Compare {
        feature: String,
        op: CompareOp,
        value: Value,
    },
    In {
        feature: String,
        values: Vec<Value>,
    },
    IsNull {
        feature: String,
    },
    Not(Box<Filter>),
    And(Box<Filter>, Box<Filter>),
    Or(Box<Filter>, Box<Filter>),
}

/// What to read: features of a left group, joined point in time with features of others.
#[derive(Debug, Clone, PartialEq)]
pub struct Query {
    pub left: Selection,
    pub joins: Vec<Join>,
    pub filter: Option<Filter>,
}

impl Query {
    /// Every group the query reads, the left one first.
    pub fn groups(&self) -> impl Iterator<Item = &FeatureGroupId> {
        std::iter::once(&self.left.group).chain(self.joins.iter().map(|join| &join.right.group))
    }

    /// The names of the result's columns in order. Two columns of the same name are an error that
    /// asks for a prefix.
    pub fn output_names(&self) -> Result<Vec<String>> {
        let mut names: Vec<String> = self.left.features.clone();
        for join in &self.joins {
            let prefix = join.prefix.as_deref().unwrap_or_default();
            names.extend(
                join.right
                    .features
                    .iter()
                    .map(|name| format!("{prefix}{name}")),
            );
        }
        for (index, name) in names.iter().enumerate() {
            if names[..index].contains(name) {
                return Err(Error::InvalidQuery {
                    reason: format!(
                        "column `{name}` comes from two places; give one of the joins a prefix"
                    ),
                });
            }
        }
        Ok(names)
    }
}
