//! Records on their way into a table: the newest of each key, grouped by replica, in unlogged batches.
//! A run of records is planned while the requests of those before it are under way.

use std::time::Duration;

use ::scylla::frame::response::result::ColumnType;
use ::scylla::serialize::SerializationError;
use ::scylla::serialize::row::{RowSerializationContext, SerializeRow};
use ::scylla::serialize::value::SerializeValue;
use ::scylla::serialize::writers::{CellWriter, RowWriter, WrittenCellProof};
use ::scylla::statement::batch::{Batch, BatchType};
use ::scylla::statement::prepared::PreparedStatement;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use twinfold_model::Operation;
use twinfold_wire::row::{KEY_BYTES_MAX, VALUE_HEADER_BYTES, value_header};

use super::cluster::Cluster;
use super::failure::{Failure, Kind};
use super::plan::{self, Limits, Parcel};
use super::replica::Route;
use super::table::Table;
use crate::{Error, Result, Upsert, UpsertStats};

const ACTION: &str = "rows cannot be written";

/// CQL has no timestamp before this one: the smallest number says that there is none.
const TIMESTAMP_MIN: i64 = i64::MIN + 1;
/// Rows that are planned at a stretch, while others are on their way: about a millisecond.
const PLAN_ROWS_MAX: usize = 4_096;
/// About what a request, and what the servers count of it, has of each row besides key and value.
const ROW_BYTES: usize = 64;
/// Of one request that servers refuse for the moment, and the pause before the second; the next is longer.
const ATTEMPTS_MAX: usize = 3;
const PAUSE_FIRST: Duration = Duration::from_millis(50);

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
        self.write(&table, rows).await
    }

    /// Writes records. On an error some of them may be written.
    pub async fn write(&self, table: &Table, rows: &[Upsert]) -> Result<UpsertStats> {
        let limits = Limits {
            items_max: self.options.batch_rows_max,
            bytes_max: self.options.batch_bytes_max,
        };
        let mut replicas = self.replicas(table);
        let mut writes = FuturesUnordered::new();
        let mut stats = UpsertStats::default();
        for rows in rows.chunks(PLAN_ROWS_MAX) {
            let newest = plan::newest(rows);
            stats.applied += newest.len() as u64;
            stats.superseded += (rows.len() - newest.len()) as u64;
            let parcels = newest.into_iter().map(|row| Parcel {
                bytes: row.key.len() + VALUE_HEADER_BYTES + row.body.len() + ROW_BYTES,
                replica: replicas.number_of(&row.key),
                item: Change(row),
            });
            for batch in plan::batches(parcels, limits) {
                if writes.len() >= self.options.batches_in_flight_max
                    && let Some(written) = writes.next().await
                {
                    written?;
                }
                let route = replicas.route(batch.replica);
                writes.push(self.write_batch(table, batch.items, route));
            }
        }
        while let Some(written) = writes.next().await {
            written?;
        }
        Ok(stats)
    }

    /// Sends a batch, in smaller ones when the servers do not take it as it is.
    async fn write_batch(&self, table: &Table, batch: Vec<Change<'_>>, route: Route) -> Result<()> {
        let permit = self.writes.acquire().await;
        // Nobody closes the semaphore.
        let _permit = permit.map_err(|_| Error::Closed)?;
        let mut waiting = vec![batch];
        while let Some(changes) = waiting.pop() {
            let Err(failure) = self.send_again(table, &changes, &route).await else {
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

    /// Sends, and tries again what may pass: for one request that fails its caller sends all of them again.
    async fn send_again(
        &self,
        table: &Table,
        changes: &[Change<'_>],
        route: &Route,
    ) -> Result<(), Failure> {
        let mut pause = PAUSE_FIRST;
        for _ in 1..ATTEMPTS_MAX {
            match self.send(table, changes, route).await {
                Err(failure) if failure.kind == Kind::Transient => {
                    tokio::time::sleep(pause).await;
                    pause *= 2;
                }
                outcome => return outcome,
            }
        }
        self.send(table, changes, route).await
    }

    async fn send(
        &self,
        table: &Table,
        changes: &[Change<'_>],
        route: &Route,
    ) -> Result<(), Failure> {
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
struct Change<'a>(&'a Upsert);

impl Change<'_> {
    fn timestamp(&self) -> i64 {
        self.0.version.event_time.micros().max(TIMESTAMP_MIN)
    }

    /// A delete removes the whole partition, because scans count what is deleted in any other way
    /// against a limit. But Cassandra 5 cannot read a partition back that was deleted at a time before
    /// 1970: it keeps a flag where such a number has its sign. There the delete removes the value.
    fn statement<'t>(&self, table: &'t Table) -> &'t PreparedStatement {
        match self.0.version.operation {
            Operation::Upsert => &table.put,
            Operation::Delete if self.timestamp() < 0 => &table.delete_early,
            Operation::Delete => &table.delete,
        }
    }
}

impl SerializeRow for Change<'_> {
    fn serialize(
        &self,
        context: &RowSerializationContext<'_>,
        writer: &mut RowWriter<'_>,
    ) -> Result<(), SerializationError> {
        let row = self.0;
        match row.version.operation {
            Operation::Upsert => {
                let values = (self.timestamp(), Value(row), &row.key);
                SerializeRow::serialize(&values, context, writer)
            }
            Operation::Delete => {
                SerializeRow::serialize(&(self.timestamp(), &row.key), context, writer)
            }
        }
    }

    fn is_empty(&self) -> bool {
        false
    }
}

/// The online value of a record, copied straight into the request.
struct Value<'a>(&'a Upsert);

impl SerializeValue for Value<'_> {
    fn serialize<'b>(
        &self,
        _: &ColumnType<'_>,
        writer: CellWriter<'b>,
    ) -> Result<WrittenCellProof<'b>, SerializationError> {
        let row = self.0;
        let mut value = writer.into_value_builder();
        value.append_bytes(&value_header(row.version.offset, row.schema));
        value.append_bytes(&row.body);
        value.finish().map_err(SerializationError::new)
    }
}

#[cfg(test)]
mod tests {
    use ::scylla::frame::response::result::NativeType;
    use twinfold_model::EventTime;
    use twinfold_wire::row::encode_value;

    use super::*;
    use crate::conformance::row;

    #[test]
    fn an_event_time_is_its_timestamp_but_for_the_one_that_cql_lacks() {
        for micros in [i64::MAX, 0, -3, TIMESTAMP_MIN] {
            assert_eq!(Change(&row(b"key", micros, 0, b"")).timestamp(), micros);
        }
        let earliest = row(b"key", EventTime::MIN.micros(), 0, b"");
        assert_eq!(Change(&earliest).timestamp(), TIMESTAMP_MIN);
    }

    #[test]
    fn a_value_travels_as_it_is_read() {
        let row = row(b"key", 1, 7, b"body");
        let mut wanted = Vec::new();
        encode_value(row.version.offset, row.schema, &row.body, &mut wanted);
        let mut cell = Vec::new();
        let blob = ColumnType::Native(NativeType::Blob);
        let written = Value(&row).serialize(&blob, CellWriter::new(&mut cell));
        written.expect("it fits");
        let (length, found) = cell.split_first_chunk().expect("a length");
        assert_eq!(i32::from_be_bytes(*length), wanted.len() as i32);
        assert_eq!(found, wanted);
    }
}
