use async_trait::async_trait;
use reqwest::Method;
use twinfold_model::{FeatureGroupId, Position, QuarantinedRecord};
use twinfold_wire::rest::{PageBody, PositionBody, QuarantinedRecordBody};

use super::{RemoteRegistry, path};
use crate::remote::http::PAGE_ITEMS_MAX;
use crate::{Quarantine, Result};

#[async_trait]
impl Quarantine for RemoteRegistry {
    async fn quarantined(
        &self,
        group: &FeatureGroupId,
        after: Option<Position>,
        limit: usize,
    ) -> Result<Vec<QuarantinedRecord>> {
        let (mut found, mut after) = (Vec::new(), after);
        while found.len() < limit {
            let page_items = PAGE_ITEMS_MAX.min(limit - found.len());
            let page = self.quarantine_page(group, after, page_items).await?;
            let is_last = page.len() < page_items;
            after = page.last().map(|record| record.position).or(after);
            found.extend(page);
            if is_last {
                break;
            }
        }
        Ok(found)
    }

    async fn mark_replayed(&self, group: &FeatureGroupId, positions: &[Position]) -> Result<()> {
        let bodies: Vec<_> = positions.iter().copied().map(PositionBody::from).collect();
        let path = path::group(group, "quarantine/replayed");
        self.registry.post(&path, &bodies).await
    }
}

impl RemoteRegistry {
    async fn quarantine_page(
        &self,
        group: &FeatureGroupId,
        after: Option<Position>,
        limit: usize,
    ) -> Result<Vec<QuarantinedRecord>> {
        let path = path::group(group, "quarantine");
        let request = self.registry.request(Method::GET, &path);
        let mut request = request.query(&[("limit", limit)]);
        if let Some(after) = after {
            request = request.query(&[
                ("after_partition", u64::from(after.partition.0)),
                ("after_offset", after.offset.0),
            ]);
        }
        let page: PageBody<QuarantinedRecordBody> = self.registry.read(request).await?;
        let records = page.items.into_iter().map(QuarantinedRecord::try_from);
        Ok(records.collect::<Result<_, _>>()?)
    }
}
