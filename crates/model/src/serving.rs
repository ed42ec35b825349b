use std::fmt;

use crate::{EventTime, FeatureGroupId, Value};

/// What a feature group had for the key of a vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Presence {
    /// There is a row; its features may still be null.
    Present,
    /// There is no row, or it was deleted.
    Missing,
    /// There is a row, but its time to live is over.
    Expired,
    /// The row could not be read.
    Error,
}

impl Presence {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Present => "present",
            Self::Missing => "missing",
            Self::Expired => "expired",
            Self::Error => "error",
        }
    }
}

impl fmt::Display for Presence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What one group contributed to a vector.
#[derive(Debug, Clone, PartialEq)]
pub struct GroupPresence {
    pub group: FeatureGroupId,
    pub presence: Presence,
    pub event_time: Option<EventTime>,
}

/// The features of one entity, in the order of the view or dataset.
#[derive(Debug, Clone, PartialEq)]
pub struct FeatureVector {
    pub values: Vec<Value>,
    /// One per group that the vector takes features from, in the order of the query.
    pub groups: Vec<GroupPresence>,
}
