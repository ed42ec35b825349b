use std::fmt::Write as _;

use twinfold_model::{FeatureGroupId, Offset, Positions};
use twinfold_store_topic::Appended;

/// Proof that rows are in the topic, and what to wait for until they are in the stores.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    pub group: FeatureGroupId,
    /// Of the group's life in which the rows were taken in: offsets begin anew in the next.
    pub resource: String,
    /// A UUID, also carried by every record.
    pub ingestion_id: [u8; 16],
    pub rows: u64,
    /// Per partition, the offset of the first record of this ingestion.
    pub start: Positions,
    /// Per partition, the first offset after the last record of this ingestion.
    pub end: Positions,
}

impl Receipt {
    /// A receipt for no rows yet.
    pub fn new(group: FeatureGroupId, resource: String, ingestion_id: [u8; 16]) -> Self {
        Self {
            group,
            resource,
            ingestion_id,
            rows: 0,
            start: Positions::new(),
            end: Positions::new(),
        }
    }

    /// Adds records that the topic took in.
    pub fn note(&mut self, appended: &Appended) {
        let partition = appended.partition;
        if self.start.get(partition).is_none() {
            self.start.advance(partition, appended.first);
        }
        self.end.advance(partition, appended.next);
        self.rows += appended.count;
    }

    /// The ingestion id in the usual form of a UUID.
    pub fn ingestion_id(&self) -> String {
        uuid::Uuid::from_bytes(self.ingestion_id).to_string()
    }

    /// The partitions and offsets in one line, for people.
    pub fn positions_text(&self) -> String {
        let mut text = String::new();
        for (partition, end) in self.end.iter() {
            let start = self.start.get(partition).unwrap_or(Offset::ZERO);
            let space = if text.is_empty() { "" } else { " " };
            let _infallible = write!(text, "{space}{}:{}-{}", partition.0, start.0, end.0);
        }
        text
    }
}

/// A fresh UUID for the records of one ingestion.
pub fn new_ingestion_id() -> [u8; 16] {
    uuid::Uuid::new_v4().into_bytes()
}

/// Which stores a wait is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WaitTarget {
    pub online: bool,
    pub offline: bool,
}
