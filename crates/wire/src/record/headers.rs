use bytes::Bytes;
use twinfold_model::{EventTime, Operation};

use super::{Cursor, Defect};

/// What a record says of itself beside its value. Absent headers have a meaning, so that producers that
/// know nothing of them work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Headers {
    /// Absent: upsert.
    pub operation: Operation,
    /// Which `insert` the record belongs to; a UUID.
    pub ingestion_id: Option<[u8; 16]>,
    /// The event time of a delete, and of a row of a group without an event-time feature.
    /// Absent: the time at which the log took the record in.
    pub event_time: Option<EventTime>,
}

impl Default for Headers {
    fn default() -> Self {
        Self {
            operation: Operation::Upsert,
            ingestion_id: None,
            event_time: None,
        }
    }
}

const VERSION: u8 = 1;
const DELETE: u8 = 1 << 0;
const HAS_INGESTION_ID: u8 = 1 << 1;
const HAS_EVENT_TIME: u8 = 1 << 2;

const OPERATION_NAME: &str = "operation";
const INGESTION_ID_NAME: &str = "ingestion-id";
const EVENT_TIME_NAME: &str = "event-time";

impl Headers {
    /// The compact form: version, flags, then the fields that the flags announce.
    pub fn encode(&self) -> Bytes {
        let mut flags = 0;
        let mut fields = Vec::with_capacity(26);
        if self.operation == Operation::Delete {
            flags |= DELETE;
        }
        fields.extend_from_slice(&[VERSION, 0]);
        if let Some(id) = &self.ingestion_id {
            flags |= HAS_INGESTION_ID;
            fields.extend_from_slice(id);
        }
        if let Some(time) = self.event_time {
            flags |= HAS_EVENT_TIME;
            fields.extend_from_slice(&time.micros().to_be_bytes());
        }
        fields[1] = flags;
        fields.into()
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, Defect> {
        let mut cursor = Cursor::new(bytes);
        let version = cursor.byte()?;
        if version != VERSION {
            return Err(Defect::UnknownVersion {
                what: "headers",
                found: version,
                wanted: VERSION,
            });
        }
        let flags = cursor.byte()?;
        if flags & !(DELETE | HAS_INGESTION_ID | HAS_EVENT_TIME) != 0 {
            return Err(Defect::InvalidHeader {
                name: "flags",
                reason: "unknown bits are set",
            });
        }
        let ingestion_id = match flags & HAS_INGESTION_ID {
            0 => None,
            _ => Some(cursor.array()?),
        };
        let event_time = match flags & HAS_EVENT_TIME {
            0 => None,
            _ => Some(EventTime::from_micros(i64::from_be_bytes(cursor.array()?))),
        };
        cursor.finish()?;
        Ok(Self {
            operation: match flags & DELETE {
                0 => Operation::Upsert,
                _ => Operation::Delete,
            },
            ingestion_id,
            event_time,
        })
    }

    /// The form for logs whose records have named headers. What is meant anyhow is not said.
    pub fn to_pairs(&self) -> Vec<(&'static str, Vec<u8>)> {
        let mut pairs = Vec::new();
        if self.operation == Operation::Delete {
            pairs.push((OPERATION_NAME, b"delete".to_vec()));
        }
        if let Some(id) = &self.ingestion_id {
            pairs.push((INGESTION_ID_NAME, id.to_vec()));
        }
        if let Some(time) = self.event_time {
            pairs.push((EVENT_TIME_NAME, time.micros().to_be_bytes().to_vec()));
        }
        pairs
    }

    /// Reads named headers; other names are ignored, and of one name the last counts.
    pub fn from_pairs<'a>(
        pairs: impl IntoIterator<Item = (&'a str, &'a [u8])>,
    ) -> Result<Self, Defect> {
        let invalid = |name, reason| Defect::InvalidHeader { name, reason };
        let mut headers = Self::default();
        for (name, value) in pairs {
            match name {
                OPERATION_NAME => {
                    headers.operation = match value {
                        b"upsert" => Operation::Upsert,
                        b"delete" => Operation::Delete,
                        _ => return Err(invalid(OPERATION_NAME, "wanted `upsert` or `delete`")),
                    }
                }
                INGESTION_ID_NAME => {
                    let id = value.try_into();
                    let id = id.map_err(|_| invalid(INGESTION_ID_NAME, "wanted 16 bytes"))?;
                    headers.ingestion_id = Some(id);
                }
                EVENT_TIME_NAME => {
                    let reason = "wanted 8 bytes, microseconds big-endian";
                    let micros = value.try_into();
                    let micros = micros.map_err(|_| invalid(EVENT_TIME_NAME, reason))?;
                    headers.event_time = Some(EventTime::from_micros(i64::from_be_bytes(micros)));
                }
                _ => {}
            }
        }
        Ok(headers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_pairs_are_ignored_and_malformed_known_ones_refused() {
        let pairs: [(&str, &[u8]); 2] = [("traceparent", b"00-ab"), ("operation", b"delete")];
        let headers = Headers::from_pairs(pairs).expect("valid");
        assert_eq!(headers.operation, Operation::Delete);
        assert_eq!(Headers::from_pairs([]), Ok(Headers::default()));
        for (name, value) in [
            ("operation", &b"remove"[..]),
            ("ingestion-id", b"short"),
            ("event-time", b"1700000000"),
        ] {
            let defect = Headers::from_pairs([(name, value)]).expect_err(name);
            assert_eq!(defect.code(), "invalid_header");
            assert!(defect.to_string().contains(name), "{defect}");
        }
    }

    #[test]
    fn headers_of_another_version_are_refused() {
        assert_eq!(
            Headers::decode(&[2, 0]).expect_err("2").code(),
            "unknown_version"
        );
        assert_eq!(
            Headers::decode(&[1, 8]).expect_err("8").code(),
            "invalid_header"
        );
        assert_eq!(
            Headers::decode(&[1, 0, 0]).expect_err("long").code(),
            "trailing_bytes"
        );
    }
}
