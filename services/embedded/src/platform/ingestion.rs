use std::time::Duration;

use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::watch;
use twinfold_client::{
    Error, GroupDefinition, IngestProgress, Ingestion, OnProgress, Receipt, Result, WaitTarget,
    new_ingestion_id,
};
use twinfold_ingest::{Status, Statuses};
use twinfold_model::{EventTime, FeatureGroupId, Offset, PartitionId, Position, QuarantinedRecord};
use twinfold_store_topic::{Append, NewRecord};
use twinfold_wire::record::Headers;

use super::EmbeddedPlatform;
use crate::failure::{registry_failed, topic_failed};

/// Quarantined records are read and replayed in pages of this many.
const QUARANTINE_PAGE_ROWS: usize = 1_000;

#[async_trait]
impl Ingestion for EmbeddedPlatform {
    async fn insert(
        &self,
        group: &FeatureGroupId,
        rows: Vec<RecordBatch>,
        on_progress: OnProgress<'_>,
    ) -> Result<Receipt> {
        self.check_open()?;
        self.writer
            .insert(group, rows, self.now(), on_progress)
            .await
    }

    async fn delete(
        &self,
        group: &FeatureGroupId,
        keys: Vec<RecordBatch>,
        at: Option<EventTime>,
    ) -> Result<Receipt> {
        self.check_open()?;
        let at = at.unwrap_or_else(|| self.now());
        self.writer.delete(group, keys, at).await
    }

    async fn wait(&self, receipt: &Receipt, target: WaitTarget, timeout: Duration) -> Result<()> {
        self.check_open()?;
        let definition = self.definition(&receipt.group).await?;
        let mut stores = Vec::new();
        if target.online && definition.group.online_enabled() {
            stores.push(("online", &self.online_statuses));
        }
        if target.offline {
            stores.push(("offline", &self.offline_statuses));
        }
        let passed = async {
            for (_, statuses) in &stores {
                self.wait_for(statuses, receipt).await?;
            }
            Ok::<(), Error>(())
        };
        match tokio::time::timeout(timeout, passed).await {
            Ok(passed) => passed?,
            Err(_) => return Err(timed_out(&stores, receipt, timeout)),
        }
        let records = self.quarantined_of(receipt).await?;
        if records.is_empty() {
            Ok(())
        } else {
            Err(Error::Quarantined {
                group: receipt.group.clone(),
                records,
            })
        }
    }

    async fn progress(&self, group: &FeatureGroupId) -> Result<IngestProgress> {
        self.check_open()?;
        let definition = self.definition(group).await?;
        let bounds = self.topics.bounds(&definition.resource).await;
        let bounds = bounds.map_err(topic_failed)?;
        let now_at = |status: watch::Receiver<Status>| status.borrow().positions.clone();
        let online = definition.group.online_enabled();
        Ok(IngestProgress {
            topic: bounds
                .iter()
                .map(|bound| (bound.partition, bound.next))
                .collect(),
            online: online.then(|| now_at(self.online_statuses.watch(group))),
            offline: now_at(self.offline_statuses.watch(group)),
        })
    }

    async fn quarantined(
        &self,
        group: &FeatureGroupId,
        after: Option<Position>,
        limit: usize,
    ) -> Result<Vec<QuarantinedRecord>> {
        self.check_open()?;
        self.definition(group).await?;
        let records = self.registry.quarantined(group, after, limit).await;
        records.map_err(registry_failed)
    }

    async fn replay(&self, group: &FeatureGroupId, positions: &[Position]) -> Result<Receipt> {
        self.check_open()?;
        let _one_at_a_time = self.replaying.lock().await;
        let definition = self.definition(group).await?;
        // Of its own, so that its receipt answers for these records and no others.
        let ingestion_id = new_ingestion_id();
        let mut receipt = Receipt::new(group.clone(), definition.resource.clone(), ingestion_id);
        let mut after = None;
        loop {
            let page = self.quarantined(group, after, QUARANTINE_PAGE_ROWS).await?;
            let Some(last) = page.last() else {
                return Ok(receipt);
            };
            after = Some(last.position);
            let chosen: Vec<QuarantinedRecord> = page
                .into_iter()
                .filter(|record| match positions {
                    [] => Headers::decode(&record.headers).is_ok(),
                    named => named.contains(&record.position),
                })
                // What this replay itself brought back is left for the next one.
                .filter(|record| {
                    receipt
                        .start
                        .get(record.position.partition)
                        .is_none_or(|start| record.position.offset < start)
                })
                .collect();
            self.replay_page(&definition, &chosen, &mut receipt).await?;
        }
    }
}

impl EmbeddedPlatform {
    async fn wait_for(&self, statuses: &Statuses, receipt: &Receipt) -> Result<()> {
        let covered = |status: &Status| status.positions.covers(&receipt.end);
        loop {
            self.check_life(receipt).await?;
            let mut status = statuses.watch(&receipt.group);
            if status.wait_for(covered).await.is_ok() {
                // The loop of another life may be the one that has come as far.
                return self.check_life(receipt).await;
            }
            // Its loop was forgotten: the group is gone, or was made again.
        }
    }

    /// The group that took the rows in must still be there.
    async fn check_life(&self, receipt: &Receipt) -> Result<()> {
        let definition = self.definition(&receipt.group).await?;
        if definition.resource == receipt.resource {
            return Ok(());
        }
        Err(Error::NotFound {
            what: "ingestion".into(),
            name: receipt.ingestion_id(),
            hint: format!(
                "; feature group {} was deleted and created again since",
                receipt.group
            ),
        })
    }

    async fn replay_page(
        &self,
        definition: &GroupDefinition,
        records: &[QuarantinedRecord],
        receipt: &mut Receipt,
    ) -> Result<()> {
        if records.is_empty() {
            return Ok(());
        }
        let topic = &definition.resource;
        let appends = records
            .iter()
            .map(|record| as_append(record, receipt.ingestion_id))
            .collect::<Result<Vec<_>>>()?;
        let appended = self.topics.append(topic, appends).await;
        let appended = appended.map_err(topic_failed)?;
        let synced = self.topics.sync(topic).await;
        synced.map_err(topic_failed)?;
        for block in appended {
            receipt.note(&block);
        }
        // Marked only after the log has them: a crash in between replays a record twice, which both
        // stores bear, instead of losing it.
        let positions: Vec<Position> = records.iter().map(|record| record.position).collect();
        let marked = self
            .registry
            .mark_replayed(definition.group.id(), &positions)
            .await;
        marked.map_err(registry_failed)
    }

    /// The quarantined records of one ingestion, at most a page of them: each holds its bytes.
    async fn quarantined_of(&self, receipt: &Receipt) -> Result<Vec<QuarantinedRecord>> {
        let mut found = Vec::new();
        for (partition, end) in receipt.end.iter() {
            let start = receipt.start.get(partition).unwrap_or(Offset::ZERO);
            let mut after = before(partition, start);
            'pages: loop {
                let page = self
                    .quarantined(&receipt.group, after, QUARANTINE_PAGE_ROWS)
                    .await?;
                let full = page.len() == QUARANTINE_PAGE_ROWS;
                for record in page {
                    if record.position.partition != partition || record.position.offset >= end {
                        break 'pages;
                    }
                    after = Some(record.position);
                    if belongs_to(&record, receipt) {
                        found.push(record);
                    }
                    if found.len() == QUARANTINE_PAGE_ROWS {
                        return Ok(found);
                    }
                }
                if !full {
                    break;
                }
            }
        }
        Ok(found)
    }
}

/// The position after which a listing starts with `start`; `None` is the beginning of all.
fn before(partition: PartitionId, start: Offset) -> Option<Position> {
    match (start.0.checked_sub(1), partition.0.checked_sub(1)) {
        (Some(offset), _) => Some(Position {
            partition,
            offset: Offset(offset),
        }),
        (None, Some(previous)) => Some(Position {
            partition: PartitionId(previous),
            offset: Offset(i64::MAX as u64),
        }),
        (None, None) => None,
    }
}

fn belongs_to(record: &QuarantinedRecord, receipt: &Receipt) -> bool {
    let headers = Headers::decode(&record.headers);
    headers.is_ok_and(|headers| headers.ingestion_id == Some(receipt.ingestion_id))
}

/// The record as it was, under another ingestion id.
fn as_append(record: &QuarantinedRecord, ingestion_id: [u8; 16]) -> Result<Append> {
    // Not kept when they could not be read: whether it was a row or a delete is not known.
    let headers = Headers::decode(&record.headers).map_err(|_| {
        Error::Invalid(twinfold_model::Error::NotReplayable {
            position: record.position.to_string(),
            reason: record.reason.clone(),
        })
    })?;
    Ok(Append {
        partition: record.position.partition,
        headers: Headers {
            ingestion_id: Some(ingestion_id),
            ..headers
        },
        records: vec![NewRecord {
            key: Bytes::from(record.key.clone()),
            value: Bytes::from(record.value.clone()),
        }],
    })
}

fn timed_out(stores: &[(&'static str, &Statuses)], receipt: &Receipt, timeout: Duration) -> Error {
    let mut state = Vec::new();
    for (store, statuses) in stores {
        let status = statuses.watch(&receipt.group);
        let status = status.borrow();
        let behind = receipt
            .end
            .iter()
            .filter(|(partition, end)| status.positions.get(*partition) < Some(*end))
            .count();
        let failing = status
            .failing
            .as_deref()
            .map_or_else(String::new, |reason| format!(" ({reason})"));
        state.push(format!(
            "{store} is behind in {behind} of {} partitions{failing}",
            receipt.end.iter().count()
        ));
    }
    Error::Timeout {
        action: "waiting for the stores".into(),
        seconds: timeout.as_secs_f64(),
        state: state.join(", "),
    }
}
