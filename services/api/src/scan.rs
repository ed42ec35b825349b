use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt;
use futures::stream;
use twinfold_client::{BatchStream, Definitions, Error, GroupDefinition, Result};
use twinfold_model::{EventTime, SchemaId};
use twinfold_store_online::{OnlineStore, StoredRow};
use twinfold_wire::record::{self, Decoder};
use twinfold_wire::row::ValueView;

use crate::store_failed;

/// Rows per batch of a scan.
const PAGE_ROWS_MAX: usize = 8_192;

struct Scan {
    store: Arc<dyn OnlineStore>,
    definitions: Arc<dyn Definitions>,
    definition: Arc<GroupDefinition>,
    decoder: Decoder,
    known: Vec<SchemaId>,
    now: EventTime,
    cursor: Option<Bytes>,
    ended: bool,
}

/// The newest rows of a whole group, expired ones left out, page by page.
pub fn scan(
    store: Arc<dyn OnlineStore>,
    definitions: Arc<dyn Definitions>,
    definition: Arc<GroupDefinition>,
    now: EventTime,
) -> Result<BatchStream> {
    let schema = record::arrow_schema(&definition.group);
    let decoder = Decoder::new(&definition.group).map_err(broken)?;
    let scan = Scan {
        store,
        definitions,
        definition,
        decoder,
        known: Vec::new(),
        now,
        cursor: None,
        ended: false,
    };
    let pages = stream::unfold(scan, |mut scan| async move {
        if scan.ended {
            return None;
        }
        let page = scan.page().await;
        scan.ended |= page.is_err();
        Some((page, scan))
    });
    Ok(BatchStream {
        schema,
        batches: pages.boxed(),
    })
}

impl Scan {
    async fn page(&mut self) -> Result<arrow::record_batch::RecordBatch> {
        let page = self
            .store
            .scan(&self.definition.resource, self.cursor.take(), PAGE_ROWS_MAX)
            .await;
        let page = page.map_err(store_failed)?;
        self.ended = page.cursor.is_none();
        self.cursor = page.cursor;
        let ttl = self.definition.group.ttl();
        let is_live =
            |row: &StoredRow| ttl.is_none_or(|ttl| !ttl.is_expired(row.event_time, self.now));
        let live = page
            .rows
            .iter()
            .map(|(_, row)| row)
            .filter(|row| is_live(row));
        let mut frames = Vec::with_capacity(page.rows.len());
        let mut schemas = Vec::new();
        for row in live {
            let view = ValueView::parse(&row.value).map_err(broken)?;
            if !self.known.contains(&view.schema) && !schemas.contains(&view.schema) {
                schemas.push(view.schema);
            }
            frames.push(record::frame(view.schema, view.body));
        }
        for id in schemas {
            self.learn(id).await?;
        }
        let decoded = self.decoder.decode(&frames).map_err(broken)?;
        match decoded.defects.first() {
            None => Ok(decoded.batch),
            Some((_, defect)) => Err(broken(format!("stored row: {defect}"))),
        }
    }

    async fn learn(&mut self, id: SchemaId) -> Result<()> {
        let resource = &self.definition.resource;
        let schema = self.definitions.schema(id, resource).await?;
        let schema =
            schema.ok_or_else(|| broken(format!("schema {} of a stored row is gone", id.0)))?;
        self.decoder
            .add_schema(id, &schema.avro_json)
            .map_err(broken)?;
        self.known.push(id);
        Ok(())
    }
}

fn broken(reason: impl std::fmt::Display) -> Error {
    Error::Internal(reason.to_string())
}
