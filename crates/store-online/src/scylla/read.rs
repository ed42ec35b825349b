//! Rows on their way out of a table: by key, and page by page.

use std::collections::HashMap;

use ::scylla::response::query_result::QueryResult;
use ::scylla::response::{PagingState, PagingStateResponse};
use ::scylla::statement::prepared::PreparedStatement;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use twinfold_model::EventTime;

use super::cluster::Cluster;
use super::failure::{Failure, Kind};
use super::plan::{self, Limits, Parcel};
use super::replica::Route;
use super::table::Table;
use crate::{Error, Result, ScanPage, StoredRow};

pub(super) const ACTION: &str = "rows cannot be read";

/// A page is held in memory by the server, the driver and the caller.
pub(super) const PAGE_ROWS_MAX: usize = 1_000;

impl Cluster {
    pub async fn read(&self, table: &str, keys: &[&[u8]]) -> Result<Vec<Option<StoredRow>>> {
        let table = self.table(table).await?;
        let found = self.read_all(&table, keys).await?;
        Ok(keys.iter().map(|key| found.get(*key).cloned()).collect())
    }

    async fn read_all(&self, table: &Table, keys: &[&[u8]]) -> Result<HashMap<Bytes, StoredRow>> {
        let limits = Limits {
            items_max: self.options.read_keys_max,
            bytes_max: usize::MAX,
        };
        let mut different = keys.to_vec();
        different.sort_unstable();
        different.dedup();
        let mut replicas = self.replicas(table);
        let parcels = different.into_iter().map(|key| Parcel {
            item: key,
            bytes: key.len(),
            replica: replicas.number_of(key),
        });
        let batches = plan::batches(parcels, limits);
        let mut rows = HashMap::with_capacity(keys.len());
        let mut reads = FuturesUnordered::new();
        for batch in batches {
            if reads.len() >= self.options.reads_in_flight_max
                && let Some(found) = reads.next().await
            {
                rows.extend(found?);
            }
            let route = replicas.route(batch.replica);
            reads.push(self.read_batch(table, batch.items, route));
        }
        while let Some(found) = reads.next().await {
            rows.extend(found?);
        }
        Ok(rows)
    }

    async fn read_batch(
        &self,
        table: &Table,
        keys: Vec<&[u8]>,
        route: Route,
    ) -> Result<Vec<(Bytes, StoredRow)>> {
        match self.fetch(table, &keys, route).await {
            Ok(rows) => Ok(rows),
            Err(failure) => Err(self.failed(ACTION, &table.name, failure).await),
        }
    }

    async fn fetch(
        &self,
        table: &Table,
        keys: &[&[u8]],
        route: Route,
    ) -> Result<Vec<(Bytes, StoredRow)>, Failure> {
        if let [key] = keys {
            let answer = self.session.execute_unpaged(&table.read_one, (*key,));
            return rows_of(answer.await?);
        }
        // A list of keys has no token, so that the driver by itself would ask any node.
        let mut statement = table.read_many.clone();
        statement.set_load_balancing_policy(route);
        let answer = self.session.execute_unpaged(&statement, (keys,));
        rows_of(answer.await?)
    }

    pub async fn scan(
        &self,
        table: &str,
        cursor: Option<Bytes>,
        rows_max: usize,
    ) -> Result<ScanPage> {
        let table = self.table(table).await?;
        let failure = match self.scan_page(&table, cursor.as_ref(), rows_max).await {
            Ok(page) => return Ok(page),
            Err(failure) => failure,
        };
        match cursor {
            Some(cursor) if failure.kind == Kind::Protocol => Err(Error::InvalidCursor {
                found_bytes: cursor.len(),
            }),
            _ => Err(self.failed(ACTION, &table.name, failure).await),
        }
    }

    async fn scan_page(
        &self,
        table: &Table,
        cursor: Option<&Bytes>,
        rows_max: usize,
    ) -> Result<ScanPage, Failure> {
        let (answer, cursor) = self.page(&table.scan, cursor, rows_max).await?;
        let rows = rows_of(answer)?;
        Ok(ScanPage { rows, cursor })
    }

    /// The page of a statement on all keys that begins at `cursor`, and where the next one begins: the
    /// servers' own paging state. They keep nothing of a scan that is under way.
    pub async fn page(
        &self,
        statement: &PreparedStatement,
        cursor: Option<&Bytes>,
        rows_max: usize,
    ) -> Result<(QueryResult, Option<Bytes>), Failure> {
        let mut statement = statement.clone();
        statement.set_page_size(rows_max.clamp(1, PAGE_ROWS_MAX) as i32);
        let from = match cursor {
            None => PagingState::start(),
            Some(cursor) => PagingState::new_from_raw_bytes(&cursor[..]),
        };
        let page = self.session.execute_single_page(&statement, (), from);
        let (answer, next) = page.await?;
        let next = match &next {
            PagingStateResponse::HasMorePages { state } => state.as_bytes_slice(),
            PagingStateResponse::NoMorePages => None,
        };
        let next = next.map(|state| Bytes::copy_from_slice(state));
        Ok((answer, next))
    }
}

/// Keys and values are slices of the answer: nothing is copied.
fn rows_of(answer: QueryResult) -> Result<Vec<(Bytes, StoredRow)>, Failure> {
    let answer = answer.into_rows_result().map_err(Failure::unreadable)?;
    let mut rows = Vec::with_capacity(answer.rows_num());
    let found = answer.rows::<(Bytes, Bytes, i64)>();
    for row in found.map_err(Failure::unreadable)? {
        let (key, value, timestamp) = row.map_err(Failure::unreadable)?;
        let event_time = EventTime::from_micros(timestamp);
        rows.push((key, StoredRow { event_time, value }));
    }
    Ok(rows)
}
