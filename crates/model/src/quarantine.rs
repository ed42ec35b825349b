use crate::{EventTime, FeatureGroupId, Position};

/// A record that could not be applied, kept whole: it never stopped its partition and can be replayed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuarantinedRecord {
    pub group: FeatureGroupId,
    /// Of the group's life in whose topic it stands: offsets begin anew in the next.
    pub resource: String,
    pub position: Position,
    pub key: Vec<u8>,
    pub value: Vec<u8>,
    /// `wire::record::Headers` in their encoded form.
    pub headers: Vec<u8>,
    /// Stable and machine-readable, such as `truncated`, `unknown_schema` or `future_event_time`.
    pub code: String,
    pub reason: String,
    pub quarantined_at: EventTime,
    pub replayed_at: Option<EventTime>,
}
