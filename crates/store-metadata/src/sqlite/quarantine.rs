use std::collections::HashMap;

use async_trait::async_trait;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;
use twinfold_model::{EventTime, FeatureGroupId, Offset, PartitionId, Position, QuarantinedRecord};

use super::{SqliteMetadata, feature_groups, integer, limit, number};
use crate::{Quarantine, Result};

#[async_trait]
impl Quarantine for SqliteMetadata {
    async fn quarantine(&self, records: &[QuarantinedRecord]) -> Result<()> {
        if records.is_empty() {
            return Ok(());
        }
        let mut transaction = self.write().await?;
        let mut rows: HashMap<&FeatureGroupId, i64> = HashMap::new();
        for record in records {
            let group = match rows.get(&record.group) {
                Some(row) => *row,
                None => {
                    let row = feature_groups::row_of(&mut transaction, &record.group).await?;
                    rows.insert(&record.group, row);
                    row
                }
            };
            sqlx::query(
                "INSERT INTO quarantine
                     (group_id, partition_id, record_offset, record_key, record_value, headers,
                      code, reason, quarantined_at_us, replayed_at_us)
                 VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
                 ON CONFLICT (group_id, partition_id, record_offset) DO NOTHING",
            )
            .bind(group)
            .bind(record.position.partition.0)
            .bind(integer("offset", record.position.offset.0)?)
            .bind(&record.key)
            .bind(&record.value)
            .bind(&record.headers)
            .bind(&record.code)
            .bind(&record.reason)
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
        sqlx::query(
            "SELECT q.* FROM quarantine q JOIN feature_groups g ON g.id = q.group_id
             WHERE g.project = ? AND g.name = ? AND g.version = ?
                   AND q.replayed_at_us IS NULL AND (q.partition_id, q.record_offset) > (?, ?)
             ORDER BY q.partition_id, q.record_offset LIMIT ?",
        )
        .bind(group.project.as_str())
        .bind(group.name.as_str())
        .bind(group.version)
        .bind(partition)
        .bind(offset)
        .bind(limit(limit_rows))
        .fetch_all(&mut *self.read().await?)
        .await?
        .iter()
        .map(|row| decode(group, row))
        .collect()
    }

    async fn quarantine_count(&self, group: &FeatureGroupId) -> Result<u64> {
        let count: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM quarantine q JOIN feature_groups g ON g.id = q.group_id
             WHERE g.project = ? AND g.name = ? AND g.version = ? AND q.replayed_at_us IS NULL",
        )
        .bind(group.project.as_str())
        .bind(group.name.as_str())
        .bind(group.version)
        .fetch_one(&mut *self.read().await?)
        .await?;
        number("quarantine count", count)
    }

    async fn mark_replayed(
        &self,
        group: &FeatureGroupId,
        positions: &[Position],
        at: EventTime,
    ) -> Result<()> {
        let mut transaction = self.write().await?;
        let row = feature_groups::row_of(&mut transaction, group).await?;
        for position in positions {
            sqlx::query(
                "UPDATE quarantine
                 SET replayed_at_us = ?, record_key = x'', record_value = x'', headers = x'',
                     reason = ''
                 WHERE group_id = ? AND partition_id = ? AND record_offset = ?
                       AND replayed_at_us IS NULL",
            )
            .bind(at.micros())
            .bind(row)
            .bind(position.partition.0)
            .bind(integer("offset", position.offset.0)?)
            .execute(&mut *transaction)
            .await?;
        }
        Ok(transaction.commit().await?)
    }
}

fn decode(group: &FeatureGroupId, row: &SqliteRow) -> Result<QuarantinedRecord> {
    Ok(QuarantinedRecord {
        group: group.clone(),
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
