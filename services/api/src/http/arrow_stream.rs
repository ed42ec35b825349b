//! Rows in and out of the server.

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use axum::body::{Body, Bytes};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use futures::stream::{self, BoxStream};
use futures::{Stream, StreamExt, TryStreamExt};
use tracing::error;
use twinfold_client::{BatchStream, Error, Result};
use twinfold_http_kit::extract::collect;
use twinfold_http_kit::{Failure, Room};
use twinfold_wire::arrow_stream::{self, Decoder, Encoder};

/// All rows of a body, with their columns.
pub(super) struct Rows {
    pub(super) schema: SchemaRef,
    pub(super) batches: Vec<RecordBatch>,
    /// To be kept for as long as the batches.
    pub(super) room: Room,
}

/// Takes in a body of rows, all of it: one that was cut off is refused.
pub(super) async fn rows(body: Body, bytes_max: u64, mut room: Room) -> Result<Rows, Failure> {
    let take = |chunk: &Bytes| room.grow(chunk.len());
    let chunks = collect(body, "a body of rows", bytes_max, take).await?;
    // Not on the threads that answer: there may be much of it, and bytes of others may make Arrow panic.
    // The room goes with them: when the caller goes, the bytes are there until they are decoded.
    let decoding = tokio::task::spawn_blocking(move || (decode(chunks), room)).await;
    match decoding {
        Ok((Ok((schema, batches)), room)) => Ok(Rows {
            schema,
            batches,
            room,
        }),
        Ok((Err(error), _)) => Err(unreadable(&error.to_string())),
        Err(_) => Err(unreadable("bytes that no Arrow writer makes")),
    }
}

fn decode(chunks: Vec<Bytes>) -> Result<(SchemaRef, Vec<RecordBatch>), twinfold_wire::Error> {
    let mut decoder = Decoder::new();
    let mut batches = Vec::new();
    for chunk in chunks {
        decoder.decode(chunk, &mut batches)?;
    }
    let schema = decoder.finish()?;
    Ok((schema, batches))
}

fn unreadable(found: &str) -> Failure {
    Failure::from(twinfold_model::Error::TypeMismatch {
        feature: "dataframe".to_owned(),
        found: found.to_owned(),
        wanted: "an Arrow IPC stream without compression".to_owned(),
        row: None,
    })
}

/// Answers with rows as they come. What fails before the first batch is a failure like any other; what
/// fails later breaks the connection, because the status was said and fewer rows must not pass for all.
pub(super) async fn answer(rows: BatchStream) -> Result<Response, Failure> {
    let BatchStream {
        schema,
        mut batches,
    } = rows;
    let encoder = Encoder::new(&schema).map_err(unwritable)?;
    let first = batches.next().await.transpose()?;
    let batches = stream::iter(first.map(Ok)).chain(batches).boxed();
    let body = Body::from_stream(chunks(encoder, pieces(batches)));
    Ok(([(CONTENT_TYPE, arrow_stream::CONTENT_TYPE)], body).into_response())
}

/// Large batches in parts, so that little is held at a time.
fn pieces(
    batches: BoxStream<'static, Result<RecordBatch>>,
) -> BoxStream<'static, Result<RecordBatch>> {
    let pieces = |batch: RecordBatch| stream::iter(arrow_stream::pieces(batch).map(Ok::<_, Error>));
    batches.map_ok(pieces).try_flatten().boxed()
}

/// The bytes of a stream; its end is marked only when there was no error.
fn chunks(
    encoder: Encoder,
    batches: BoxStream<'static, Result<RecordBatch>>,
) -> impl Stream<Item = Result<Bytes>> + Send {
    stream::unfold(Some((encoder, batches)), |state| async move {
        let (mut encoder, mut batches) = state?;
        let (chunk, rest) = match batches.next().await {
            Some(Ok(batch)) => (
                encoder.encode(&batch).map_err(unwritable),
                Some((encoder, batches)),
            ),
            Some(Err(error)) => (Err(error), None),
            None => (encoder.finish().map_err(unwritable), None),
        };
        if let Err(error) = &chunk {
            error!(%error, "rows were cut off on their way to a caller");
        }
        Some((chunk, rest))
    })
}

fn unwritable(error: twinfold_wire::Error) -> Error {
    Error::Internal(format!(
        "rows cannot be written as an Arrow stream: {error}"
    ))
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;
    use axum::http::StatusCode;
    use twinfold_testkit::{bench_rows, rows as some_rows, weather_group};

    use super::super::HttpLimits;
    use super::*;

    const BYTES_MAX: usize = 64 << 20;

    fn room() -> Room {
        HttpLimits::default().rows().room()
    }

    fn some_stream(batches: Vec<Result<RecordBatch>>) -> BatchStream {
        BatchStream {
            schema: some_rows(&weather_group(), 1, 1).schema(),
            batches: stream::iter(batches).boxed(),
        }
    }

    fn weather(seed: u64) -> Result<RecordBatch> {
        Ok(some_rows(&weather_group(), seed, 3))
    }

    fn damaged() -> Result<RecordBatch> {
        Err(Error::dependency("history", false, "damaged"))
    }

    #[tokio::test]
    async fn what_is_answered_can_be_taken_in() {
        let given: Vec<_> = [1, 2].map(|seed| weather(seed).expect("rows")).into();
        for batches in [Vec::new(), given] {
            let answered = answer(some_stream(batches.iter().cloned().map(Ok).collect())).await;
            let body = answered.expect("rows").into_body();
            let taken = rows(body, BYTES_MAX as u64, room())
                .await
                .expect("complete");
            assert_eq!(taken.schema, some_stream(Vec::new()).schema);
            assert_eq!(taken.batches, batches);
        }
    }

    #[tokio::test]
    async fn a_failure_before_the_first_batch_has_a_status() {
        let failure = answer(some_stream(vec![damaged()]))
            .await
            .expect_err("damaged");
        let response = failure.into_response();
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    }

    #[tokio::test]
    async fn a_failure_later_breaks_the_body() {
        let batches = vec![weather(1), damaged(), weather(2)];
        let answered = answer(some_stream(batches)).await.expect("a first batch");
        assert!(to_bytes(answered.into_body(), BYTES_MAX).await.is_err());
    }

    #[tokio::test]
    async fn a_body_that_is_no_whole_stream_is_refused() {
        let large = bench_rows(0, 20_000, 0);
        let whole = BatchStream {
            schema: large.schema(),
            batches: stream::iter([Ok(large)]).boxed(),
        };
        let whole = answer(whole).await.expect("rows").into_body();
        let whole = to_bytes(whole, BYTES_MAX).await.expect("whole");
        let cut = whole.slice(..whole.len() - 8);
        for bytes in [Bytes::new(), Bytes::from_static(b"id,temp\n1,2\n"), cut] {
            let refused = rows(Body::from(bytes), BYTES_MAX as u64, room()).await;
            assert!(refused.is_err());
        }
    }
}
