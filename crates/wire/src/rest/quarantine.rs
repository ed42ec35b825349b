use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use twinfold_model::{Error, EventTime, Offset, PartitionId, Position, QuarantinedRecord};

use super::{FeatureGroupIdBody, Hex};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PositionBody {
    pub partition: u32,
    pub offset: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct QuarantinedRecordBody {
    pub group: FeatureGroupIdBody,
    /// The topic in which it stands.
    pub resource: String,
    pub position: PositionBody,
    pub key: Hex,
    pub value: Hex,
    pub headers: Hex,
    pub code: String,
    pub reason: String,
    pub quarantined_at_us: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replayed_at_us: Option<i64>,
}

impl From<Position> for PositionBody {
    fn from(position: Position) -> Self {
        Self {
            partition: position.partition.0,
            offset: position.offset.0,
        }
    }
}

impl From<PositionBody> for Position {
    fn from(body: PositionBody) -> Self {
        Self {
            partition: PartitionId(body.partition),
            offset: Offset(body.offset),
        }
    }
}

impl From<&QuarantinedRecord> for QuarantinedRecordBody {
    fn from(record: &QuarantinedRecord) -> Self {
        Self {
            group: (&record.group).into(),
            resource: record.resource.clone(),
            position: record.position.into(),
            key: Hex(record.key.clone()),
            value: Hex(record.value.clone()),
            headers: Hex(record.headers.clone()),
            code: record.code.clone(),
            reason: record.reason.clone(),
            quarantined_at_us: record.quarantined_at.micros(),
            replayed_at_us: record.replayed_at.map(EventTime::micros),
        }
    }
}

impl TryFrom<QuarantinedRecordBody> for QuarantinedRecord {
    type Error = Error;

    fn try_from(body: QuarantinedRecordBody) -> Result<Self, Error> {
        Ok(Self {
            group: body.group.try_into()?,
            resource: body.resource,
            position: body.position.into(),
            key: body.key.0,
            value: body.value.0,
            headers: body.headers.0,
            code: body.code,
            reason: body.reason,
            quarantined_at: EventTime::from_micros(body.quarantined_at_us),
            replayed_at: body.replayed_at_us.map(EventTime::from_micros),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const JSON: &str = concat!(
        r#"{"group":{"project":"default","name":"weather","version":1},"#,
        r#""resource":"default.weather_1","#,
        r#""position":{"partition":3,"offset":18446744073709551615},"key":"01","value":"00ff","#,
        r#""headers":"","code":"truncated","reason":"the body ends early","quarantined_at_us":7}"#
    );

    #[test]
    fn a_quarantined_record_is_readable() {
        let body: QuarantinedRecordBody = serde_json::from_str(JSON).expect("readable");
        let record = QuarantinedRecord::try_from(body).expect("valid");
        assert_eq!(record.value, [0, 255]);
        assert_eq!(record.position.offset, Offset(u64::MAX));
        let written = serde_json::to_string(&QuarantinedRecordBody::from(&record));
        assert_eq!(written.expect("serializable"), JSON);
    }
}
