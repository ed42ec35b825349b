//! What every HTTP server tells of its requests; `docs/operations.md` says what each number means.

use std::time::Duration;

use axum::extract::{MatchedPath, Request};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::Response;
use metrics::{counter, histogram};

use crate::{Clock, SystemClock};

const REQUESTS_TOTAL: &str = "twinfold_http_requests_total";
const REQUEST_SECONDS: &str = "twinfold_http_request_seconds";
/// What no route was found for. The path itself is the caller's to choose, and must not become a label.
const NO_ROUTE: &str = "none";

/// A layer for a whole router, put on with `axum::middleware::from_fn`: counts requests by route, and how
/// long each takes until its answer begins.
pub async fn count_requests(request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>();
    let route = route.map_or_else(|| NO_ROUTE.to_owned(), |path| path.as_str().to_owned());
    let method = method_label(request.method());
    let began_us = SystemClock.now_us();
    let response = next.run(request).await;
    let took_us = u64::try_from(SystemClock.now_us() - began_us).unwrap_or(0);
    histogram!(REQUEST_SECONDS, "route" => route.clone(), "method" => method)
        .record(Duration::from_micros(took_us).as_secs_f64());
    let status = response.status().as_str().to_owned();
    counter!(REQUESTS_TOTAL, "route" => route, "method" => method, "status" => status).increment(1);
    response
}

/// A method can be any word; those that no route has are one.
fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_method_of_a_callers_own_is_no_label_of_its_own() {
        let own = Method::from_bytes(b"BREW").expect("a method");
        assert_eq!(method_label(&own), "other");
        assert_eq!(method_label(&Method::GET), "GET");
    }
}
