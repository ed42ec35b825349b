use crate::{EventTime, Positions};

/// One commit of a feature group's history.
#[derive(Debug, Clone, PartialEq)]
pub struct Commit {
    /// The version of the table that this commit made.
    pub id: u64,
    pub committed_at: EventTime,
    pub rows_upserted: u64,
    pub rows_deleted: u64,
    pub bytes: u64,
    /// Progress through the topic after this commit.
    pub positions: Positions,
}
