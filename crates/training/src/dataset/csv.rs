//! Rows as RFC 4180 text that reads back to the same values.
//!
//! A null is an empty field, an empty string a quoted one. Binaries are hexadecimal, times in
//! ISO 8601. Nested columns have no such form and are refused.

use std::io::{BufRead, Write};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, StringArray};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, SchemaRef};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;

use crate::{Error, Result};

const BATCH_ROWS: usize = 8_192;

const STRICT: fn() -> CastOptions<'static> = || CastOptions {
    safe: false,
    ..CastOptions::default()
};

/// Refuses columns that have no text form.
pub(super) fn check(schema: &SchemaRef) -> Result<()> {
    for field in schema.fields() {
        if field.data_type().is_nested() {
            return Err(Error::CsvType {
                column: field.name().clone(),
                found: field.data_type().to_string(),
            });
        }
    }
    Ok(())
}

pub(super) fn write_header(schema: &SchemaRef, out: &mut impl Write) -> std::io::Result<()> {
    let mut line = Vec::new();
    for (index, field) in schema.fields().iter().enumerate() {
        if index > 0 {
            line.push(b',');
        }
        push_field(&mut line, Some(field.name()));
    }
    line.push(b'\n');
    out.write_all(&line)
}

/// The rows of `batch` as lines.
pub(super) fn lines(batch: &RecordBatch) -> Result<Vec<u8>> {
    let columns = batch
        .columns()
        .iter()
        .map(text_of)
        .collect::<Result<Vec<_>>>()?;
    let columns: Vec<&StringArray> = columns.iter().map(|column| column.as_string()).collect();
    let mut lines = Vec::new();
    for row in 0..batch.num_rows() {
        for (index, column) in columns.iter().enumerate() {
            if index > 0 {
                lines.push(b',');
            }
            push_field(&mut lines, column.is_valid(row).then(|| column.value(row)));
        }
        lines.push(b'\n');
    }
    Ok(lines)
}

fn text_of(column: &ArrayRef) -> Result<ArrayRef> {
    if let Some(binary) = column.as_binary_opt::<i32>() {
        let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
        let texts: StringArray = binary.iter().map(|value| value.map(hex)).collect();
        return Ok(Arc::new(texts));
    }
    Ok(cast_with_options(column, &DataType::Utf8, &STRICT())?)
}

fn push_field(line: &mut Vec<u8>, value: Option<&str>) {
    let Some(value) = value else { return };
    let plain = !value.is_empty() && !value.contains([',', '"', '\n', '\r']);
    if plain {
        line.extend_from_slice(value.as_bytes());
        return;
    }
    line.push(b'"');
    for byte in value.bytes() {
        if byte == b'"' {
            line.push(b'"');
        }
        line.push(byte);
    }
    line.push(b'"');
}

/// Reads what was written with `schema`, a batch at a time.
pub(super) struct CsvReader<R> {
    input: R,
    schema: SchemaRef,
}

impl<R: BufRead> CsvReader<R> {
    /// Checks the header line.
    pub(super) fn new(input: R, schema: SchemaRef) -> Result<Self, String> {
        let mut reader = Self { input, schema };
        let found = reader.record()?.unwrap_or_default();
        let wanted = reader.schema.fields().iter();
        let matches = found.len() == wanted.len()
            && wanted
                .zip(&found)
                .all(|(field, name)| name.as_ref() == Some(field.name()));
        if matches {
            Ok(reader)
        } else {
            Err(format!(
                "found columns {found:?}, which are not those of the dataset"
            ))
        }
    }

    pub(super) fn next_batch(&mut self) -> Result<Option<RecordBatch>, String> {
        let width = self.schema.fields().len();
        let mut columns: Vec<Vec<Option<String>>> = vec![Vec::new(); width];
        for _ in 0..BATCH_ROWS {
            let Some(record) = self.record()? else { break };
            if record.len() != width {
                return Err(format!("found {} fields, wanted {width}", record.len()));
            }
            for (column, value) in columns.iter_mut().zip(record) {
                column.push(value);
            }
        }
        if columns.first().is_none_or(Vec::is_empty) {
            return Ok(None);
        }
        let arrays = columns
            .into_iter()
            .zip(self.schema.fields())
            .map(|(column, field)| parsed(column, field.data_type()))
            .collect::<Result<Vec<_>, _>>();
        arrays
            .and_then(|arrays| RecordBatch::try_new(Arc::clone(&self.schema), arrays))
            .map(Some)
            .map_err(|error| error.to_string())
    }

    /// The fields of the next record; a quoted one is never null.
    fn record(&mut self) -> Result<Option<Vec<Option<String>>>, String> {
        let mut line = Vec::new();
        // A record goes on while a quote is open.
        while line.is_empty() || line.iter().filter(|byte| **byte == b'"').count() % 2 == 1 {
            let read = self.input.read_until(b'\n', &mut line);
            if read.map_err(|error| error.to_string())? == 0 {
                if line.is_empty() {
                    return Ok(None);
                }
                return Err("the file ends within a record".to_owned());
            }
        }
        if line.pop() != Some(b'\n') {
            return Err("the file ends within a record".to_owned());
        }
        let line = String::from_utf8(line).map_err(|error| error.to_string())?;
        fields(&line).map(Some)
    }
}

fn fields(line: &str) -> Result<Vec<Option<String>>, String> {
    let mut fields = Vec::new();
    let mut rest = line;
    loop {
        let (field, after) = match rest.strip_prefix('"') {
            Some(quoted) => {
                let (value, after) = quoted_field(quoted)?;
                (Some(value), after)
            }
            None => {
                let end = rest.find(',').unwrap_or(rest.len());
                let value = &rest[..end];
                ((!value.is_empty()).then(|| value.to_owned()), &rest[end..])
            }
        };
        fields.push(field);
        if after.is_empty() {
            return Ok(fields);
        }
        rest = after
            .strip_prefix(',')
            .ok_or_else(|| format!("found {after:?} after a quoted field"))?;
    }
}

/// The value up to the closing quote, and what stands after that.
fn quoted_field(text: &str) -> Result<(String, &str), String> {
    let mut value = String::new();
    let mut rest = text;
    loop {
        let end = rest.find('"').ok_or("a quoted field does not end")?;
        value.push_str(&rest[..end]);
        rest = &rest[end + 1..];
        match rest.strip_prefix('"') {
            Some(after) => {
                value.push('"');
                rest = after;
            }
            None => return Ok((value, rest)),
        }
    }
}

fn parsed(column: Vec<Option<String>>, wanted: &DataType) -> Result<ArrayRef, ArrowError> {
    if *wanted == DataType::Binary {
        let values = column
            .into_iter()
            .map(|text| text.map(|text| bytes_of_hex(&text)).transpose());
        let values = values.collect::<Result<Vec<_>, _>>()?;
        return Ok(Arc::new(
            values.iter().map(Option::as_deref).collect::<BinaryArray>(),
        ));
    }
    let texts: ArrayRef = Arc::new(StringArray::from(column));
    cast_with_options(&texts, wanted, &STRICT())
}

fn bytes_of_hex(text: &str) -> Result<Vec<u8>, ArrowError> {
    let fail = || ArrowError::ParseError(format!("{text:?} is not hexadecimal"));
    if !text.is_ascii() || text.len() % 2 == 1 {
        return Err(fail());
    }
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).map_err(|_| fail()))
        .collect()
}
