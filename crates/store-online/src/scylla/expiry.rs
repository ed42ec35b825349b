//! Taking expired rows out of tables with a TTL.

use ::scylla::response::query_result::QueryResult;
use bytes::Bytes;
use twinfold_model::{EventTime, Offset, Operation, RowVersion, SchemaId, Ttl};

use super::cluster::Cluster;
use super::failure::Failure;
use super::read::{self, PAGE_ROWS_MAX};
use crate::{Error, Result, Upsert};

/// Every look at a table reads all of it on the servers, so it is not done more often than this.
const PAUSE_US_MIN: i64 = 10 * 60 * 1_000_000;

impl Cluster {
    pub async fn expire(&self, now: EventTime) -> Result<()> {
        let entries = self.catalog.all(&self.session).await;
        let entries = entries
            .map_err(|failure| failure.of("its tables cannot be listed", &self.options.keyspace))?;
        for entry in entries {
            let Some(ttl) = entry.ttl else {
                continue;
            };
            match self.expire_table(&entry.name, ttl, now).await {
                // It was dropped since the list was made.
                Ok(()) | Err(Error::UnknownTable { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    async fn expire_table(&self, name: &str, ttl: Ttl, now: EventTime) -> Result<()> {
        let table = self.table(name).await?;
        if !is_due(table.expired_at(), ttl, now) {
            return Ok(());
        }
        let mut cursor = None;
        loop {
            let page = self
                .page(&table.times, cursor.as_ref(), PAGE_ROWS_MAX)
                .await;
            let page = page.and_then(|(answer, next)| Ok((times_of(answer)?, next)));
            let (rows, next) = match page {
                Ok(page) => page,
                Err(failure) => return Err(self.failed(read::ACTION, name, failure).await),
            };
            let is_expired =
                |(_, event_time): &(Bytes, EventTime)| ttl.is_expired(*event_time, now);
            let expired = rows.into_iter().filter(is_expired).map(forgotten).collect();
            self.write(&table, expired).await?;
            cursor = next;
            if cursor.is_none() {
                break;
            }
        }
        table.note_expired(now);
        Ok(())
    }
}

fn times_of(answer: QueryResult) -> Result<Vec<(Bytes, EventTime)>, Failure> {
    let answer = answer.into_rows_result().map_err(Failure::unreadable)?;
    let mut times = Vec::with_capacity(answer.rows_num());
    let found = answer.rows::<(Bytes, i64)>();
    for row in found.map_err(Failure::unreadable)? {
        let (key, timestamp) = row.map_err(Failure::unreadable)?;
        times.push((key, EventTime::from_micros(timestamp)));
    }
    Ok(times)
}

/// A delete at the row's own time: it takes this row and no later one, whatever is written meanwhile.
fn forgotten((key, event_time): (Bytes, EventTime)) -> Upsert {
    Upsert {
        key,
        version: RowVersion {
            event_time,
            operation: Operation::Delete,
            offset: Offset::ZERO,
        },
        schema: SchemaId(0),
        body: Bytes::new(),
    }
}

/// Looking every quarter of the TTL keeps at most a quarter more rows than the TTL asks for.
fn is_due(last: Option<EventTime>, ttl: Ttl, now: EventTime) -> bool {
    let pause_us = (ttl.micros() / 4).max(PAUSE_US_MIN);
    last.is_none_or(|last| now.micros().saturating_sub(last.micros()) >= pause_us)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_looked_at_once_in_a_while() {
        let at = EventTime::from_micros;
        let short = Ttl::from_micros(1).expect("positive");
        let long = Ttl::from_micros(i64::MAX).expect("positive");
        assert!(is_due(None, long, at(0)));
        assert!(!is_due(Some(at(5)), short, at(5)));
        assert!(!is_due(Some(at(5)), short, at(PAUSE_US_MIN + 4)));
        assert!(is_due(Some(at(5)), short, at(PAUSE_US_MIN + 5)));
        assert!(!is_due(Some(at(0)), long, at(i64::MAX / 4 - 1)));
        assert!(is_due(Some(at(0)), long, at(i64::MAX / 4)));
    }
}
