//! Quarantined records on their way back into the topic.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use tracing::warn;
use twinfold_client::{
    ControlPlane, Error, GroupDefinition, Ingestion, Receipt, Result, append_failed,
    new_ingestion_id,
};
use twinfold_model::{FeatureGroupId, Position, QuarantinedRecord};
use twinfold_service_kit::TaskGroup;
use twinfold_store_topic::{Append, NewRecord};
use twinfold_wire::record::Headers;
use twinfold_wire::rest::PAGE_ITEMS_MAX;

use super::StorePlatform;
use super::ingestion::require_life;

impl StorePlatform {
    pub(super) async fn replay_quarantined(
        &self,
        group: &FeatureGroupId,
        positions: &[Position],
    ) -> Result<Receipt> {
        let definition = self.definition(group).await?;
        // Of its own, so that its receipt answers for these records and no others.
        let ingestion_id = new_ingestion_id();
        let mut receipt = Receipt::new(group.clone(), definition.resource.clone(), ingestion_id);
        let claim = Claim {
            control_plane: Arc::clone(&self.parts.control_plane),
            tasks: self.parts.tasks.clone(),
            group: group.clone(),
            replay: receipt.ingestion_id(),
            is_over: false,
        };
        let outcome = self
            .replay_pages(&definition, &claim, positions, &mut receipt)
            .await;
        claim.end().await;
        outcome.map(|()| receipt)
    }

    async fn replay_pages(
        &self,
        definition: &GroupDefinition,
        claim: &Claim,
        positions: &[Position],
        receipt: &mut Receipt,
    ) -> Result<()> {
        let group = definition.group.id();
        let mut after = None;
        loop {
            // Before the records are read: what another has replayed meanwhile is not among them.
            claim.renew().await?;
            let page = self.quarantined(group, after, PAGE_ITEMS_MAX).await?;
            let Some(last) = page.last() else {
                return Ok(());
            };
            after = Some(last.position);
            // Of a life that began meanwhile there is nothing to bring back into this topic.
            require_life(receipt, &last.resource)?;
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
            self.replay_page(definition, &chosen, receipt).await?;
        }
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
        let appended = self.parts.topics.append(topic, appends).await;
        let failed = |error| append_failed(definition, error);
        let appended = appended.map_err(failed)?;
        let synced = self.parts.topics.sync(topic).await;
        synced.map_err(failed)?;
        for block in appended {
            receipt.note(&block);
        }
        // Marked only after the log has them: a crash in between replays a record twice, which both
        // stores bear, instead of losing it.
        let positions: Vec<Position> = records.iter().map(|record| record.position).collect();
        self.control_plane()
            .mark_replayed(definition.group.id(), topic, &positions)
            .await
    }
}

/// The right to replay the group, which ends with this.
struct Claim {
    control_plane: Arc<dyn ControlPlane>,
    tasks: TaskGroup,
    group: FeatureGroupId,
    replay: String,
    is_over: bool,
}

impl Claim {
    async fn renew(&self) -> Result<()> {
        let renewed = self.control_plane.claim_replay(&self.group, &self.replay);
        renewed.await
    }

    /// So that whoever hears of this replay may begin another.
    async fn end(mut self) {
        end(self.control_plane.as_ref(), &self.group, &self.replay).await;
        self.is_over = true;
    }
}

impl Drop for Claim {
    /// Whoever asked for the replay does not wait for it any longer.
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        let control_plane = Arc::clone(&self.control_plane);
        let (group, replay) = (self.group.clone(), self.replay.clone());
        self.tasks.spawn("end of a replay", |_| async move {
            end(control_plane.as_ref(), &group, &replay).await;
            Ok::<(), Infallible>(())
        });
    }
}

async fn end(control_plane: &dyn ControlPlane, group: &FeatureGroupId, replay: &str) {
    if let Err(error) = control_plane.end_replay(group, replay).await {
        warn!(feature_group = %group, %error, "others cannot replay it until the claim of this replay has lapsed");
    }
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
