//! Which records are rows, and which are quarantined: pure, the same answer in every replay.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use twinfold_client::WriterSchema;
use twinfold_model::{
    EventTime, FeatureGroup, Operation, Position, QuarantinedRecord, RowVersion, SchemaId,
};
use twinfold_store_topic::{Record, RecordBatch};
use twinfold_wire::record::{self, Defect, Inspector};

use crate::plan::{Batch, Row, held_bytes, quarantined_bytes};

/// How to check the records of one writer schema.
#[derive(Debug)]
enum Check {
    Inspect(Box<Inspector>),
    /// The schema is not registered for the group, or does not fit it.
    Refuse(Defect),
}

/// The keys of rows that are admitted together: one buffer, of which each row gets a slice.
#[derive(Debug, Default)]
struct Keys {
    bytes: Vec<u8>,
    /// Where the key of each row ends.
    ends: Vec<usize>,
}

impl Keys {
    fn hand_out(self, rows: &mut [Row]) {
        let bytes = Bytes::from(self.bytes);
        let mut start = 0;
        for (row, end) in rows.iter_mut().zip(self.ends) {
            row.key = bytes.slice(start..end);
            start = end;
        }
    }
}

/// The rules for the records of one feature group.
#[derive(Debug)]
pub struct Admission {
    group: FeatureGroup,
    /// The name of the topic that they stand in.
    resource: String,
    checks: HashMap<SchemaId, Check>,
    future_skew_max: Duration,
}

impl Admission {
    pub fn new(group: FeatureGroup, resource: String, future_skew_max: Duration) -> Self {
        Self {
            group,
            resource,
            checks: HashMap::new(),
            future_skew_max,
        }
    }

    pub fn knows(&self, schema: SchemaId) -> bool {
        self.checks.contains_key(&schema)
    }

    /// Forgets schemas that were refused, because they may have been registered since.
    pub fn forget_refused(&mut self) {
        self.checks
            .retain(|_, check| matches!(check, Check::Inspect(_)));
    }

    /// Learns what the registry says of a schema id; `None` when it is not registered for the group.
    ///
    /// A schema that does not fit refuses its records and nothing else: anyone may write to a topic.
    pub fn learn(&mut self, id: SchemaId, schema: Option<&WriterSchema>) {
        let unfit = |reason: String| Defect::IncompatibleSchema { id: id.0, reason };
        let inspector = match schema {
            None => Err(Defect::UnknownSchema { id: id.0 }),
            Some(schema) => Inspector::compile(&schema.avro_json, &self.group)
                .map_err(|error| unfit(error.to_string())),
        };
        let check = match inspector {
            Ok(inspector) => Check::Inspect(Box::new(inspector)),
            Err(defect) => Check::Refuse(defect),
        };
        self.checks.insert(id, check);
    }

    /// A schema id that records name and this does not know yet.
    pub fn unknown_schema(&self, batches: &[RecordBatch]) -> Option<SchemaId> {
        let records = batches.iter().flat_map(|batch| &batch.records);
        let mut named = records.filter_map(|record| record::parse_frame(&record.value).ok());
        // Neighbours mostly share a schema: looking at the last one first makes this cheap.
        let mut last = None;
        named.find_map(|(id, _)| {
            let is_new = last.replace(id) != Some(id) && !self.knows(id);
            is_new.then_some(id)
        })
    }

    /// Splits records into rows and quarantined records. Every schema must have been learnt.
    pub fn admit(&self, batches: Vec<RecordBatch>, now: EventTime) -> Batch {
        let mut admitted = Batch::default();
        let mut keys = Keys::default();
        for mut batch in batches {
            // Taken, so that values move into their rows: each clone would count in a place that all share.
            let records = std::mem::take(&mut batch.records);
            self.admit_batch(&batch, records, now, &mut admitted, &mut keys);
        }
        keys.hand_out(&mut admitted.rows);
        admitted
    }

    fn admit_batch(
        &self,
        batch: &RecordBatch,
        records: Vec<Record>,
        now: EventTime,
        admitted: &mut Batch,
        keys: &mut Keys,
    ) {
        let next = batch.first.plus(records.len() as u64);
        admitted.positions.advance(batch.partition, next);
        admitted.note_appended(batch.appended_at, batch.appended_at);
        admitted.rows.reserve(records.len());
        for record in records {
            admitted.bytes += held_bytes(&record);
            let key_start = keys.bytes.len();
            match self.check(batch, &record, &mut keys.bytes) {
                Ok((schema, operation, event_time)) => {
                    keys.ends.push(keys.bytes.len());
                    admitted.rows.push(Row {
                        partition: batch.partition,
                        key: Bytes::new(),
                        version: RowVersion {
                            event_time,
                            operation,
                            offset: record.offset,
                        },
                        schema,
                        value: record.value,
                    });
                }
                Err(defect) => {
                    keys.bytes.truncate(key_start);
                    let letter = self.dead_letter(batch, &record, &defect, now);
                    admitted.bytes += quarantined_bytes(&letter);
                    admitted.quarantined.push(letter);
                }
            }
        }
    }

    fn check(
        &self,
        batch: &RecordBatch,
        record: &Record,
        keys: &mut Vec<u8>,
    ) -> Result<(SchemaId, Operation, EventTime), Defect> {
        let headers = batch.headers.as_ref().map_err(Defect::clone)?;
        let (schema, body) = record::parse_frame(&record.value)?;
        let inspector = match self.checks.get(&schema) {
            Some(Check::Inspect(inspector)) => inspector,
            Some(Check::Refuse(defect)) => return Err(defect.clone()),
            None => return Err(Defect::UnknownSchema { id: schema.0 }),
        };
        let told = headers.event_time.unwrap_or(batch.appended_at);
        let event_time = match headers.operation {
            Operation::Upsert => inspector.inspect(body, keys)?.unwrap_or(told),
            Operation::Delete => {
                inspector.inspect_key(body, keys)?;
                told
            }
        };
        // Judged by the log's clock and not by ours, so that every consumer and every replay agrees.
        if event_time.is_ahead_of(batch.appended_at, self.future_skew_max) {
            return Err(Defect::FutureEventTime {
                event_time_us: event_time.micros(),
                appended_at_us: batch.appended_at.micros(),
                skew_us_max: i64::try_from(self.future_skew_max.as_micros()).unwrap_or(i64::MAX),
            });
        }
        Ok((schema, headers.operation, event_time))
    }

    fn dead_letter(
        &self,
        batch: &RecordBatch,
        record: &Record,
        defect: &Defect,
        now: EventTime,
    ) -> QuarantinedRecord {
        // Headers that could not be read are not kept: what they wanted is not to be guessed at.
        let headers = batch.headers.as_ref().map_or_else(
            |_| Vec::new(),
            |headers| {
                let mut headers = headers.clone();
                // Replayed later, the record must not become newer than it is.
                headers.event_time.get_or_insert(batch.appended_at);
                headers.encode().to_vec()
            },
        );
        QuarantinedRecord {
            group: self.group.id().clone(),
            resource: self.resource.clone(),
            position: Position {
                partition: batch.partition,
                offset: record.offset,
            },
            key: record.key.to_vec(),
            value: record.value.to_vec(),
            headers,
            code: defect.code().to_owned(),
            reason: defect.to_string(),
            quarantined_at: now,
            replayed_at: None,
        }
    }
}
