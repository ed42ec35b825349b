use std::fmt;

use crate::{Error, Result};

const NAME_BYTES_MAX: usize = 63;

fn is_valid(text: &str) -> bool {
    let mut bytes = text.bytes();
    text.len() <= NAME_BYTES_MAX
        && bytes.next().is_some_and(|first| first.is_ascii_lowercase())
        && bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

/// The name of a feature group, feature view, dataset or feature: valid in Avro, SQL, Kafka and file systems alike.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(String);

impl Name {
    /// Checks `text`; `what` names the thing in the error ("feature group", "feature").
    pub fn new(what: &'static str, text: impl Into<String>) -> Result<Self> {
        let text = text.into();
        if is_valid(&text) {
            Ok(Self(text))
        } else {
            Err(Error::InvalidName {
                what: what.into(),
                found: text,
            })
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The name of a project: the namespace of feature groups, views and datasets.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProjectName(Name);

impl ProjectName {
    pub fn new(text: impl Into<String>) -> Result<Self> {
        Name::new("project", text).map(Self)
    }

    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl fmt::Display for ProjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
