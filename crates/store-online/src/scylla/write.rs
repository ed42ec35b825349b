//! Records on their way into a table: the newest of each key, grouped by replica, in unlogged batches.

use ::scylla::serialize::SerializationError;
use ::scylla::serialize::row::{RowSerializationContext, SerializeRow};
use ::scylla::serialize::writers::RowWriter;
use ::scylla::statement::batch::{Batch, BatchType};
use ::scylla::statement::prepared::PreparedStatement;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use twinfold_model::Operation;
use twinfold_wire::row::{KEY_BYTES_MAX, VALUE_HEADER_BYTES, encode_value};

use super::cluster::Cluster;
use super::failure::Failure;
use super::plan::{self, Limits, Parcel};
use super::replica::Route;
use super::table::Table;
use crate::{Error, Result, Upsert, UpsertStats};

const ACTION: &str = "rows cannot be written";

/// CQL has no timestamp before this one: the smallest number says that there is none.
const TIMESTAMP_MIN: i64 = i64::MIN + 1;
/// About what a request, and what the servers count of it, has of each row besides key and value.
const ROW_BYTES: usize = 64;

impl Cluster {
    pub async fn upsert(&self, table: &str, rows: &[Upsert]) -> Result<UpsertStats> {
        let table = self.table(table).await?;
        if let Some(row) = rows.iter().find(|row| row.key.len() > KEY_BYTES_MAX) {
            return Err(Error::RowTooLarge {
                table: table.name.clone(),
                found_bytes: row.key.len(),
                bytes_max: KEY_BYTES_MAX,
            });
        }
        let newest: Vec<Upsert> = plan::newest(rows).into_iter().cloned().collect();
        let stats = UpsertStats {
            applied: newest.len() as u64,
            superseded: (rows.len() - newest.len()) as u64,
        };
        self.write(&table, newest).await?;
        Ok(stats)
    }

    /// Writes records of different keys. On an error some of them may be written.
    pub async fn write(&self, table: &Table, rows: Vec<Upsert>) -> Result<()> {
        let limits = Limits {
            items_max: self.options.batch_rows_max,
            bytes_max: self.options.batch_bytes_max,
        };
        let mut replicas = self.replicas(table);
        let parcels = rows.into_iter().map(|row| Parcel {
            bytes: row.key.len() + VALUE_HEADER_BYTES + row.body.len() + ROW_BYTES,
            replica: replicas.number_of(&row.key),
            item: Change(row),
        });
        let batches = plan::batches(parcels, limits);
        let mut writes = FuturesUnordered::new();
        for batch in batches {
            if writes.len() >= self.options.batches_in_flight_max
                && let Some(written) = writes.next().await
            {
                written?;
            }
            let route = replicas.route(batch.replica);
            writes.push(self.write_batch(table, batch.items, route));
        }
        while let Some(written) = writes.next().await {
            written?;
        }
        Ok(())
    }

    /// Sends a batch, in smaller ones when the servers do not take it as it is.
    async fn write_batch(&self, table: &Table, batch: Vec<Change>, route: Route) -> Result<()> {
        let permit = self.writes.acquire().await;
        // Nobody closes the semaphore.
        let _permit = permit.map_err(|_| Error::Closed)?;
        let mut waiting = vec![batch];
        while let Some(changes) = waiting.pop() {
            let Err(failure) = self.send(table, &changes, &route).await else {
                continue;
            };
            let kind = failure.kind;
            let error = self.failed(ACTION, &table.name, failure).await;
            let smaller = match error {
                Error::UnknownTable { .. } => Vec::new(),
                _ => plan::smaller(kind, changes),
            };
            if smaller.is_empty() {
                return Err(error);
            }
            waiting.extend(smaller);
        }
        Ok(())
    }

    async fn send(&self, table: &Table, changes: &[Change], route: &Route) -> Result<(), Failure> {
        if let [change] = changes {
            let statement = change.statement(table);
            self.session.execute_unpaged(statement, change).await?;
            return Ok(());
        }
        let statements = changes.iter().map(|change| change.statement(table));
        let statements = statements.map(|statement| statement.clone().into());
        let mut batch = Batch::new_with_statements(BatchType::Unlogged, statements.collect());
        batch.set_is_idempotent(true);
        batch.set_load_balancing_policy(route.clone());
        self.session.batch(&batch, changes).await?;
        Ok(())
    }
}

/// A record that binds itself to its statement, and encodes its value only then.
#[derive(Debug)]
struct Change(Upsert);

impl Change {
    fn timestamp(&self) -> i64 {
        self.0.version.event_time.micros().max(TIMESTAMP_MIN)
    }

    /// A delete removes the whole partition, because scans count what is deleted in any other way
    /// against a limit. But Cassandra 5 cannot read a partition back that was deleted at a time before
    /// 1970: it keeps a flag where such a number has its sign. There the delete removes the value.
    fn statement<'a>(&self, table: &'a Table) -> &'a PreparedStatement {
        match self.0.version.operation {
            Operation::Upsert => &table.put,
            Operation::Delete if self.timestamp() < 0 => &table.delete_early,
            Operation::Delete => &table.delete,
        }
    }
}

impl SerializeRow for Change {
    fn serialize(
        &self,
        context: &RowSerializationContext<'_>,
        writer: &mut RowWriter<'_>,
    ) -> Result<(), SerializationError> {
        let row = &self.0;
        match row.version.operation {
            Operation::Upsert => {
                let mut value = Vec::new();
                encode_value(row.version.offset, row.schema, &row.body, &mut value);
                (self.timestamp(), value, &row.key).serialize(context, writer)
            }
            Operation::Delete => (self.timestamp(), &row.key).serialize(context, writer),
        }
    }

    fn is_empty(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use twinfold_model::EventTime;

    use super::*;
    use crate::conformance::row;

    #[test]
    fn an_event_time_is_its_timestamp_but_for_the_one_that_cql_lacks() {
        for micros in [i64::MAX, 0, -3, TIMESTAMP_MIN] {
            assert_eq!(Change(row(b"key", micros, 0, b"")).timestamp(), micros);
        }
        let earliest = row(b"key", EventTime::MIN.micros(), 0, b"");
        assert_eq!(Change(earliest).timestamp(), TIMESTAMP_MIN);
    }
}
