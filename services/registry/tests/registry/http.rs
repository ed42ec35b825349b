//! The registry's interface as any client of HTTP sees it.

use std::collections::BTreeSet;
use std::num::NonZeroU64;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Method, Request, StatusCode};
use serde_json::{Value as Json, json};
use tower::ServiceExt;
use twinfold_client::RESERVED_FOR;
use twinfold_http_kit::extract::JsonLimits;
use twinfold_model::{FeatureGroup, FeatureGroupId, TrainingDataset};
use twinfold_registry::http;
use twinfold_testkit::weather_group;
use twinfold_wire::rest::{FeatureGroupBody, FeatureViewBody, TrainingDatasetBody};

use crate::definitions::{dataset, project, view, with_group};
use crate::world::{Place, tasks};

const GROUPS: &str = "/v1/feature-groups";
const WEATHER: &str = "/v1/feature-groups/default/weather/1";
const DAY: Duration = Duration::from_secs(24 * 3_600);

struct Answered {
    status: StatusCode,
    etag: Option<String>,
    body: Json,
}

/// One request with some headers, and what is said to it.
async fn ask(
    router: &Router,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
    body: &Json,
) -> Answered {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request
        .body(Body::from(body.to_string()))
        .expect("a request");
    let answer = router.clone().oneshot(request).await.expect("infallible");
    let status = answer.status();
    let etag = answer.headers().get("etag");
    let etag = etag.map(|etag| etag.to_str().expect("text").to_owned());
    let bytes = to_bytes(answer.into_body(), 1 << 20).await.expect("short");
    let body = if bytes.is_empty() {
        Json::Null
    } else {
        serde_json::from_slice(&bytes).expect("JSON")
    };
    Answered { status, etag, body }
}

async fn get(router: &Router, path: &str) -> Answered {
    ask(router, Method::GET, path, &[], &Json::Null).await
}

async fn post(router: &Router, path: &str, key: &str, body: &Json) -> Answered {
    let key = [("idempotency-key", key)];
    ask(router, Method::POST, path, &key, body).await
}

async fn router(place: &Place) -> Router {
    http::router(place.registry().await, tasks())
}

/// The group of weather under another name.
fn named(name: &str, version: u32) -> Json {
    let mut spec = weather_group().to_spec();
    spec.id = FeatureGroupId::new("default", name, version).expect("valid");
    let group = FeatureGroup::new(spec).expect("valid");
    serde_json::to_value(FeatureGroupBody::from(&group)).expect("serializable")
}

fn feature(name: &str) -> Json {
    json!([{"name": name, "type": "double"}])
}

#[tokio::test]
async fn a_list_comes_in_pages() {
    let place = Place::new().await;
    let router = router(&place).await;
    let ids = [("a", 2), ("a", 10), ("b", 1), ("c", 1), ("c", 2)];
    for (name, version) in ids {
        let made = ask(&router, Method::POST, GROUPS, &[], &named(name, version)).await;
        assert_eq!(made.status, StatusCode::OK, "{}", made.body);
    }
    let mut found = Vec::new();
    let mut next = format!("{GROUPS}?project=default&limit=2");
    loop {
        let page = get(&router, &next).await.body;
        let items = page["items"].as_array().expect("items").clone();
        assert!(items.len() <= 2, "{page}");
        found.extend(items.iter().map(|item| {
            let id = &item["group"];
            let name = id["name"].as_str().expect("a name").to_owned();
            (name, id["version"].as_u64().expect("a version"))
        }));
        let Some(token) = page["next_page_token"].as_str() else {
            break;
        };
        next = format!("{GROUPS}?project=default&limit=2&page_token={token}");
    }
    let wanted = ids.map(|(name, version)| (name.to_owned(), u64::from(version)));
    assert_eq!(found, wanted);
    for wrong in ["limit=0", "limit=1001", "page_token=7", "pages=1"] {
        let refused = get(&router, &format!("{GROUPS}?{wrong}")).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{wrong}");
        assert_eq!(refused.body["code"], "invalid", "{wrong}");
    }
}

#[tokio::test]
async fn a_change_of_a_group_that_is_another_by_now_is_refused() {
    let place = Place::new().await;
    let router = router(&place).await;
    let made = ask(&router, Method::POST, GROUPS, &[], &named("weather", 1)).await;
    let first = made.etag.expect("a tag");
    assert_eq!(get(&router, WEATHER).await.etag.as_ref(), Some(&first));

    let features = format!("{WEATHER}/features");
    let append = |tag: String, name: &'static str| {
        let (router, features) = (router.clone(), features.clone());
        async move {
            let tag = [("if-match", tag.as_str())];
            ask(&router, Method::POST, &features, &tag, &feature(name)).await
        }
    };
    let second = append(first.clone(), "gust").await;
    assert_eq!(second.status, StatusCode::OK, "{}", second.body);
    let second = second.etag.expect("a tag");
    assert_ne!(first, second);
    let stale = append(first.clone(), "snow").await;
    assert_eq!(stale.status, StatusCode::PRECONDITION_FAILED);
    assert_eq!(stale.body["code"], "stale");
    let message = stale.body["message"].as_str().expect("a message");
    assert!(message.contains("default.weather_1"), "{message}");
    let either = append(format!("{first}, {second}"), "snow").await;
    assert_eq!(either.status, StatusCode::OK, "{}", either.body);
    let weak = append(
        format!("W/{}", either.etag.as_deref().expect("a tag")),
        "hail",
    )
    .await;
    assert_eq!(weak.status, StatusCode::PRECONDITION_FAILED);
    let unreadable = append("first".to_owned(), "hail").await;
    assert_eq!(unreadable.status, StatusCode::BAD_REQUEST);

    let said = json!({"description": "storms", "tags": {"team": "sky"}});
    let describe = async |tag: &str| {
        let tag = [("if-match", tag)];
        ask(&router, Method::PATCH, WEATHER, &tag, &said).await
    };
    let stale = describe(&second).await;
    assert_eq!(stale.status, StatusCode::PRECONDITION_FAILED);
    let described = describe(either.etag.as_deref().expect("a tag")).await;
    assert_eq!(described.status, StatusCode::OK, "{}", described.body);
    assert_eq!(described.body["group"]["tags"], json!({"team": "sky"}));
    assert_ne!(described.etag, either.etag);

    for (tag, wanted) in [
        (second.as_str(), StatusCode::PRECONDITION_FAILED),
        (
            described.etag.as_deref().expect("a tag"),
            StatusCode::NO_CONTENT,
        ),
    ] {
        let tag = [("if-match", tag)];
        let deleted = ask(&router, Method::DELETE, WEATHER, &tag, &Json::Null).await;
        assert_eq!(deleted.status, wanted, "{}", deleted.body);
    }
}

#[tokio::test]
async fn a_group_in_use_goes_only_when_it_is_said_so() {
    let place = Place::new().await;
    let router = router(&place).await;
    let made = ask(&router, Method::POST, GROUPS, &[], &named("weather", 1)).await;
    assert_eq!(made.status, StatusCode::OK, "{}", made.body);
    let view = serde_json::to_value(FeatureViewBody::from(&view(1))).expect("serializable");
    let made = ask(&router, Method::POST, "/v1/feature-views", &[], &view).await;
    assert_eq!(made.status, StatusCode::OK, "{}", made.body);
    for (query, wanted) in [
        ("", StatusCode::CONFLICT),
        ("?force=false", StatusCode::CONFLICT),
        ("?force=yes", StatusCode::BAD_REQUEST),
        ("?force=true", StatusCode::NO_CONTENT),
    ] {
        let path = format!("{WEATHER}{query}");
        let deleted = ask(&router, Method::DELETE, &path, &[], &Json::Null).await;
        assert_eq!(deleted.status, wanted, "{query}: {}", deleted.body);
    }
}

#[tokio::test]
async fn changes_are_listed_in_their_order() {
    let place = Place::new().await;
    let router = router(&place).await;
    for name in ["a", "b", "c"] {
        let made = ask(&router, Method::POST, GROUPS, &[], &named(name, 1)).await;
        assert_eq!(made.status, StatusCode::OK, "{}", made.body);
    }
    let first = get(&router, "/v1/changes?limit=2").await.body;
    let token = first["next_page_token"].as_str().expect("there is more");
    let rest = get(&router, &format!("/v1/changes?page_token={token}")).await;
    let rest = rest.body["items"].as_array().expect("items").clone();
    let second = first["items"][1]["sequence"].as_u64().expect("a number");
    let behind = get(&router, &format!("/v1/changes?after={second}")).await;
    assert_eq!(behind.body["items"], json!(rest));
    let all = first["items"]
        .as_array()
        .expect("items")
        .iter()
        .chain(&rest);
    let of_what: Vec<_> = all.map(|change| change["of"].clone()).collect();
    let wanted = ["a", "b", "c"]
        .map(|name| json!({"feature_group": {"project": "default", "name": name, "version": 1}}));
    assert_eq!(of_what, wanted);
}

#[tokio::test]
async fn a_tag_is_that_of_the_definition_alone() {
    let place = Place::new().await;
    let registry = place.registry().await;
    let router = http::router(registry.clone(), tasks());
    let made = ask(&router, Method::POST, GROUPS, &[], &named("weather", 1)).await;
    registry.reconcile_once().await.expect("reads");
    let fields = json!([
        {"name": "origin", "type": "string"},
        {"name": "observed_at", "type": {"type": "long", "logicalType": "timestamp-micros"}},
    ]);
    let schema = json!({"type": "record", "name": "Observation", "fields": fields});
    let schema = json!({"schema": schema.to_string()});
    let versions = "/subjects/default.weather_1-value/versions";
    let registered = ask(&router, Method::POST, versions, &[], &schema).await;
    assert_eq!(registered.status, StatusCode::OK, "{}", registered.body);
    let now = get(&router, WEATHER).await;
    assert_eq!(now.body["state"], json!({"state": "active"}));
    assert_ne!(now.body["revision"], made.body["revision"]);
    assert_eq!(now.etag, made.etag);
}

#[tokio::test]
async fn a_request_with_a_key_is_served_once() {
    let place = Place::new().await;
    let router = router(&place).await;
    let first = post(&router, GROUPS, "k", &named("weather", 1)).await;
    assert_eq!(first.status, StatusCode::OK, "{}", first.body);
    let again = post(&router, GROUPS, "k", &named("weather", 1)).await;
    assert_eq!(
        (again.status, &again.etag, &again.body),
        (first.status, &first.etag, &first.body)
    );
    let other = post(&router, GROUPS, "k", &named("trips", 1)).await;
    assert_eq!(other.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(other.body["code"], "idempotency_key_reused");
    let elsewhere = post(&router, "/v1/projects", "k", &json!({"name": "rides"})).await;
    assert_eq!(elsewhere.status, StatusCode::UNPROCESSABLE_ENTITY);

    let tied = [("idempotency-key", "k"), ("if-match", "\"other.1\"")];
    let tied = ask(&router, Method::POST, GROUPS, &tied, &named("weather", 1)).await;
    assert_eq!(tied.status, StatusCode::UNPROCESSABLE_ENTITY);

    // A refusal is an answer too.
    for _ in 0..2 {
        let refused = post(&router, GROUPS, "l", &named("weather", 1)).await;
        assert_eq!(refused.status, StatusCode::CONFLICT);
        assert_eq!(refused.body["code"], "already_exists");
    }
    let all = get(&router, GROUPS).await.body;
    assert_eq!(all["items"].as_array().map(Vec::len), Some(1), "{all}");

    // A day later nobody asks whether it was the same request.
    place.clock.advance(DAY + Duration::from_secs(1));
    let later = post(&router, GROUPS, "k", &named("trips", 1)).await;
    assert_eq!(later.status, StatusCode::OK, "{}", later.body);

    let long = "k".repeat(256);
    let refused = post(&router, GROUPS, &long, &named("a", 1)).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_project_is_created_or_comes_with_what_is_in_it() {
    let place = Place::new().await;
    let router = router(&place).await;
    let rides = json!({"name": "rides"});
    for wanted in [StatusCode::OK, StatusCode::CONFLICT] {
        let made = ask(&router, Method::POST, "/v1/projects", &[], &rides).await;
        assert_eq!(made.status, wanted, "{}", made.body);
    }
    let made = ask(&router, Method::POST, GROUPS, &[], &named("weather", 1)).await;
    assert_eq!(made.status, StatusCode::OK, "{}", made.body);
    let page = get(&router, "/v1/projects?limit=1").await.body;
    assert_eq!(page["items"], json!([{"name": "default"}]));
    assert!(page["next_page_token"].is_string(), "{page}");
    assert_eq!(get(&router, "/v1/projects/rides").await.body, rides);
    let unknown = get(&router, "/v1/projects/ride").await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND);
    let message = unknown.body["message"].as_str().expect("a message");
    assert!(message.ends_with("did you mean `rides`?"), "{message}");
}

#[tokio::test]
async fn a_reservation_lapses_unless_it_is_renewed() {
    let place = Place::new().await;
    let router = router(&place).await;
    let wanted = json!({"project": "default", "name": "heat"});
    for (key, version) in [("k", 1), ("k", 1), ("l", 2)] {
        let reserved = post(&router, "/v1/reservations", key, &wanted).await;
        assert_eq!(reserved.body["version"], version, "{}", reserved.body);
    }
    let renew = async |version: u32| {
        let path = format!("/v1/reservations/default/heat/{version}");
        let renewed = ask(&router, Method::POST, &path, &[], &Json::Null).await;
        renewed.status
    };
    let nearly_all = RESERVED_FOR - Duration::from_secs(1);
    place.clock.advance(nearly_all);
    assert_eq!(renew(1).await, StatusCode::NO_CONTENT);
    place.clock.advance(nearly_all);
    assert_eq!(renew(1).await, StatusCode::NO_CONTENT);
    assert_eq!(renew(2).await, StatusCode::NOT_FOUND);
    let listed = get(&router, "/v1/reservations?project=default").await.body;
    let lapsed = |index: usize| listed["items"][index]["has_lapsed"].as_bool();
    assert_eq!(
        (lapsed(0), lapsed(1)),
        (Some(false), Some(true)),
        "{listed}"
    );
}

#[tokio::test]
async fn statistics_stand_beside_their_dataset() {
    let place = Place::new().await;
    let registry = with_group(&place).await;
    let project = project();
    for version in [1, 2] {
        let reserved = registry.reserve_training_dataset(&project, "heat", None);
        assert_eq!(reserved.await.expect("free"), version);
    }
    let router = http::router(registry, tasks());
    let column = json!({
        "name": "temp", "nulls": 1, "nans": 0, "infinities": 0,
        "min": {"double": "-0.5"}, "mean": "0.1",
    });
    let statistics = json!({"whole": {"rows": 4, "columns": [column]}});
    let path = |version: u32| format!("/v1/training-datasets/default/heat/{version}");
    for (version, statistics) in [(1, Some(&statistics)), (2, None)] {
        let made = TrainingDataset {
            version,
            ..dataset(view(1).query)
        };
        let mut body =
            serde_json::to_value(TrainingDatasetBody::from(&made)).expect("serializable");
        if let Some(statistics) = statistics {
            body["statistics"] = statistics.clone();
        }
        let put = ask(&router, Method::PUT, &path(version), &[], &body).await;
        assert_eq!(put.status, StatusCode::NO_CONTENT, "{}", put.body);
    }
    let shown = get(&router, &path(1)).await.body;
    assert!(shown["statistics"].is_null(), "{shown}");
    let listed = get(&router, "/v1/training-datasets?project=default")
        .await
        .body;
    assert_eq!(listed["items"][0], shown);
    let found = get(&router, &format!("{}/statistics", path(1))).await;
    assert_eq!((found.status, found.body), (StatusCode::OK, statistics));
    for (version, message) in [
        (
            2,
            "statistics record `default.heat_2` does not exist; the training dataset was made",
        ),
        (
            3,
            "training dataset `default.heat_3` does not exist; there are versions 1, 2",
        ),
    ] {
        let none = get(&router, &format!("{}/statistics", path(version))).await;
        assert_eq!(none.status, StatusCode::NOT_FOUND);
        let said = none.body["message"].as_str().expect("a message");
        assert!(said.starts_with(message), "{said}");
    }
}

/// A client has heard of changes that a restored database has not.
#[tokio::test]
async fn a_feed_that_went_back_answers_before_one_that_stands_still() {
    let place = Place::new().await;
    let router = router(&place).await;
    let made = ask(&router, Method::POST, GROUPS, &[], &named("a", 1)).await;
    assert_eq!(made.status, StatusCode::OK, "{}", made.body);
    let newest = get(&router, "/v1/changes/newest").await.body;
    let sequence = newest["sequence"].as_u64().expect("a sequence");
    let path =
        |after: u64, wait_ms: u64| format!("/v1/changes/newest?after={after}&wait_ms={wait_ms}");
    let (went_back, stands_still) = (path(sequence + 100, 30_000), path(sequence, 10_000));
    let answered = tokio::select! {
        answered = get(&router, &went_back) => answered,
        other = get(&router, &stands_still) => panic!("{} came first", other.body),
    };
    assert_eq!(answered.body, newest);
}

#[tokio::test]
async fn bodies_are_taken_up_to_the_limits_of_the_registry() {
    let place = Place::new().await;
    let body = named("a", 1);
    let length = body.to_string().len() as u64;
    // There is room for one, also where a key is looked at before.
    for (bytes_max, wanted) in [
        (length - 1, StatusCode::PAYLOAD_TOO_LARGE),
        (length, StatusCode::OK),
    ] {
        let bytes_max = NonZeroU64::new(bytes_max).expect("not zero");
        let limits = JsonLimits {
            json_bytes_max: bytes_max,
            json_in_flight_bytes_max: bytes_max,
        };
        let router = http::router_with(place.registry().await, tasks(), limits);
        let answered = post(&router, GROUPS, "key", &body).await;
        assert_eq!(answered.status, wanted, "{}", answered.body);
    }
}

#[tokio::test]
async fn every_route_of_the_document_answers() {
    let place = Place::new().await;
    let router = router(&place).await;
    let document = get(&router, "/openapi.json").await.body;
    assert_eq!(document, http::document());
    let paths = document["paths"].as_object().expect("paths");
    assert!(paths.len() > 20, "{document}");
    let mut ids = BTreeSet::new();
    for (path, methods) in paths {
        for operation in methods.as_object().expect("methods").values() {
            let id = operation["operationId"].as_str().expect("a name");
            assert!(ids.insert(id), "{id} stands twice");
        }
        let path = path.replace("{version}", "1").replace("{id}", "1");
        let path = path.replace(['{', '}'], "");
        for method in methods.as_object().expect("methods").keys() {
            let method = Method::from_bytes(method.to_uppercase().as_bytes()).expect("a method");
            let answer = ask(&router, method.clone(), &path, &[], &Json::Null).await;
            let code = answer.body["code"].as_str().unwrap_or_default();
            assert!(!code.starts_with("no_such"), "{method} {path}: {code}");
        }
    }
}

#[test]
fn the_document_is_the_one_committed() {
    twinfold_testkit::assert_committed("docs/openapi/registry.json", &http::document());
}
