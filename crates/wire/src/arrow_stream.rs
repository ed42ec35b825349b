//! Rows as an Arrow IPC stream: how they travel over HTTP.
//!
//! A stream ends with a marker. One that ends without it was cut off, and must never pass for a shorter
//! result: [`Decoder::finish`] tells, where Arrow's own decoder is content with a cut between two batches.

use std::sync::Arc;

use arrow::buffer::Buffer;
use arrow::datatypes::{Schema, SchemaRef};
use arrow::ipc::reader::StreamDecoder;
use arrow::ipc::writer::StreamWriter;
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use bytes::Bytes;

use crate::{Error, Result};

/// The content type of a body that is such a stream.
pub const CONTENT_TYPE: &str = "application/vnd.apache.arrow.stream";

/// The key of the schema's metadata under which a request in JSON travels with its rows.
pub const REQUEST_KEY: &str = "twinfold.request";

/// Rows of one message at most, so that neither end holds much more than it has to.
const MESSAGE_ROWS_MAX: usize = 8_192;

/// A batch in parts that are small enough for a message each.
pub fn pieces(batch: RecordBatch) -> impl Iterator<Item = RecordBatch> {
    let firsts = (0..batch.num_rows()).step_by(MESSAGE_ROWS_MAX);
    firsts.map(move |first| {
        let rows = MESSAGE_ROWS_MAX.min(batch.num_rows() - first);
        batch.slice(first, rows)
    })
}

/// Writes one stream, message by message.
pub struct Encoder {
    schema: SchemaRef,
    writer: StreamWriter<Vec<u8>>,
}

impl Encoder {
    pub fn new(schema: &SchemaRef) -> Result<Self> {
        Ok(Self {
            schema: Arc::clone(schema),
            writer: StreamWriter::try_new(Vec::new(), schema)?,
        })
    }

    /// The bytes of one batch; of the schema too, the first time.
    pub fn encode(&mut self, batch: &RecordBatch) -> Result<Bytes> {
        check_columns(&self.schema, batch)?;
        self.writer.write(batch)?;
        Ok(std::mem::take(self.writer.get_mut()).into())
    }

    /// The marker of the end; before it the schema, if there was no batch.
    pub fn finish(self) -> Result<Bytes> {
        Ok(self.writer.into_inner()?.into())
    }
}

/// Arrow would write any columns, and the reader take them for those of the schema.
fn check_columns(schema: &Schema, batch: &RecordBatch) -> Result<()> {
    let found = batch.schema_ref();
    if found.fields().len() != schema.fields().len() {
        return Err(Error::NotCanonical {
            column: "*".to_owned(),
            found: format!("{} columns", found.fields().len()),
            wanted: format!("the {} of the first batch", schema.fields().len()),
        });
    }
    for (found, wanted) in found.fields().iter().zip(schema.fields()) {
        let is_same =
            found.name() == wanted.name() && found.data_type().equals_datatype(wanted.data_type());
        if !is_same {
            return Err(Error::NotCanonical {
                column: found.name().clone(),
                found: found.data_type().to_string(),
                wanted: format!("`{}` of {}", wanted.name(), wanted.data_type()),
            });
        }
    }
    Ok(())
}

/// Reads one stream from chunks of any size.
#[derive(Debug, Default)]
pub struct Decoder {
    decoder: StreamDecoder,
}

impl Decoder {
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes a chunk in and appends the batches that are complete with it.
    pub fn decode(&mut self, chunk: Bytes, batches: &mut impl Extend<RecordBatch>) -> Result<()> {
        let mut rest = Buffer::from(chunk);
        while let Some(batch) = self.decoder.decode(&mut rest)? {
            batches.extend([batch]);
        }
        Ok(())
    }

    /// Known once the message behind the schema has begun.
    pub fn schema(&self) -> Option<SchemaRef> {
        self.decoder.schema()
    }

    /// The schema, if the stream was complete.
    pub fn finish(mut self) -> Result<SchemaRef> {
        let is_between_messages = self.decoder.finish().is_ok();
        // Behind the marker not one byte more is taken.
        let has_ended =
            is_between_messages && self.decoder.decode(&mut Buffer::from([0_u8])).is_err();
        match self.decoder.schema() {
            Some(schema) if has_ended => Ok(schema),
            _ => Err(Error::CutOff),
        }
    }
}

/// The schema with a request in it.
pub fn with_request(schema: &Schema, request: String) -> SchemaRef {
    let mut metadata = schema.metadata().clone();
    metadata.insert(REQUEST_KEY.to_owned(), request);
    Arc::new(Schema::new_with_metadata(schema.fields().clone(), metadata))
}

/// The request that came with rows, and the rows as they were without it.
pub fn without_request(
    schema: &Schema,
    batches: Vec<RecordBatch>,
) -> Result<(Option<String>, SchemaRef, Vec<RecordBatch>)> {
    let mut metadata = schema.metadata().clone();
    let request = metadata.remove(REQUEST_KEY);
    let schema = Arc::new(Schema::new_with_metadata(schema.fields().clone(), metadata));
    let plain = |batch: RecordBatch| {
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        let columns = batch.columns().to_vec();
        RecordBatch::try_new_with_options(Arc::clone(&schema), columns, &options)
    };
    let batches = batches.into_iter().map(plain);
    let batches = batches.collect::<Result<Vec<_>, _>>()?;
    Ok((request, schema, batches))
}

#[cfg(test)]
mod tests {
    use arrow::compute::concat_batches;
    use twinfold_testkit::{all_types_group, bench_rows, rows, weather_group};

    use super::*;

    fn encoded(batches: &[RecordBatch]) -> Vec<Bytes> {
        let mut encoder = Encoder::new(batches[0].schema_ref()).expect("encoder");
        let mut chunks: Vec<Bytes> = batches
            .iter()
            .map(|batch| encoder.encode(batch).expect("encode"))
            .collect();
        chunks.push(encoder.finish().expect("finish"));
        chunks
    }

    /// The batches of a stream, or why it cannot be read.
    fn read(chunks: impl IntoIterator<Item = Bytes>) -> Result<Vec<RecordBatch>> {
        let mut decoder = Decoder::new();
        let mut batches = Vec::new();
        for chunk in chunks {
            decoder.decode(chunk, &mut batches)?;
        }
        decoder.finish()?;
        Ok(batches)
    }

    #[test]
    fn slices_of_every_type_read_back() {
        let batch = rows(&all_types_group(), 1, 60);
        let batches = [batch.slice(0, 7), batch.slice(7, 0), batch.slice(7, 53)];
        assert_eq!(read(encoded(&batches)).expect("complete"), batches);
    }

    #[test]
    fn a_large_batch_goes_in_pieces() {
        let batch = bench_rows(0, 2 * MESSAGE_ROWS_MAX + 1, 0);
        let batches: Vec<RecordBatch> = pieces(batch.clone()).collect();
        assert_eq!(batches.len(), 3);
        let read = read(encoded(&batches)).expect("complete");
        assert_eq!(
            concat_batches(&batch.schema(), &read).expect("one schema"),
            batch
        );
        assert_eq!(pieces(batch.slice(0, 0)).count(), 0);
    }

    #[test]
    fn a_stream_without_batches_has_its_schema() {
        let schema = rows(&all_types_group(), 1, 1).schema();
        let end = Encoder::new(&schema).expect("encoder").finish();
        let mut decoder = Decoder::new();
        let chunk = end.expect("finish");
        decoder.decode(chunk, &mut Vec::new()).expect("decode");
        assert_eq!(decoder.finish().expect("complete"), schema);
        assert!(Decoder::new().finish().is_err());
    }

    #[test]
    fn a_stream_that_is_cut_anywhere_is_told_from_a_complete_one() {
        let group = weather_group();
        let batches = [rows(&group, 1, 3), rows(&group, 2, 2)];
        let chunks = encoded(&batches);
        // Between two messages Arrow itself would not notice.
        for kept in 0..chunks.len() {
            assert!(read(chunks[..kept].to_vec()).is_err(), "{kept} chunks");
        }
        let stream: Vec<u8> = chunks.iter().flatten().copied().collect();
        let stream = Bytes::from(stream);
        for cut in 0..stream.len() {
            assert!(read([stream.slice(..cut)]).is_err(), "cut at {cut}");
        }
        let bytes = (0..stream.len()).map(|at| stream.slice(at..=at));
        assert_eq!(read(bytes).expect("complete"), batches);
        let more = Bytes::from_static(b"more");
        assert!(read([stream, more]).is_err(), "bytes behind the end");
    }

    #[test]
    fn columns_that_are_not_those_of_the_schema_are_refused() {
        let batch = rows(&all_types_group(), 1, 1);
        let reordered: Vec<usize> = (0..batch.num_columns()).rev().collect();
        let reordered = batch.project(&reordered).expect("columns");
        let mut encoder = Encoder::new(batch.schema_ref()).expect("encoder");
        let error = encoder.encode(&reordered).expect_err("other columns");
        assert!(matches!(error, Error::NotCanonical { .. }), "{error}");
    }

    #[test]
    fn a_request_travels_beside_rows() {
        let batch = rows(&all_types_group(), 1, 4);
        let schema = with_request(batch.schema_ref(), "{}".to_owned());
        let mut encoder = Encoder::new(&schema).expect("encoder");
        let chunks = [
            encoder.encode(&batch).expect("encode"),
            encoder.finish().expect("finish"),
        ];
        let mut decoder = Decoder::new();
        let mut batches = Vec::new();
        for chunk in chunks {
            decoder.decode(chunk, &mut batches).expect("decode");
        }
        let schema = decoder.finish().expect("complete");
        let (request, schema, batches) = without_request(&schema, batches).expect("plain");
        assert_eq!(request.as_deref(), Some("{}"));
        assert_eq!((schema, batches), (batch.schema(), vec![batch]));
    }
}
