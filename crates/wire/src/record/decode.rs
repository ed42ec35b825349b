use std::collections::HashMap;
use std::collections::hash_map::Entry;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use twinfold_model::{FeatureGroup, SchemaId, Value};

use super::column::Column;
use super::plan::RecordPlan;
use super::sink::Sink;
use super::{Cursor, Defect, arrow_schema, parse_frame};
use crate::{Error, Result};

/// Turns records of any known writer into the canonical Arrow schema of a group.
///
/// A bad record costs itself alone: what it left in the columns is taken back.
#[derive(Debug)]
pub struct Decoder {
    group: FeatureGroup,
    schema: SchemaRef,
    writers: HashMap<SchemaId, Writer>,
}

#[derive(Debug)]
struct Writer {
    plan: RecordPlan,
    /// Bytes that the defaults of absent features add to each row, at most.
    absent_bytes: usize,
}

#[derive(Debug)]
pub struct Decoded {
    /// In the canonical schema of the group.
    pub batch: RecordBatch,
    /// Per row of `batch` the index of its record in the input, ascending.
    pub rows: Vec<u32>,
    /// The other records: index in the input and what is wrong.
    pub defects: Vec<(usize, Defect)>,
}

/// Arrow counts the bytes of a column in 31 bits.
const BATCH_BYTES_MAX: usize = i32::MAX as usize;

impl Decoder {
    pub fn new(group: &FeatureGroup) -> Result<Self> {
        Ok(Self {
            schema: arrow_schema(group),
            group: group.clone(),
            writers: HashMap::new(),
        })
    }

    /// Makes the records of a writer readable. Nothing happens when its id is known: ids never change
    /// their meaning.
    pub fn add_schema(&mut self, id: SchemaId, writer_avro_json: &str) -> Result<()> {
        if let Entry::Vacant(entry) = self.writers.entry(id) {
            let plan = RecordPlan::for_group(writer_avro_json, &self.group)?;
            let absent_bytes = plan.absent.iter().map(|(_, value)| size_of_value(value));
            let absent_bytes = absent_bytes.sum();
            entry.insert(Writer { plan, absent_bytes });
        }
        Ok(())
    }

    pub fn has_schema(&self, id: SchemaId) -> bool {
        self.writers.contains_key(&id)
    }

    /// Decodes framed records; those that cannot be read are listed with their defects.
    pub fn decode(&mut self, values: &[impl AsRef<[u8]>]) -> Result<Decoded> {
        match self.counted(values).last() {
            Some(bytes) if bytes > BATCH_BYTES_MAX => Err(too_large(bytes)),
            _ => self.decode_up_to(values, usize::MAX),
        }
    }

    /// Like [`decode`](Self::decode), but ends after the record with which the columns hold `bytes_max`:
    /// a null embedding takes one byte in its record and all its floats in Arrow, and a feature that the
    /// writer did not have takes none. [`Decoded::taken`] says how many were looked at, one at least.
    pub fn decode_up_to(
        &mut self,
        values: &[impl AsRef<[u8]>],
        bytes_max: usize,
    ) -> Result<Decoded> {
        let countable = self.counted(values);
        let countable = countable.take_while(|bytes| *bytes <= BATCH_BYTES_MAX);
        let values = match (countable.count(), self.counted(values).next()) {
            (0, Some(bytes)) => return Err(too_large(bytes)),
            (count, _) => &values[..count],
        };
        let mut columns: Vec<Column> = self
            .group
            .features()
            .iter()
            .map(|feature| Column::new(&feature.r#type, values.len()))
            .collect();
        let mut rows = Vec::with_capacity(values.len());
        let mut defects = Vec::new();
        for (index, value) in values.iter().enumerate() {
            match self.append(value.as_ref(), &mut columns) {
                // The values are countable, and each counts as a byte at least.
                Ok(()) => rows.push(index as u32),
                Err(defect) => {
                    for column in &mut columns {
                        column.truncate(rows.len());
                    }
                    defects.push((index, defect));
                }
            }
            if columns.iter().map(Column::bytes).sum::<usize>() >= bytes_max {
                break;
            }
        }
        let arrays = columns
            .into_iter()
            .map(Column::finish)
            .collect::<Result<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
        let batch = RecordBatch::try_new_with_options(self.schema.clone(), arrays, &options)?;
        Ok(Decoded {
            batch,
            rows,
            defects,
        })
    }

    fn append(&self, value: &[u8], columns: &mut [Column]) -> Result<(), Defect> {
        let (id, body) = parse_frame(value)?;
        let Some(writer) = self.writers.get(&id) else {
            return Err(Defect::UnknownSchema { id: id.0 });
        };
        let plan = &writer.plan;
        let mut cursor = Cursor::new(body);
        for step in &plan.steps {
            plan.step(step, &mut cursor, |index| &mut columns[index])?;
        }
        cursor.finish()?;
        for (index, value) in &plan.absent {
            columns[*index].value(value);
        }
        Ok(())
    }

    /// Per value, the most that one buffer of a column has to count for it and all before it.
    fn counted(&self, values: &[impl AsRef<[u8]>]) -> impl Iterator<Item = usize> {
        let defaults = self.writers.values().map(|writer| writer.absent_bytes);
        // A value without bytes still counts as a row.
        let row_bytes = defaults.max().unwrap_or(0) + 1;
        values.iter().scan(0_usize, move |bytes, value| {
            *bytes = bytes.saturating_add(value.as_ref().len().saturating_add(row_bytes));
            Some(*bytes)
        })
    }
}

impl Decoded {
    /// How many of the input's records are among the rows or the defects.
    pub fn taken(&self) -> usize {
        self.rows.len() + self.defects.len()
    }
}

fn too_large(bytes: usize) -> Error {
    Error::BatchTooLarge {
        bytes,
        bytes_max: BATCH_BYTES_MAX,
    }
}

/// At least as many bytes or items as the value adds to any one buffer of a column.
fn size_of_value(value: &Value) -> usize {
    1 + match value {
        Value::String(text) => text.len(),
        Value::Binary(bytes) => bytes.len(),
        Value::Array(items) | Value::Struct(items) => items.iter().map(size_of_value).sum(),
        Value::Map(entries) => entries
            .iter()
            .map(|(key, value)| key.len() + size_of_value(value))
            .sum(),
        _ => 0,
    }
}
