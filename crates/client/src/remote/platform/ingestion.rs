use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::Schema;
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use reqwest::{Method, RequestBuilder};
use twinfold_model::{EventTime, FeatureGroupId, Position, QuarantinedRecord};
use twinfold_wire::rest::{
    PositionBody, ProgressBody, QuarantinedRecordBody, ReceiptBody, WaitBody,
};

use super::{RemotePlatform, path};
use crate::remote::arrow_stream::{self, Outgoing};
use crate::remote::http::REQUEST_TIMEOUT;
use crate::{Error, IngestProgress, Ingestion, OnProgress, Receipt, Result, WaitTarget};

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

    /// In several requests: proxies cut those that are silent for long.
    async fn wait(&self, receipt: &Receipt, target: WaitTarget, timeout: Duration) -> Result<()> {
        let slice_max = Duration::from_millis(self.limits.wait_ms_max.max(1));
        let mut left = timeout;
        loop {
            let slice = left.min(slice_max);
            match self.wait_once(receipt, target, slice).await {
                Err(Error::Timeout { action, state, .. }) => {
                    left -= slice;
                    if left.is_zero() {
                        let seconds = timeout.as_secs_f64();
                        return Err(Error::Timeout {
                            action,
                            seconds,
                            state,
                        });
                    }
                }
                outcome => return outcome,
            }
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
        let request = service.request(Method::GET, &path::group(group, "quarantine"));
        let mut request = request.query(&[("limit", limit)]);
        if let Some(after) = after {
            request = request.query(&[
                ("after_partition", u64::from(after.partition.0)),
                ("after_offset", after.offset.0),
            ]);
        }
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
        let request = service.request(Method::POST, &path::below("receipts/wait"));
        let patience = timeout.saturating_add(REQUEST_TIMEOUT);
        let answer = service.answer(request.json(&body).timeout(patience)).await;
        answer.map(drop)
    }
}

/// Rounded up, or a wait for less than one would be no wait at all.
fn millis(duration: Duration) -> u64 {
    let millis = duration.as_nanos().div_ceil(1_000_000);
    u64::try_from(millis).unwrap_or(u64::MAX)
}
