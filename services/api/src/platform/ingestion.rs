use std::sync::Arc;
use std::time::Duration;

use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use twinfold_client::{
    Error, GroupDefinition, IngestProgress, Ingestion, OnProgress, Receipt, Result, WaitTarget,
    ends,
};
use twinfold_model::{EventTime, FeatureGroupId, Offset, PartitionId, Position, QuarantinedRecord};
use twinfold_wire::record::Headers;
use twinfold_wire::rest::PAGE_ITEMS_MAX;

use super::{Parts, Reached, StorePlatform, StoreProgress};

/// Of the quarantined records that a wait fails with.
const FAILURE_BYTES_MAX: usize = 16 << 20;

#[async_trait]
impl Ingestion for StorePlatform {
    async fn insert_at(
        &self,
        group: &FeatureGroupId,
        rows: Vec<RecordBatch>,
        at: Option<EventTime>,
        on_progress: OnProgress<'_>,
    ) -> Result<Receipt> {
        self.check_open()?;
        let at = at.unwrap_or_else(|| self.now());
        self.writer.insert(group, rows, at, on_progress).await
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
            stores.push(("online", self.parts.online_progress.as_ref()));
        }
        if target.offline {
            stores.push(("offline", self.parts.offline_progress.as_ref()));
        }
        let passed = async {
            for (_, progress) in &stores {
                self.wait_for(*progress, receipt).await?;
            }
            Ok::<(), Error>(())
        };
        match tokio::time::timeout(timeout, passed).await {
            Ok(passed) => passed?,
            Err(_) => return Err(timed_out(&stores, &definition, receipt, timeout).await),
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
        let Parts {
            topics,
            online_progress,
            offline_progress,
            ..
        } = &self.parts;
        let online = if definition.group.online_enabled() {
            Some(online_progress.reached(&definition).await?.positions)
        } else {
            None
        };
        Ok(IngestProgress {
            topic: ends(topics.as_ref(), &definition.resource).await?,
            online,
            offline: offline_progress.reached(&definition).await?.positions,
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
        self.control_plane().quarantined(group, after, limit).await
    }

    async fn replay(&self, group: &FeatureGroupId, positions: &[Position]) -> Result<Receipt> {
        self.check_open()?;
        self.replay_quarantined(group, positions).await
    }
}

impl StorePlatform {
    async fn wait_for(&self, progress: &dyn StoreProgress, receipt: &Receipt) -> Result<()> {
        loop {
            let definition = self.living(receipt).await?;
            if progress.has_passed(&definition, &receipt.end).await? {
                // Another life of the group may be the one that has come as far.
                return self.living(receipt).await.map(drop);
            }
        }
    }

    /// The group that took the rows in, which must still be there.
    async fn living(&self, receipt: &Receipt) -> Result<Arc<GroupDefinition>> {
        let definition = self.definition(&receipt.group).await?;
        require_life(receipt, &definition.resource)?;
        Ok(definition)
    }

    /// The quarantined records of one ingestion, about a page of them at most: each holds its bytes.
    async fn quarantined_of(&self, receipt: &Receipt) -> Result<Vec<QuarantinedRecord>> {
        let (mut found, mut bytes) = (Vec::new(), 0);
        for (partition, end) in receipt.end.iter() {
            let start = receipt.start.get(partition).unwrap_or(Offset::ZERO);
            let mut after = before(partition, start);
            'pages: loop {
                let page = self
                    .quarantined(&receipt.group, after, PAGE_ITEMS_MAX)
                    .await?;
                if page.is_empty() {
                    break;
                }
                for record in page {
                    if record.position.partition != partition || record.position.offset >= end {
                        break 'pages;
                    }
                    after = Some(record.position);
                    if belongs_to(&record, receipt) {
                        bytes += record.key.len() + record.value.len() + record.headers.len();
                        found.push(record);
                    }
                    if found.len() == PAGE_ITEMS_MAX || bytes >= FAILURE_BYTES_MAX {
                        return Ok(found);
                    }
                }
            }
        }
        Ok(found)
    }
}

/// That what was found is of the life of the group that the receipt's rows were taken in by.
pub(super) fn require_life(receipt: &Receipt, found: &str) -> Result<()> {
    if found == receipt.resource {
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

async fn timed_out(
    stores: &[(&'static str, &dyn StoreProgress)],
    definition: &GroupDefinition,
    receipt: &Receipt,
    timeout: Duration,
) -> Error {
    let mut state = Vec::new();
    for (store, progress) in stores {
        let reached = match progress.reached(definition).await {
            Ok(reached) => reached,
            Err(error) => Reached {
                failing: Some(error.to_string()),
                ..Reached::default()
            },
        };
        let behind = receipt
            .end
            .iter()
            .filter(|(partition, end)| reached.positions.get(*partition) < Some(*end))
            .count();
        let failing = reached
            .failing
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
