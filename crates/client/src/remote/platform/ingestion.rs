use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::Schema;
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use reqwest::Method;
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
    async fn insert_at(
        &self,
        group: &FeatureGroupId,
        rows: Vec<RecordBatch>,
        at: Option<EventTime>,
        on_progress: OnProgress<'_>,
    ) -> Result<Receipt> {
        let at = at.unwrap_or_else(|| self.now());
        if let Some(direct) = &self.direct {
            let definition = self.writable(group).await?;
            let writer = &direct.writer;
            return writer.insert(&definition, rows, at, on_progress).await;
        }
        let path = path::group(group, "rows");
        let receipt = self.send_rows("an insert", &path, at, rows).await?;
        on_progress(receipt.rows);
        Ok(receipt)
    }

    async fn delete(
        &self,
        group: &FeatureGroupId,
        keys: Vec<RecordBatch>,
        at: Option<EventTime>,
    ) -> Result<Receipt> {
        let at = at.unwrap_or_else(|| self.now());
        if let Some(direct) = &self.direct {
            let definition = self.writable(group).await?;
            return direct.writer.delete(&definition, keys, at).await;
        }
        let path = path::group(group, "deletions");
        self.send_rows("a delete", &path, at, keys).await
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
        path: &str,
        at: EventTime,
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
        let request = service.long_request(Method::POST, path);
        let request = request.query(&[("at_us", at.micros())]);
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
mod tests;
