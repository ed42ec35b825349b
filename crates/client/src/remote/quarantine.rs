//! Quarantined records are asked for alike at a platform and at a registry.

use reqwest::{Method, RequestBuilder};
use twinfold_model::{FeatureGroupId, Position};
use twinfold_wire::rest::PAGE_ITEMS_MAX;

use super::http::Service;
use super::path;

/// A page that begins behind `after`.
pub(super) fn page(
    service: &Service,
    group: &FeatureGroupId,
    after: Option<Position>,
    limit: usize,
) -> RequestBuilder {
    let request = service.request(Method::GET, &path::group(group, "quarantine"));
    let request = request.query(&[("limit", limit.min(PAGE_ITEMS_MAX))]);
    match after {
        None => request,
        Some(after) => request.query(&[
            ("after_partition", u64::from(after.partition.0)),
            ("after_offset", after.offset.0),
        ]),
    }
}
