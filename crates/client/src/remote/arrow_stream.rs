//! Rows over HTTP, both ways.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use futures::stream::{self, BoxStream};
use futures::{Stream, StreamExt};
use reqwest::header::CONTENT_TYPE;
use reqwest::{Body, RequestBuilder, Response};
use twinfold_model::Error as ModelError;
use twinfold_service_kit::with_causes;
use twinfold_wire::arrow_stream::{self, Decoder, Encoder};

use super::http::Service;
use crate::{BatchStream, Error, Result};

/// Rows to send, and how much the other end takes.
pub(super) struct Outgoing {
    pub(super) what: &'static str,
    pub(super) schema: SchemaRef,
    pub(super) batches: Vec<RecordBatch>,
    pub(super) bytes_max: u64,
}

/// Sends rows as the body of a request, encoded on the way, and returns the answer.
pub(super) async fn send(
    service: &Service,
    request: RequestBuilder,
    rows: Outgoing,
) -> Result<Response> {
    let failure = Arc::new(Mutex::new(None));
    let upload = Upload::new(rows, Arc::clone(&failure))?;
    let request = request
        .header(CONTENT_TYPE, arrow_stream::CONTENT_TYPE)
        .body(Body::wrap_stream(stream::iter(upload)));
    let answer = service.answer(request).await;
    // What ended the upload says more than the broken connection does.
    let ended_by = failure
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .take();
    match ended_by {
        Some(error) => Err(error),
        None => answer,
    }
}

/// The chunks of a body of rows.
struct Upload {
    what: &'static str,
    /// `None` once the last chunk was made.
    encoder: Option<Encoder>,
    pieces: Box<dyn Iterator<Item = RecordBatch> + Send>,
    bytes: u64,
    bytes_max: u64,
    /// Why the body ended early.
    failure: Arc<Mutex<Option<Error>>>,
}

impl Upload {
    fn new(rows: Outgoing, failure: Arc<Mutex<Option<Error>>>) -> Result<Self> {
        Ok(Self {
            what: rows.what,
            encoder: Some(Encoder::new(&rows.schema).map_err(unfit)?),
            pieces: Box::new(rows.batches.into_iter().flat_map(arrow_stream::pieces)),
            bytes: 0,
            bytes_max: rows.bytes_max,
            failure,
        })
    }

    fn chunk(&mut self, mut encoder: Encoder) -> Result<Bytes> {
        let chunk = match self.pieces.next() {
            None => encoder.finish(),
            Some(piece) => {
                let chunk = encoder.encode(&piece);
                self.encoder = Some(encoder);
                chunk
            }
        };
        let chunk = chunk.map_err(unfit)?;
        self.bytes += chunk.len() as u64;
        if self.bytes > self.bytes_max {
            // The other end would say so too, but then the connection breaks before its answer is read.
            return Err(Error::TooLarge {
                what: self.what.into(),
                bytes: self.bytes,
                bytes_max: self.bytes_max,
            });
        }
        Ok(chunk)
    }
}

impl Iterator for Upload {
    type Item = io::Result<Bytes>;

    fn next(&mut self) -> Option<Self::Item> {
        let encoder = self.encoder.take()?;
        let chunk = self.chunk(encoder);
        Some(chunk.map_err(|error| {
            self.encoder = None;
            let text = error.to_string();
            *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
            io::Error::other(text)
        }))
    }
}

fn unfit(error: twinfold_wire::Error) -> Error {
    use twinfold_wire::Error as Wire;
    let (feature, found, wanted) = match error {
        Wire::NotCanonical {
            column,
            found,
            wanted,
        } => (column, found, wanted),
        other => (
            "dataframe".to_owned(),
            other.to_string(),
            "rows that an Arrow stream can hold".to_owned(),
        ),
    };
    Error::Invalid(ModelError::TypeMismatch {
        feature,
        found,
        wanted,
        row: None,
    })
}

/// The rows of an answer.
pub(super) async fn receive(what: &'static str, response: Response) -> Result<BatchStream> {
    let chunks = response.bytes_stream();
    rows_of(
        what,
        chunks.map(|chunk| chunk.map_err(|error| with_causes(&error))),
    )
    .await
}

async fn rows_of(
    what: &'static str,
    chunks: impl Stream<Item = Result<Bytes, String>> + Send + 'static,
) -> Result<BatchStream> {
    let mut incoming = Incoming {
        what,
        chunks: chunks.boxed(),
        decoder: Some(Decoder::new()),
        schema: None,
        batches: VecDeque::new(),
    };
    let schema = incoming.schema().await?;
    let batches = stream::try_unfold(incoming, |mut incoming| async move {
        let batch = incoming.next().await;
        batch.map(|batch| batch.map(|batch| (batch, incoming)))
    });
    Ok(BatchStream {
        schema,
        batches: batches.boxed(),
    })
}

/// Rows that are on their way here.
struct Incoming {
    what: &'static str,
    chunks: BoxStream<'static, Result<Bytes, String>>,
    /// `None` once the end was seen and the stream is known to be complete.
    decoder: Option<Decoder>,
    schema: Option<SchemaRef>,
    batches: VecDeque<RecordBatch>,
}

impl Incoming {
    async fn schema(&mut self) -> Result<SchemaRef> {
        loop {
            if let Some(schema) = &self.schema {
                return Ok(Arc::clone(schema));
            }
            self.advance().await?;
        }
    }

    async fn next(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            if let Some(batch) = self.batches.pop_front() {
                return Ok(Some(batch));
            }
            if self.decoder.is_none() {
                return Ok(None);
            }
            self.advance().await?;
        }
    }

    /// Takes one more chunk in, or sees that there is none and that there were all.
    async fn advance(&mut self) -> Result<()> {
        let Some(mut decoder) = self.decoder.take() else {
            return Err(self.cut_off("there is nothing more to read".to_owned()));
        };
        match self.chunks.next().await {
            Some(Ok(chunk)) => {
                let decoded = decoder.decode(chunk, &mut self.batches);
                decoded.map_err(|error| Error::dependency(self.what, false, error))?;
                self.schema = decoder.schema();
                self.decoder = Some(decoder);
            }
            Some(Err(reason)) => return Err(self.cut_off(reason)),
            None => {
                let finished = decoder.finish();
                let schema = finished.map_err(|error| self.cut_off(error.to_string()))?;
                self.schema = Some(schema);
            }
        }
        Ok(())
    }

    /// Rows are missing: never to be taken for a result with fewer rows.
    fn cut_off(&self, reason: String) -> Error {
        let text = format!("rows were cut off on their way: {reason}");
        Error::dependency(self.what, true, text)
    }
}

#[cfg(test)]
mod tests {
    use futures::TryStreamExt;
    use twinfold_testkit::{rows, weather_group};

    use super::*;

    fn batches() -> Vec<RecordBatch> {
        vec![rows(&weather_group(), 1, 4), rows(&weather_group(), 2, 3)]
    }

    fn upload(
        batches: Vec<RecordBatch>,
        bytes_max: u64,
    ) -> (Vec<io::Result<Bytes>>, Option<Error>) {
        let failure = Arc::new(Mutex::new(None));
        let outgoing = Outgoing {
            what: "an insert",
            schema: batches[0].schema(),
            batches,
            bytes_max,
        };
        let upload = Upload::new(outgoing, Arc::clone(&failure)).expect("upload");
        let chunks = upload.collect();
        let failure = failure.lock().expect("not poisoned").take();
        (chunks, failure)
    }

    fn chunks() -> Vec<Bytes> {
        let (chunks, failure) = upload(batches(), u64::MAX);
        assert!(failure.is_none(), "{failure:?}");
        let chunks = chunks.into_iter().collect::<io::Result<_>>();
        chunks.expect("chunks")
    }

    async fn read(chunks: Vec<Result<Bytes, String>>) -> Result<Vec<RecordBatch>> {
        let stream = rows_of("platform", stream::iter(chunks)).await?;
        assert_eq!(stream.schema, batches()[0].schema());
        stream.batches.try_collect().await
    }

    #[tokio::test]
    async fn what_was_sent_is_received() {
        let whole = chunks().into_iter().map(Ok).collect();
        assert_eq!(read(whole).await.expect("complete"), batches());
    }

    #[tokio::test]
    async fn rows_that_are_cut_off_are_an_error_and_no_shorter_result() {
        for kept in 0..chunks().len() {
            let mut cut: Vec<_> = chunks().into_iter().take(kept).map(Ok).collect();
            let quiet = read(cut.clone()).await.expect_err("ended early");
            cut.push(Err("connection reset".to_owned()));
            let broken = read(cut).await.expect_err("broken");
            for error in [quiet, broken] {
                assert!(error.retry(), "{error}");
                assert!(error.to_string().starts_with("platform: rows were cut off"));
            }
        }
    }

    #[test]
    fn too_many_bytes_end_an_upload_with_what_was_found_and_wanted() {
        let (chunks, failure) = upload(batches(), 100);
        assert_eq!(chunks.len(), 1);
        assert!(chunks[0].is_err());
        let Some(Error::TooLarge {
            bytes, bytes_max, ..
        }) = failure
        else {
            panic!("{failure:?}");
        };
        assert!(bytes > bytes_max);
        assert_eq!(bytes_max, 100);
    }

    #[test]
    fn batches_of_other_columns_are_refused_by_name() {
        let mut mixed = batches();
        mixed.push(mixed[0].project(&[1]).expect("a column"));
        let (_, failure) = upload(mixed, u64::MAX);
        assert!(
            matches!(
                failure,
                Some(Error::Invalid(ModelError::TypeMismatch { .. }))
            ),
            "{failure:?}"
        );
    }
}
