use std::collections::HashMap;

use async_trait::async_trait;
use sqlx::Row as _;
use twinfold_model::{EventTime, FeatureGroupId, Offset, PartitionId, Position, QuarantinedRecord};

use super::{Row, Store, feature_groups};
use crate::columns::{integer, limit, number, text};
use crate::{QUARANTINE_PAGE_BYTES_MAX, Quarantine, ReplayClaim, Result};

/// In place of a replayed record; databases write an empty literal each in its own way.
const NO_BYTES: &[u8] = &[];

#[async_trait]
impl Quarantine for Store {
    async fn quarantine(&self, records: &[QuarantinedRecord]) -> Result<()> {
        if records.is_empty() {
            return Ok(());
        }
        let mut transaction = self.write().await?;
        let mut rows: HashMap<(&FeatureGroupId, &str), i64> = HashMap::new();
        for record in records {
            let life = (&record.group, record.resource.as_str());
            let group = match rows.get(&life) {
                Some(row) => *row,
                None => {
                    let row = feature_groups::row_of_life(&mut transaction, life.0, life.1).await?;
                    rows.insert(life, row);
                    row
                }
            };
            sqlx::query(
                "INSERT INTO quarantine
                     (group_id, partition_id, record_offset, record_key, record_value, headers,
                      code, reason, quarantined_at_us, replayed_at_us)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
                 ON CONFLICT (group_id, partition_id, record_offset) DO NOTHING",
            )
            .bind(group)
            .bind(i64::from(record.position.partition.0))
            .bind(integer("offset", record.position.offset.0)?)
            .bind(record.key.as_slice())
            .bind(record.value.as_slice())
            .bind(record.headers.as_slice())
            .bind(record.code.as_str())
            .bind(text(&record.reason))
            .bind(record.quarantined_at.micros())
            .bind(record.replayed_at.map(EventTime::micros))
            .execute(&mut *transaction)
            .await?;
        }
        Ok(transaction.commit().await?)
    }

    async fn quarantined(
        &self,
        group: &FeatureGroupId,
        after: Option<Position>,
        limit_rows: usize,
    ) -> Result<Vec<QuarantinedRecord>> {
        let (partition, offset) = match after {
            Some(after) => (
                i64::from(after.partition.0),
                integer("offset", after.offset.0)?,
            ),
            None => (-1, -1),
        };
        // Sized before the bytes are read: there may be much more of them than one page may have.
        sqlx::query(
            "WITH found AS (
                 SELECT q.group_id, q.partition_id, q.record_offset,
                        length(q.record_key) + length(q.record_value) + length(q.headers) AS bytes
                 FROM quarantine q JOIN feature_groups g ON g.id = q.group_id
                 WHERE g.project = $1 AND g.name = $2 AND g.version = $3
                       AND q.replayed_at_us IS NULL AND (q.partition_id, q.record_offset) > ($4, $5)
                 ORDER BY q.partition_id, q.record_offset LIMIT $6
             ), sized AS (
                 SELECT group_id, partition_id, record_offset,
                        sum(bytes) OVER (ORDER BY partition_id, record_offset) - bytes AS bytes_before
                 FROM found
             )
             SELECT g.resource, q.partition_id, q.record_offset, q.record_key, q.record_value, q.headers,
                    q.code, q.reason, q.quarantined_at_us, q.replayed_at_us
             FROM sized s JOIN quarantine q
                  ON q.group_id = s.group_id AND q.partition_id = s.partition_id
                     AND q.record_offset = s.record_offset
                  JOIN feature_groups g ON g.id = s.group_id
             WHERE s.bytes_before < $7
             ORDER BY q.partition_id, q.record_offset",
        )
        .bind(group.project.as_str())
        .bind(group.name.as_str())
        .bind(i64::from(group.version))
        .bind(partition)
        .bind(offset)
        .bind(limit(limit_rows))
        .bind(integer("bytes of a page", QUARANTINE_PAGE_BYTES_MAX)?)
        .fetch_all(&mut *self.read().await?)
        .await?
        .iter()
        .map(|row| decode(group, row))
        .collect()
    }

    async fn claim_replay(&self, claim: ReplayClaim<'_>) -> Result<bool> {
        let mut transaction = self.write().await?;
        let group = feature_groups::row_of(&mut transaction, claim.group).await?;
        let claimed = sqlx::query(
            "INSERT INTO replays (group_id, replay, claimed_until_us) VALUES ($1, $2, $3)
             ON CONFLICT (group_id) DO UPDATE
             SET replay = excluded.replay, claimed_until_us = excluded.claimed_until_us
             WHERE replays.replay = excluded.replay OR replays.claimed_until_us <= $4",
        )
        .bind(group)
        .bind(claim.replay)
        .bind(claim.until.micros())
        .bind(claim.now.micros())
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(claimed.rows_affected() > 0)
    }

    async fn end_replay(&self, group: &FeatureGroupId, replay: &str) -> Result<()> {
        let mut transaction = self.write().await?;
        let group = feature_groups::row_of(&mut transaction, group).await?;
        sqlx::query("DELETE FROM replays WHERE group_id = $1 AND replay = $2")
            .bind(group)
            .bind(replay)
            .execute(&mut *transaction)
            .await?;
        Ok(transaction.commit().await?)
    }

    async fn mark_replayed(
        &self,
        group: &FeatureGroupId,
        resource: &str,
        positions: &[Position],
        at: EventTime,
    ) -> Result<()> {
        let mut transaction = self.write().await?;
        let row = feature_groups::row_of_life(&mut transaction, group, resource).await?;
        for position in positions {
            sqlx::query(
                "UPDATE quarantine
                 SET replayed_at_us = $1, record_key = $2, record_value = $2, headers = $2,
                     reason = ''
                 WHERE group_id = $3 AND partition_id = $4 AND record_offset = $5
                       AND replayed_at_us IS NULL",
            )
            .bind(at.micros())
            .bind(NO_BYTES)
            .bind(row)
            .bind(i64::from(position.partition.0))
            .bind(integer("offset", position.offset.0)?)
            .execute(&mut *transaction)
            .await?;
        }
        Ok(transaction.commit().await?)
    }
}

fn decode(group: &FeatureGroupId, row: &Row) -> Result<QuarantinedRecord> {
    Ok(QuarantinedRecord {
        group: group.clone(),
        resource: row.try_get("resource")?,
        position: Position {
            partition: PartitionId(number("partition", row.try_get("partition_id")?)?),
            offset: Offset(number("offset", row.try_get("record_offset")?)?),
        },
        key: row.try_get("record_key")?,
        value: row.try_get("record_value")?,
        headers: row.try_get("headers")?,
        code: row.try_get("code")?,
        reason: row.try_get("reason")?,
        quarantined_at: EventTime::from_micros(row.try_get("quarantined_at_us")?),
        replayed_at: row
            .try_get::<Option<i64>, _>("replayed_at_us")?
            .map(EventTime::from_micros),
    })
}
