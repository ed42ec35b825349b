use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use twinfold_model::{Offset, PartitionId, Positions};

use super::FeatureGroupIdBody;

/// Per partition, the first offset that is not included.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct PositionsBody(pub BTreeMap<u32, u64>);

/// Proof that rows are in the topic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReceiptBody {
    pub group: FeatureGroupIdBody,
    /// The name of the topic that took the rows in.
    pub resource: String,
    /// In the usual form of a UUID.
    pub ingestion_id: String,
    pub rows: u64,
    pub start: PositionsBody,
    pub end: PositionsBody,
}

/// What to wait for, and for how long.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WaitBody {
    pub receipt: ReceiptBody,
    pub online: bool,
    pub offline: bool,
    pub timeout_ms: u64,
}

/// How far a group's rows have come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProgressBody {
    pub topic: PositionsBody,
    /// Absent when the group is not online.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub online: Option<PositionsBody>,
    pub offline: PositionsBody,
}

impl From<&Positions> for PositionsBody {
    fn from(positions: &Positions) -> Self {
        let positions = positions.iter();
        Self(
            positions
                .map(|(partition, next)| (partition.0, next.0))
                .collect(),
        )
    }
}

impl From<PositionsBody> for Positions {
    fn from(body: PositionsBody) -> Self {
        let positions = body.0.into_iter();
        positions
            .map(|(partition, next)| (PartitionId(partition), Offset(next)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receipt_is_readable() {
        let json = concat!(
            r#"{"group":{"project":"default","name":"weather","version":1},"#,
            r#""resource":"default.weather_1","#,
            r#""ingestion_id":"67e55044-10b1-426f-9247-bb680e5fe0c8","rows":3,"#,
            r#""start":{"0":0},"end":{"0":2,"10":18446744073709551615}}"#
        );
        let body: ReceiptBody = serde_json::from_str(json).expect("readable");
        let end = Positions::from(body.end.clone());
        assert_eq!(end.get(PartitionId(10)), Some(Offset(u64::MAX)));
        assert_eq!(PositionsBody::from(&end), body.end);
        assert_eq!(serde_json::to_string(&body).expect("serializable"), json);
    }
}
