use async_trait::async_trait;
use sqlx::Row as _;

use super::{Row, Store};
use crate::columns::number;
use crate::{Answer, IdempotencyKeys, KeyClaim, KeyState, KeyedRequest, Result};

#[async_trait]
impl IdempotencyKeys for Store {
    async fn claim_key(&self, request: KeyedRequest<'_>) -> Result<KeyState> {
        let mut transaction = self.write().await?;
        // Two statements, each of which finds its rows by an index: this one by age, and the next one key.
        sqlx::query("DELETE FROM idempotency_keys WHERE claimed_at_us < $1")
            .bind(request.forget_before.micros())
            .execute(&mut *transaction)
            .await?;
        sqlx::query(
            "DELETE FROM idempotency_keys
             WHERE idempotency_key = $1 AND claimed_at_us < $2 AND status IS NULL",
        )
        .bind(request.key)
        .bind(request.abandoned_before.micros())
        .execute(&mut *transaction)
        .await?;
        let claimed = sqlx::query(
            "INSERT INTO idempotency_keys (idempotency_key, digest, claimed_at_us)
             VALUES ($1, $2, $3) ON CONFLICT (idempotency_key) DO NOTHING",
        )
        .bind(request.key)
        .bind(request.digest)
        .bind(request.now.micros())
        .execute(&mut *transaction)
        .await?;
        let state = if claimed.rows_affected() > 0 {
            KeyState::Claimed
        } else {
            let known = sqlx::query(
                "SELECT digest, status, etag, body FROM idempotency_keys
                 WHERE idempotency_key = $1",
            )
            .bind(request.key)
            .fetch_one(&mut *transaction)
            .await?;
            state(&known, request.digest)?
        };
        transaction.commit().await?;
        Ok(state)
    }

    async fn answer_key(&self, claim: KeyClaim<'_>, answer: &Answer) -> Result<()> {
        let mut transaction = self.write().await?;
        sqlx::query(
            "UPDATE idempotency_keys SET status = $1, etag = $2, body = $3
             WHERE idempotency_key = $4 AND claimed_at_us = $5 AND status IS NULL",
        )
        .bind(i64::from(answer.status))
        .bind(answer.etag.as_deref())
        .bind(answer.body.as_str())
        .bind(claim.key)
        .bind(claim.at.micros())
        .execute(&mut *transaction)
        .await?;
        Ok(transaction.commit().await?)
    }

    async fn release_key(&self, claim: KeyClaim<'_>) -> Result<()> {
        let mut transaction = self.write().await?;
        sqlx::query(
            "DELETE FROM idempotency_keys
             WHERE idempotency_key = $1 AND claimed_at_us = $2 AND status IS NULL",
        )
        .bind(claim.key)
        .bind(claim.at.micros())
        .execute(&mut *transaction)
        .await?;
        Ok(transaction.commit().await?)
    }
}

fn state(known: &Row, digest: &str) -> Result<KeyState> {
    if known.try_get::<&str, _>("digest")? != digest {
        return Ok(KeyState::Reused);
    }
    let Some(status) = known.try_get::<Option<i64>, _>("status")? else {
        return Ok(KeyState::Pending);
    };
    Ok(KeyState::Answered(Answer {
        status: number("status of an answer", status)?,
        etag: known.try_get("etag")?,
        body: known.try_get("body")?,
    }))
}
