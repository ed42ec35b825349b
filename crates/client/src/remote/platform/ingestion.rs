use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::Schema;
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use reqwest::{Method, RequestBuilder};
use tracing::debug;
use twinfold_model::{EventTime, FeatureGroupId, Position, QuarantinedRecord};
use twinfold_service_kit::Deadline;
use twinfold_wire::rest::{
    PositionBody, ProgressBody, QuarantinedRecordBody, ReceiptBody, WaitBody,
};

use super::{RemotePlatform, path};
use crate::remote::arrow_stream::{self, Outgoing};
use crate::remote::http::REQUEST_TIMEOUT;
use crate::remote::quarantine;
use crate::{Error, IngestProgress, Ingestion, OnProgress, Receipt, Result, WaitTarget};

/// Between questions while the platform does not answer.
const PAUSE: Duration = Duration::from_millis(500);
/// How much later than asked for the last answer may come.
const ANSWER_PATIENCE: Duration = Duration::from_secs(5);

#[async_trait]
impl Ingestion for RemotePlatform {
    /// In one request, because either all rows pass the check or none is taken in. `on_progress` hears
    /// of them when all are in the topic.
    async fn insert(
        &self,
        group: &FeatureGroupId,
        rows: Vec<RecordBatch>,
        on_progress: OnProgress<'_>,
    ) -> Result<Receipt> {
        if let Some(direct) = &self.direct {
            let definition = self.writable(group).await?;
            let writer = &direct.writer;
            return writer
                .insert(&definition, rows, direct.now(), on_progress)
                .await;
        }
        let path = path::group(group, "rows");
        let request = self.service()?.long_request(Method::POST, &path);
        let receipt = self.send_rows("an insert", request, rows).await?;
        on_progress(receipt.rows);
        Ok(receipt)
    }

    async fn delete(
        &self,
        group: &FeatureGroupId,
        keys: Vec<RecordBatch>,
        at: Option<EventTime>,
    ) -> Result<Receipt> {
        if let Some(direct) = &self.direct {
            let definition = self.writable(group).await?;
            let at = at.unwrap_or_else(|| direct.now());
            return direct.writer.delete(&definition, keys, at).await;
        }
        let path = path::group(group, "deletions");
        let request = self.service()?.long_request(Method::POST, &path);
        let request = match at {
            None => request,
            Some(at) => request.query(&[("at_us", at.micros())]),
        };
        self.send_rows("a delete", request, keys).await
    }

    /// In several requests: proxies cut those that are silent for long. A platform that does not answer is
    /// asked again, as one in this process goes on when its stores come back.
    async fn wait(&self, receipt: &Receipt, target: WaitTarget, timeout: Duration) -> Result<()> {
        let mut heard = Heard::default();
        let asking = self.wait_in_slices(receipt, target, timeout, &mut heard);
        // What was asked last is answered when the time is over, or a little later.
        let bound = timeout.saturating_add(ANSWER_PATIENCE);
        let asked = tokio::time::timeout(bound, asking).await;
        match asked {
            Ok(Some(outcome)) => outcome,
            Ok(None) | Err(_) => Err(Error::Timeout {
                action: "waiting for the stores".into(),
                seconds: timeout.as_secs_f64(),
                state: heard.text(),
            }),
        }
    }

    async fn progress(&self, group: &FeatureGroupId) -> Result<IngestProgress> {
        let path = path::group(group, "progress");
        let body: ProgressBody = self.service()?.get(&path).await?;
        Ok(body.into())
    }

    async fn quarantined(
        &self,
        group: &FeatureGroupId,
        after: Option<Position>,
        limit: usize,
    ) -> Result<Vec<QuarantinedRecord>> {
        let service = self.service()?;
        let request = quarantine::page(service, group, after, limit);
        let bodies: Vec<QuarantinedRecordBody> = service.read(request).await?;
        let records = bodies.into_iter().map(QuarantinedRecord::try_from);
        Ok(records.collect::<Result<_, _>>()?)
    }

    async fn replay(&self, group: &FeatureGroupId, positions: &[Position]) -> Result<Receipt> {
        let bodies: Vec<_> = positions.iter().copied().map(PositionBody::from).collect();
        let service = self.service()?;
        let path = path::group(group, "replays");
        let request = service.long_request(Method::POST, &path).json(&bodies);
        let body: ReceiptBody = service.read(request).await?;
        Ok(body.try_into()?)
    }
}

impl RemotePlatform {
    async fn send_rows(
        &self,
        what: &'static str,
        request: RequestBuilder,
        batches: Vec<RecordBatch>,
    ) -> Result<Receipt> {
        // Rows without batches have no columns either.
        let schema = batches
            .first()
            .map_or_else(|| Arc::new(Schema::empty()), RecordBatch::schema);
        let rows = Outgoing {
            what,
            schema,
            batches,
            bytes_max: self.limits.rows_bytes_max,
        };
        let service = self.service()?;
        let answer = arrow_stream::send(service, request, rows).await?;
        let body: ReceiptBody = service.body(answer).await?;
        Ok(body.try_into()?)
    }

    /// `None` when the time is over: what counts is the time that went by, not what was asked for.
    async fn wait_in_slices(
        &self,
        receipt: &Receipt,
        target: WaitTarget,
        timeout: Duration,
        heard: &mut Heard,
    ) -> Option<Result<()>> {
        let slice_max = Duration::from_millis(self.limits.wait_ms_max.max(1));
        let deadline = Deadline::after(timeout);
        let mut left = timeout;
        loop {
            match self.wait_once(receipt, target, left.min(slice_max)).await {
                Err(Error::Timeout { state, .. }) => {
                    *heard = Heard {
                        state: Some(state),
                        failing: None,
                    };
                }
                Err(error) if error.retry() => {
                    debug!(%error, "the platform does not answer a wait");
                    heard.failing = Some(error.to_string());
                    tokio::time::sleep(PAUSE.min(left)).await;
                }
                outcome => return Some(outcome),
            }
            left = deadline.left();
            if left.is_zero() {
                return None;
            }
        }
    }

    async fn wait_once(
        &self,
        receipt: &Receipt,
        target: WaitTarget,
        timeout: Duration,
    ) -> Result<()> {
        let body = WaitBody {
            receipt: receipt.into(),
            online: target.online,
            offline: target.offline,
            timeout_ms: millis(timeout),
        };
        let service = self.service()?;
        let request = service.request(Method::POST, "/receipts/wait");
        let patience = timeout.saturating_add(REQUEST_TIMEOUT);
        let answer = service.answer(request.json(&body).timeout(patience)).await;
        answer.map(drop)
    }
}

/// What the platform said while it was waited for.
#[derive(Debug, Default)]
struct Heard {
    /// How far the stores were.
    state: Option<String>,
    /// Why the last question has no answer.
    failing: Option<String>,
}

impl Heard {
    fn text(self) -> String {
        let parts = [self.state, self.failing].into_iter().flatten();
        let text = parts.collect::<Vec<_>>().join(", then ");
        if text.is_empty() {
            return "the platform has not answered".to_owned();
        }
        text
    }
}

/// Rounded up, or a wait for less than one would be no wait at all.
fn millis(duration: Duration) -> u64 {
    let millis = duration.as_nanos().div_ceil(1_000_000);
    u64::try_from(millis).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::task::JoinHandle;
    use twinfold_wire::rest::{ErrorBody, LimitsBody, PlatformBody};

    use super::*;

    const BOTH: WaitTarget = WaitTarget {
        online: true,
        offline: true,
    };

    /// A platform that answers with these, one after the other; it breaks the connection where there is none.
    async fn platform(answers: Vec<Option<(u16, String)>>) -> (RemotePlatform, JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its address");
        let limits = LimitsBody {
            rows_bytes_max: 1,
            entries_max: 1,
            wait_ms_max: 1,
        };
        let root = PlatformBody {
            project: "default".to_owned(),
            partitions_default: 1,
            limits,
        };
        let root = serde_json::to_string(&root).expect("serializable");
        let serving = tokio::spawn(async move {
            for answer in [vec![Some((200, root))], answers].concat() {
                let (stream, _) = listener.accept().await.expect("asked");
                if let Some((status, body)) = answer {
                    serve_one(stream, status, &body).await;
                }
            }
        });
        let url = format!("http://{address}");
        let platform = RemotePlatform::connect(&url).await.expect("it answers");
        (platform, serving)
    }

    async fn serve_one(stream: TcpStream, status: u16, body: &str) {
        let mut stream = BufReader::new(stream);
        let (mut line, mut length) = (String::new(), 0);
        while line != "\r\n" {
            line.clear();
            stream.read_line(&mut line).await.expect("a request");
            let header = line.to_ascii_lowercase();
            if let Some(found) = header.strip_prefix("content-length:") {
                length = found.trim().parse().expect("a number");
            }
        }
        let mut asked = vec![0; length];
        stream.read_exact(&mut asked).await.expect("a body");
        let length = body.len();
        let head = format!(
            "HTTP/1.1 {status} Said\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n"
        );
        let answer = [head.as_bytes(), body.as_bytes()].concat();
        stream.write_all(&answer).await.expect("heard");
        stream.shutdown().await.expect("heard");
    }

    fn said(status: u16, error: &Error) -> Option<(u16, String)> {
        let body = serde_json::to_string(&ErrorBody::from(error)).expect("serializable");
        Some((status, body))
    }

    fn behind(state: &str) -> Error {
        Error::Timeout {
            action: "waiting for the stores".into(),
            seconds: 0.001,
            state: state.to_owned(),
        }
    }

    fn receipt() -> Receipt {
        let group = FeatureGroupId::new("default", "weather", 1).expect("valid");
        let resource = group.resource_name(1);
        Receipt::new(group, resource, [7; 16])
    }

    #[tokio::test]
    async fn a_wait_outlives_a_platform_that_restarts() {
        let restarting = Some((503, "<html>no backend".to_owned()));
        let answers = vec![
            said(504, &behind("online is behind")),
            None,
            restarting,
            Some((204, String::new())),
        ];
        let (platform, serving) = platform(answers).await;
        let receipt = receipt();
        let waited = platform.wait(&receipt, BOTH, Duration::from_secs(60));
        waited.await.expect("it is back");
        serving.await.expect("every answer was asked for");
    }

    #[tokio::test]
    async fn what_will_not_pass_ends_a_wait() {
        let gone = Error::NotFound {
            what: "ingestion".into(),
            name: "7".to_owned(),
            hint: String::new(),
        };
        let (platform, serving) = platform(vec![None, said(404, &gone)]).await;
        let receipt = receipt();
        let waited = platform.wait(&receipt, BOTH, Duration::from_secs(60));
        let error = waited.await.expect_err("gone");
        assert!(matches!(error, Error::NotFound { .. }), "{error}");
        serving.await.expect("every answer was asked for");
    }

    #[tokio::test]
    async fn a_wait_that_is_over_says_what_was_heard_last() {
        let (platform, serving) = platform(vec![said(504, &behind("online is behind"))]).await;
        let receipt = receipt();
        let waited = platform.wait(&receipt, BOTH, Duration::from_millis(700));
        let error = waited.await.expect_err("over");
        let Error::Timeout { seconds, state, .. } = error else {
            panic!("{error}");
        };
        assert_eq!(seconds, 0.7);
        assert!(
            state.starts_with("online is behind, then platform: "),
            "{state}"
        );
        serving.await.expect("every answer was asked for");
    }
}
